//! A model's tokens as grammars see them.

use std::sync::Arc;

use grammar::{Limits, Vocabulary, Word};
use tokenizer::Tokenizer;

use crate::Markers;

/// The vocabulary for [`crate::EngineRequest::constraint`]: work for a second, once a model.
///
/// # Errors
/// The tokens cannot be told apart by a grammar.
pub fn vocabulary(tokenizer: &Tokenizer, markers: &Markers) -> grammar::Result<Arc<Vocabulary>> {
    let len = u32::try_from(tokenizer.vocab_len()).unwrap_or(u32::MAX);
    let words = (0..len).map(|id| {
        let bytes = tokenizer.token_bytes(id);
        if tokenizer.is_special(id) { Word::Control(bytes) } else { Word::Text(bytes) }
    });
    let is_end = |id: &u32| tokenizer.is_end_of_generation(*id) && !markers.not_ends.contains(id);
    let ends: Vec<u32> = (0..len).filter(is_end).collect();
    Vocabulary::new(words, &ends, Limits::default())
}
