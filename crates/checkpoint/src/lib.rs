//! Models as their makers publish them: a folder with `config.json`, weights in safetensors and
//! `tokenizer.json`, seen as a GGUF file so that everything above knows one form only.
//!
//! Entry points: [`open`] gives metadata under GGUF's keys and tensors under GGUF's names;
//! [`open_headers`] reads what files claim and no weight; [`open_adapter`] does the same for an
//! adapter. A family of models is a file in
//! `families` with rows of data. The format: <https://github.com/huggingface/safetensors>.
//!
//! **Invariant:** every length, offset, type and shape is checked before use; hostile files are
//! the normal case. **Invariant:** a tensor that no row takes is refused by name, never left out;
//! what belongs to images is left out by a list, and [`NOT_READ`] says so.

mod adapter;
mod config;
mod directory;
mod error;
mod families;
mod fp8;
mod headers;
mod keys;
mod limits;
mod mxfp4;
mod nvfp4;
mod open;
mod quantised;
mod recipe;
mod rope;
mod rows;
mod sources;
mod tokens;
mod views;

pub use adapter::{is_adapter, open_adapter};
pub use error::{Error, Result};
pub use headers::{
    CONFIG, Headers, INDEX, Index, Parsed, SINGLE, SafeTensor, file_header, is_checkpoint,
    open_headers, parse, parse_config,
};
pub use limits::{CONFIG_BYTES_MAX, INDEX_BYTES_MAX};
pub use open::{NOT_READ, open};
