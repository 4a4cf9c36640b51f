//! What can go wrong in the store, one line for people each.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What one source of a pull answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAnswer {
    /// What and where.
    pub what: String,
    /// Why it could not give the file.
    pub why: String,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name that a model may have.
    #[error("`{name}` cannot be a model's name: {why}")]
    Name {
        /// As given.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// No such model here, in the catalogue or, by its form, on a hub.
    #[error("there is no model `{spec}`{}; known names: {}; a file: `hob import FILE --name NAME`; \
        a hub repository: OWNER/NAME", did_you_mean(nearest.as_ref()), known.join(", "))]
    NotFound {
        /// As asked for.
        spec: String,
        /// The name that is spelled most alike.
        nearest: Option<String>,
        /// Names in the store and in the catalogue.
        known: Vec<String>,
    },
    /// The path names no file.
    #[error("{}: {why}", path.display())]
    NoFile {
        /// As given.
        path: PathBuf,
        /// E.g. that it is a folder.
        why: &'static str,
    },
    /// The file is no model that hob can read.
    #[error("{}: {why}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// The file begins like a model, but does not hold what it says or what hob can run.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// The name is taken by other bytes.
    #[error("the name `{name}` is taken by another file: choose another or `hob rm {name}` first")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No source could give the model.
    #[error("{}", no_source(spec, answers))]
    NoSource {
        /// As asked for.
        spec: String,
        /// What each said, in order.
        answers: Vec<SourceAnswer>,
    },
    /// It was stopped; what had come is kept for the next time.
    #[error("stopped; what has come is kept: the same command goes on from there")]
    Cancelled,
    /// The disk is too small.
    #[error("not enough room in {}: {needed} bytes are needed, {} are free; free some or set \
        HOB_HOME to a folder on a bigger disk", path.display(), shown_bytes(*available))]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free, when known.
        available: Option<u64>,
    },
    /// The folder may not be written.
    #[error("{} cannot be written ({why}){}; allow it or set HOB_HOME to a folder of yours",
        path.display(), wanted(*needed))]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// The system's word.
        why: String,
        /// Bytes that were to be written, when known.
        needed: Option<u64>,
    },
    /// The stored file is not what it was.
    #[error("{} is damaged ({why}): `hob rm {name}` and `hob pull {name}` fetch it again",
        path.display())]
    Damaged {
        /// Name of the model.
        name: String,
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A manifest that cannot be read.
    #[error("{} is damaged ({why}): remove it and import or pull the model again", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Anything else the system said.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// E.g. `reading`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The settings of the web client are wrong.
    #[error(transparent)]
    Egress(#[from] egress::Error),
}

impl Error {
    /// Sorts what the system said by what a person can do about it.
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::io_needing(doing, path, source, None)
    }

    /// Same, where it is known how many bytes were to be written.
    pub(crate) fn io_needing(
        doing: &'static str,
        path: &Path,
        source: std::io::Error,
        needed: Option<u64>,
    ) -> Error {
        use std::io::ErrorKind;
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                let folder = path.parent().map_or_else(|| path.clone(), Path::to_owned);
                let available = crate::available_space(&folder).ok();
                Error::DiskFull { path: folder, needed: needed.unwrap_or(0), available }
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied if doing != "reading" => {
                Error::ReadOnly { path, why: source.to_string(), needed }
            }
            _ => Error::Io { doing, path, source },
        }
    }
}

fn did_you_mean(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

fn shown_bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "fewer".to_owned(), |bytes| bytes.to_string())
}

fn wanted(needed: Option<u64>) -> String {
    needed.map_or_else(String::new, |bytes| format!(", and {bytes} bytes are to be put there"))
}

fn no_source(spec: &str, answers: &[SourceAnswer]) -> String {
    let mut text = format!("{spec} could not be fetched; each source said:");
    for SourceAnswer { what, why } in answers {
        text.push_str(&format!("\n  {what}: {why}"));
    }
    text.push_str("\nwith a GGUF file at hand: hob import FILE --name NAME");
    text
}
