//! What the store writes down of a model: `manifests/NAME.json`. The store's own file format, so
//! `serde` is at home here.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits::{MANIFEST_BYTES_MAX, MODEL_FILES_MAX};
use crate::{Error, Result};

const VERSION: u32 = 1;

/// A model in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, in lower case.
    pub name: String,
    /// The GGUF file, or the first of a split.
    pub path: PathBuf,
    /// Its files, in order.
    pub files: Vec<EntryFile>,
    /// Bytes of all of them.
    pub size_bytes: u64,
    /// SHA-256 of the first file, in lower-case hex.
    pub sha256: String,
    /// When it came, in seconds since 1970.
    pub added_unix_s: u64,
    /// Where it came from, for people.
    pub source: String,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFile {
    /// Name it had where it came from.
    pub name: String,
    /// SHA-256, in lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub bytes: u64,
}

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) name: String,
    pub(crate) files: Vec<EntryFile>,
    pub(crate) source: String,
    pub(crate) added_unix_s: u64,
}

impl Manifest {
    pub(crate) fn new(name: &str, files: Vec<EntryFile>, origin: Origin) -> Manifest {
        let Origin { source, added_unix_s } = origin;
        Manifest { version: VERSION, name: name.to_owned(), files, source, added_unix_s }
    }

    /// Reads and checks one.
    pub(crate) fn read(path: &Path) -> Result<Manifest> {
        let damaged = |why: String| Error::Manifest { path: path.to_owned(), why };
        let file = std::fs::File::open(path).map_err(|e| Error::io("reading", path, e))?;
        let mut text = String::new();
        let mut bounded = file.take(MANIFEST_BYTES_MAX);
        bounded.read_to_string(&mut text).map_err(|e| damaged(e.to_string()))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(format!("version {}, not {VERSION}", manifest.version)));
        }
        if manifest.files.is_empty() || manifest.files.len() > MODEL_FILES_MAX {
            return Err(damaged(format!("it lists {} files", manifest.files.len())));
        }
        for file in &manifest.files {
            if !is_sha256(&file.sha256) {
                return Err(damaged("a SHA-256 in it is none".to_owned()));
            }
            if !is_file_name(&file.name) {
                return Err(damaged("a file name in it is none".to_owned()));
            }
        }
        Ok(manifest)
    }

    /// Writes it under a temporary name and renames.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain data always becomes JSON");
        let partial = path.with_extension("json.partial");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&partial)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().map_err(|e| Error::io_needing("writing", path, e, Some(text.len() as u64)))
    }
}

/// Where and when a model came.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: String,
    pub(crate) added_unix_s: u64,
}

/// Whether it is 64 lower-case hex digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether it names a file and no folder.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_odd = |c: char| c == '/' || c == '\\' || c.is_control();
    !name.is_empty() && name != "." && name != ".." && name.len() <= 255 && !name.contains(is_odd)
}
