//! What is wrong with a checkpoint, where, and what to do.

use std::path::{Path, PathBuf};

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system could not read it.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A fault of a file or folder.
    #[error("{}: {why}", path.display())]
    At {
        /// Which one.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A file could not be mapped.
    #[error(transparent)]
    Map(#[from] gguf::Error),
}

impl Error {
    pub(crate) fn at(path: &Path, why: impl Into<String>) -> Error {
        Error::At { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }
}

/// Result of opening a checkpoint.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong, where the file is known to the caller only.
pub(crate) type Told<T> = std::result::Result<T, String>;
