//! Text to token ids and back, from the metadata of a GGUF file or from a `tokenizer.json`.
//!
//! Entry points: [`Tokenizer::from_metadata`], [`Tokenizer::from_json`]; [`StreamDecoder`] for
//! text that grows. A text passes, in this order: added tokens are found (`specials`), the rest is
//! normalised (`normal`), cut into words (`pre`), and each word becomes ids (`bpe`, `sentence`,
//! `unigram`, `wordpiece`), or is known already (`words`).
//!
//! **Invariant:** streamed text is whole characters only. **Invariant:** what is not known is
//! refused by name at load, never guessed. **Invariant:** work is linear in the text's length, but
//! for one word without end, whose joining is n log n.

mod bpe;
mod bytes;
mod charsmap;
mod classes;
mod decode;
mod ends;
mod error;
mod from_gguf;
mod ids;
mod index;
mod json;
mod limits;
mod merge;
mod need;
mod normal;
mod pre;
mod sentence;
mod specials;
mod tokenizer;
mod unigram;
mod vocabulary;
mod wordpiece;
mod words;

pub use decode::StreamDecoder;
pub use error::{Error, Result};
pub use ids::SpecialIds;
pub use tokenizer::{Specials, Tokenizer};
