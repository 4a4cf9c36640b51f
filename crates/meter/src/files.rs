//! A machine's files below a folder, read in bounds.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::limits::{FILE_BYTES_MAX, NAMES_MAX};

/// Paths are absolute, as if the folder were `/`.
pub(crate) struct Files {
    root: PathBuf,
    /// A function, so that tests, which may run as root, can be refused.
    open: fn(&Path) -> io::Result<File>,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Files {
        Files { root: root.to_owned(), open: |path| File::open(path) }
    }

    #[cfg(test)]
    pub(crate) fn refusing(root: &Path, open: fn(&Path) -> io::Result<File>) -> Files {
        Files { root: root.to_owned(), open }
    }

    /// Without spaces and line ends around it; other bytes than UTF-8 are replaced.
    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        let place = self.place(path);
        // Opening a pipe could wait for ever.
        if !std::fs::metadata(&place)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        (self.open)(&place)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Names in a folder, sorted; none when it is no folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.place(folder)) else { return Vec::new() };
        let names = entries.flatten().take(NAMES_MAX);
        let mut names: Vec<String> =
            names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Paths in a folder whose names begin so.
    pub(crate) fn paths(&self, folder: &str, start: &str) -> Vec<String> {
        let names = self.names(folder).into_iter().filter(|name| name.starts_with(start));
        names.map(|name| format!("{folder}/{name}")).collect()
    }

    /// Whether the device of a sensor's file sleeps: reading it would wake it.
    pub(crate) fn sleeps(&self, path: &str) -> bool {
        let Some((folder, _)) = path.rsplit_once('/') else { return false };
        let status = self.text(&format!("{folder}/device/power/runtime_status"));
        status.is_some_and(|status| status == "suspended")
    }

    /// Last part of where a link leads: a device's address.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.place(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}
