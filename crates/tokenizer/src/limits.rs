//! Bounds on what metadata may claim.

/// Tokens of a vocabulary; the largest real ones have a quarter of a million.
pub(crate) const VOCAB_MAX: usize = 1 << 22;
/// Bytes of one token's text; the longest real ones are a thousand.
pub(crate) const TOKEN_BYTES_MAX: usize = 1 << 12;
