//! Mapping a file into memory: the only unsafe code of this crate.
#![expect(unsafe_code, reason = "mapping a file is unsafe by nature; see the comment")]

use std::fs::File;
use std::path::Path;

use memmap2::{Advice, Mmap, UncheckedAdvice};

use crate::{Error, Result};

/// A file mapped into memory, read-only.
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// With the file's name, when the system refuses or it is empty.
    pub fn open(path: &Path) -> Result<MappedFile> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let details = file.metadata().map_err(io)?;
        if !details.is_file() {
            return Err(io(std::io::Error::other("it is not a file")));
        }
        if details.len() == 0 {
            let fault = Box::new(Error::Truncated { needed: 24, len: 0 });
            return Err(Error::File { path: path.to_owned(), fault });
        }
        // SAFETY: the map is read-only. Another process that truncates the file while it is
        // mapped makes reads fail with a signal; hob's own store only ever renames whole files
        // into place, and a person's file is theirs to leave alone while it is being read.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        // Advice is a hint; a system that does not take it reads as before.
        let _ = map.advise(Advice::Sequential);
        Ok(MappedFile(map))
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells the system that these bytes will not be read again soon.
    pub fn release(&self, offset: usize, len: usize) {
        // SAFETY: the pages of a read-only, file-backed map come back from the file when they
        // are read again, so that their contents do not change.
        let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, len) };
    }
}
