//! What is wrong with a file, where, and what to do.

use std::path::PathBuf;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system could not read it.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A fault of a file on disk.
    #[error("{path}: {fault}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Box<Error>,
    },
    /// It does not begin as a GGUF file does.
    #[error("not a GGUF file: it begins with {found:?} instead of \"GGUF\"")]
    Magic {
        /// Its first bytes.
        found: String,
    },
    /// Written for another byte order.
    #[error("a big-endian GGUF file: convert it to little-endian")]
    BigEndian,
    /// An older or newer version.
    #[error("GGUF version {0}: hob reads versions 2 and 3; convert the model again")]
    Version(u32),
    /// It ends too early.
    #[error("truncated: at least {needed} bytes are needed and {len} are there; fetch it again")]
    Truncated {
        /// Bytes the header says there are.
        needed: u64,
        /// Bytes there are.
        len: u64,
    },
    /// The header contradicts itself or the format.
    #[error("damaged or forged at byte {offset}: {what}")]
    Invalid {
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A tensor of a type that hob does not run.
    #[error("tensor {tensor} has type {type_name}, which hob cannot run yet{}", suggest(.nearest))]
    UnsupportedType {
        /// Which tensor.
        tensor: String,
        /// GGML's name of the type, or its number.
        type_name: String,
        /// The nearest type that runs.
        nearest: Option<&'static str>,
    },
    /// A metadata value of another type than wanted.
    #[error("metadata key {key} is {found} and {wanted} is wanted")]
    KeyType {
        /// Which key.
        key: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A metadata key that a model of this kind must have.
    #[error("metadata key {0} is missing: the file is incomplete")]
    KeyMissing(String),
    /// Parts of a split model that do not belong together.
    #[error("{0}")]
    Split(String),
}

/// Result of reading a file.
pub type Result<T> = std::result::Result<T, Error>;

fn suggest(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; a {name} version of the model would run"))
}
