//! Text to token ids and back, from the metadata of a GGUF file.
//!
//! Entry point: [`Tokenizer::from_metadata`]; [`StreamDecoder`] for text that grows.
//!
//! **Invariant:** streamed text is whole characters only. **Invariant:** a pre-tokeniser that is
//! not known is refused by name at load, never guessed.

mod bpe;
mod bytes;
mod decode;
mod ends;
mod error;
mod limits;
mod merge;
mod pre;
mod specials;
mod spm;
mod tokenizer;
mod vocabulary;

pub use decode::StreamDecoder;
pub use error::{Error, Result};
pub use tokenizer::{Specials, Tokenizer};
