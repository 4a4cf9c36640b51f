//! What a grammar may cost.

use std::time::Duration;

/// Bounds of a grammar. The default is what a server gives to people whom it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the source.
    pub source_bytes: usize,
    /// Bytes of all sources of a grammar that was put together.
    pub syntax_bytes: usize,
    /// Nested brackets of the source.
    pub depth: usize,
    /// Until compiling is given up.
    pub time: Duration,
    /// Grammars that are compiled at the same time for one vocabulary.
    pub compiling: usize,
    /// Symbols of the rules after compiling.
    pub symbols: usize,
    /// States of the lexer, about 1 KiB each.
    pub lexer_states: usize,
    /// Work on the lexer for one mask; about 14,000 in a millisecond.
    pub mask_lexer_work: u64,
    /// Parser items made for one mask; about 20,000 in a millisecond.
    pub mask_items: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            source_bytes: 64 << 10,
            syntax_bytes: 512 << 10,
            depth: 32,
            time: Duration::from_secs(5),
            compiling: 4,
            symbols: 500_000,
            lexer_states: 50_000,
            mask_lexer_work: 1_000_000,
            mask_items: 2_000_000,
        }
    }
}

/// Compiled grammars that are kept for one vocabulary.
pub(crate) const CACHED_MAX: usize = 32;

/// Stack of the thread that compiles: room for a source that is nothing but opening brackets.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// Longest token that can be part of an answer that must fit; longer ones are never drawn.
pub(crate) const WORD_BYTES_MAX: usize = 1000;
