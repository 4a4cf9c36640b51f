//! Files by their SHA-256: `blobs/sha256-HEX`, and how one gets there: hashed, synced, renamed.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::limits::{CHUNK_BYTES, DISK_SPARE_BYTES};
use crate::{Error, Result, available_space};

/// The folder of blobs.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

impl Blobs {
    pub(crate) fn new(dir: PathBuf) -> Blobs {
        Blobs { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("sha256-{sha256}"))
    }

    /// Where the bytes of `key` gather until their hash fits.
    pub(crate) fn partial(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.partial"))
    }

    /// Whether the blob stands there with as many bytes.
    pub(crate) fn has(&self, hashed: &Hashed) -> bool {
        let meta = std::fs::metadata(self.path(&hashed.sha256));
        meta.is_ok_and(|meta| meta.is_file() && meta.len() == hashed.bytes)
    }

    /// Says early that `bytes` more do not fit on the disk.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        // Where the system does not tell, writing will.
        let Ok(available) = available_space(&self.dir) else { return Ok(()) };
        if available < bytes.saturating_add(DISK_SPARE_BYTES) {
            let path = self.dir.clone();
            return Err(Error::DiskFull { path, needed: bytes, available: Some(available) });
        }
        Ok(())
    }

    /// Gives a partial file, whose hash was seen to be `sha256`, its final name.
    pub(crate) fn install(&self, partial: &Path, sha256: &str) -> Result<PathBuf> {
        let path = self.path(sha256);
        let install = || -> std::io::Result<()> {
            File::open(partial)?.sync_all()?;
            std::fs::rename(partial, &path)?;
            sync_folder(&self.dir)
        };
        install().map_err(|error| Error::io("keeping", &path, error))?;
        Ok(path)
    }

    /// Takes a file found elsewhere, whose hash was seen to be `hashed`, without moving it: a
    /// second name for the same bytes where the disk is the same, else a copy.
    pub(crate) fn adopt(
        &self,
        found: &Path,
        hashed: &Hashed,
        cancelled: &AtomicBool,
    ) -> Result<PathBuf> {
        let path = self.path(&hashed.sha256);
        if self.has(hashed) {
            return Ok(path);
        }
        match std::fs::hard_link(found, &path) {
            Ok(()) => return Ok(path),
            Err(error) => tracing::debug!(%error, "no hard link; copying"),
        }
        self.check_room(hashed.bytes)?;
        let partial = self.partial(&format!("sha256-{}", hashed.sha256));
        copy(found, &partial, cancelled)?;
        // The file may have been changed in between: only what was written counts.
        let copied = hash_file(&partial, cancelled)?;
        if copied != *hashed {
            remove_file(&partial)?;
            let why = "it changes while it is copied: try again".to_owned();
            return Err(Error::NotAModel { path: found.to_owned(), why });
        }
        self.install(&partial, &hashed.sha256)
    }
}

/// Makes `dir` and those above it, for this user alone: which models somebody has is private.
pub(crate) fn make_folder(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| Error::io("making", dir, error))
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("removing", path, error))
        }
        _ => Ok(()),
    }
}

/// SHA-256 and length of a file.
pub(crate) fn hash_file(path: &Path, cancelled: &AtomicBool) -> Result<Hashed> {
    let mut hash = Sha256::new();
    let bytes = for_chunks(path, cancelled, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok(Hashed { sha256: hex(&hash.finalize()), bytes })
}

/// SHA-256 of a text.
pub(crate) fn hash_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn copy(from: &Path, to: &Path, cancelled: &AtomicBool) -> Result<u64> {
    let mut out = File::create(to).map_err(|error| Error::io("writing", to, error))?;
    let needed = std::fs::metadata(from).ok().map(|meta| meta.len());
    for_chunks(from, cancelled, |chunk| {
        out.write_all(chunk).map_err(|error| Error::io_needing("writing", to, error, needed))
    })
}

fn for_chunks(
    path: &Path,
    cancelled: &AtomicBool,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut file = File::open(path).map_err(|error| Error::io("reading", path, error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(len) => {
                bytes += len as u64;
                each(&chunk[..len])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("reading", path, error)),
        }
    }
}

/// Makes a rename last through a power cut.
fn sync_folder(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
