//! Bounds on what a file may claim, and on what is kept.

/// Tokens of a vocabulary; the largest real ones have a quarter of a million.
pub(crate) const VOCAB_MAX: usize = 1 << 22;
/// Merges; the largest real vocabularies have half a million.
pub(crate) const MERGES_MAX: usize = 1 << 23;
/// Bytes of one token's text; the longest real ones are a thousand.
pub(crate) const TOKEN_BYTES_MAX: usize = 1 << 12;
/// Bytes of all texts together, so that a place in them is a 32-bit number.
pub(crate) const TEXTS_BYTES_MAX: usize = 1 << 30;
/// Bytes of a pattern that comes with a model; the longest real ones are some hundreds.
pub(crate) const PATTERN_BYTES_MAX: usize = 1 << 12;
/// Bytes of a table of character replacements; the real one has a quarter of a million.
pub(crate) const CHARSMAP_BYTES_MAX: usize = 1 << 24;
/// Bytes of a `tokenizer.json`; the largest real ones have 35 million.
pub(crate) const JSON_BYTES_MAX: usize = 1 << 28;
/// Steps of one part of a `tokenizer.json`.
pub(crate) const STEPS_MAX: usize = 32;
/// Nesting of sequences in a `tokenizer.json`.
pub(crate) const DEPTH_MAX: usize = 4;
/// Words whose ids are remembered, for each text that is being read.
pub(crate) const WORDS_MAX: usize = 1 << 14;
/// Working memories that are kept for the next text.
pub(crate) const SCRATCH_MAX: usize = 8;
/// Characters of a word that WordPiece takes apart; longer ones are the unknown token.
pub(crate) const WORD_PIECE_CHARS_MAX: usize = 100;
