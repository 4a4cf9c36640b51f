//! Regular parts of a grammar as a regular expression.

use std::fmt::Write as _;

use super::tree::{Chars, Grammar, Node};

/// Longest expression that is worth one lexeme.
const REGEX_BYTES_MAX: usize = 1 << 18;

/// The text alone, every character escaped.
pub(crate) fn literal_regex(text: &str) -> String {
    text.chars().map(|c| format!("\\x{{{:x}}}", u32::from(c))).collect()
}

/// The expression of a regular node; none where it would be too long.
pub(super) fn regex_of(node: &Node, grammar: &Grammar) -> Option<String> {
    let mut out = String::new();
    write_regex(node, grammar, &mut out).then_some(out)
}

fn write_regex(node: &Node, grammar: &Grammar, out: &mut String) -> bool {
    if out.len() > REGEX_BYTES_MAX {
        return false;
    }
    match node {
        Node::Chars(ranges) => {
            class(ranges, out);
            true
        }
        Node::Seq(items) => items.iter().all(|item| write_regex(item, grammar, out)),
        Node::Alt(items) => {
            out.push_str("(?:");
            let whole = items.iter().enumerate().all(|(at, item)| {
                if at > 0 {
                    out.push('|');
                }
                write_regex(item, grammar, out)
            });
            out.push(')');
            whole
        }
        Node::Repeat(inner, least, most) => {
            out.push_str("(?:");
            let whole = write_regex(inner, grammar, out);
            out.push(')');
            out.push_str(&count(*least, *most));
            whole
        }
        Node::Rule(rule) => write_regex(&grammar.rules[*rule], grammar, out),
        Node::Token { .. } => false,
    }
}

pub(super) fn count(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}

/// An empty class matches nothing, as an empty one of GBNF does.
pub(super) fn class(ranges: &Chars, out: &mut String) {
    out.push('[');
    if ranges.is_empty() {
        out.push_str("^\\x{0}-\\x{10ffff}");
    }
    for (first, last) in ranges {
        let _ = write!(out, "\\x{{{first:x}}}-\\x{{{last:x}}}");
    }
    out.push(']');
}
