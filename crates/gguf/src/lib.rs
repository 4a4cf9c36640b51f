//! GGUF files: read, checked before anything is believed, and written.
//!
//! Entry points: [`GgufFile::open`] for a file on disk, [`parse`] for bytes, [`Writer`].
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! **Invariant:** every length, count, offset, alignment and type is checked before use; hostile
//! files are the normal case. **Invariant:** only `mmap.rs` is unsafe.

mod cursor;
mod error;
mod file;
mod limits;
mod metadata;
mod mmap;
mod parse;
mod split;
mod strings;
mod value;
mod write;

pub use error::{Error, Result};
pub use file::{GgufFile, TensorData};
pub use metadata::Metadata;
pub use mmap::MappedFile;
pub use parse::{Header, TensorInfo, parse};
pub use strings::Strings;
pub use value::{Array, Value};
pub use write::Writer;
