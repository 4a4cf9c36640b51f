//! The grammars of llama.cpp, rewritten for llguidance.
//!
//! llguidance cuts text into lexemes, each as long as it can be, and parses those; GBNF knows
//! characters only. Both mean the same where no lexeme can be continued by what may follow it, and
//! `check` proves that. So a grammar becomes, in this order: one lexeme, if nothing in it recurs;
//! the lexemes that its author wrote, if the proof holds; else a lexeme for each character, which
//! is always right and slower.

mod automaton;
mod check;
mod lower;
mod parse;
mod regex;
mod sets;
mod tree;

pub(crate) use regex::literal_regex;

/// A grammar in llguidance's Lark. `named` finds the token of a text.
pub(crate) fn to_lark(
    source: &str,
    depth: usize,
    named: &dyn Fn(&[u8]) -> Option<u32>,
) -> Result<String, String> {
    let grammar = parse::parse(source, depth, named)?;
    Ok(lower::lower(&grammar))
}
