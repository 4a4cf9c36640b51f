//! What is done to a text before it is cut: one step of a normaliser each.

use fancy_regex::Regex;
use unicode_normalization::UnicodeNormalization;

use crate::charsmap::Charsmap;
use crate::classes;

pub(crate) enum Normal {
    /// Spaces become `▁`, and one comes first where a text begins.
    Spaces {
        first: bool,
    },
    /// Spaces become `▁`; one comes before the first word, and with `squeeze` one and no more
    /// before each word.
    WordSpaces {
        first: bool,
        squeeze: bool,
    },
    Charsmap(Charsmap),
    /// Controls are gone, and white space is a space.
    Clean,
    /// A space on both sides of every Chinese character.
    Chinese,
    /// Accents, as marks without width, are gone.
    NoAccents,
    /// Marks of every kind are gone.
    NoMarks,
    Lowercase,
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    /// White space at the ends is gone.
    Strip {
        left: bool,
        right: bool,
    },
    Replace {
        from: String,
        to: String,
    },
    ReplacePattern {
        from: Box<Regex>,
        to: String,
    },
    Prepend(String),
}

/// `text` after every step; `start` says whether it begins a text. `spare` is working memory.
pub(crate) fn apply<'a>(
    steps: &[Normal],
    text: &str,
    start: bool,
    out: &'a mut String,
    spare: &mut String,
) -> &'a str {
    out.clear();
    let Some(ascii) = Ascii::of(steps) else {
        out.push_str(text);
        one_by_one(steps, start, out, spare);
        return out;
    };
    // Stretches of ASCII, which most texts mostly are, take all steps at once.
    let mut run = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = rest.split_at(ascii_len(rest.as_bytes()));
        ascii.apply(plain, out);
        let end = after.bytes().position(|byte| byte.is_ascii()).unwrap_or(after.len());
        let (other, after) = after.split_at(end);
        if !other.is_empty() {
            run.clear();
            run.push_str(other);
            one_by_one(steps, start, &mut run, spare);
            out.push_str(&run);
        }
        rest = after;
    }
    out
}

/// `text` after every step.
fn one_by_one(steps: &[Normal], start: bool, text: &mut String, spare: &mut String) {
    for step in steps {
        spare.clear();
        step.apply(text, start, spare);
        std::mem::swap(text, spare);
    }
}

/// What steps do to ASCII that do nothing else to it, wherever it stands: none of them looks across
/// a border of ASCII and other characters. (Composing ones do: an `e` takes the accent behind it.)
struct Ascii {
    clean: bool,
    lower: bool,
}

impl Ascii {
    /// None where a step is of another kind.
    fn of(steps: &[Normal]) -> Option<Ascii> {
        let mut ascii = Ascii { clean: false, lower: false };
        for step in steps {
            match step {
                Normal::Clean => ascii.clean = true,
                Normal::Lowercase => ascii.lower = true,
                Normal::Chinese
                | Normal::NoAccents
                | Normal::NoMarks
                | Normal::Nfd
                | Normal::Nfkd => {}
                Normal::Spaces { .. }
                | Normal::WordSpaces { .. }
                | Normal::Charsmap(_)
                | Normal::Nfc
                | Normal::Nfkc
                | Normal::Strip { .. }
                | Normal::Replace { .. }
                | Normal::ReplacePattern { .. }
                | Normal::Prepend(_) => return None,
            }
        }
        Some(ascii)
    }

    fn apply(&self, text: &str, out: &mut String) {
        let first = out.len();
        let control = |text: &str| text.bytes().position(|byte| byte.is_ascii_control());
        let mut rest = text;
        while let Some(at) = control(rest).filter(|_| self.clean) {
            out.push_str(&rest[..at]);
            out.extend(clean(char::from(rest.as_bytes()[at])));
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        if self.lower {
            out[first..].make_ascii_lowercase();
        }
    }
}

/// How many bytes at the beginning are ASCII.
fn ascii_len(bytes: &[u8]) -> usize {
    let whole = bytes.chunks_exact(32).take_while(|chunk| chunk.is_ascii()).count() * 32;
    let end = bytes[whole..].iter().position(|byte| !byte.is_ascii());
    end.map_or(bytes.len(), |end| whole + end)
}

impl Normal {
    fn apply(&self, text: &str, start: bool, out: &mut String) {
        match self {
            Normal::Spaces { first } => {
                if *first && start {
                    out.push('▁');
                }
                replace(text, " ", "▁", out);
            }
            Normal::WordSpaces { first, squeeze } => word_spaces(text, *first, *squeeze, out),
            Normal::Charsmap(table) => table.apply(text, out),
            Normal::Clean => out.extend(text.chars().filter_map(clean)),
            Normal::Chinese => {
                for c in text.chars() {
                    if is_chinese(c) {
                        out.extend([' ', c, ' ']);
                    } else {
                        out.push(c);
                    }
                }
            }
            Normal::NoAccents => out.extend(without(text, classes::ACCENT)),
            Normal::NoMarks => out.extend(without(text, classes::MARK)),
            Normal::Lowercase => out.extend(text.chars().flat_map(char::to_lowercase)),
            Normal::Nfc => out.extend(text.nfc()),
            Normal::Nfd => out.extend(text.nfd()),
            Normal::Nfkc => out.extend(text.nfkc()),
            Normal::Nfkd => out.extend(text.nfkd()),
            Normal::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { text };
                out.push_str(if *right { text.trim_end() } else { text });
            }
            Normal::Replace { from, to } => replace(text, from, to, out),
            Normal::ReplacePattern { from, to } => replace_matches(text, from, to, out),
            Normal::Prepend(first) => {
                if !text.is_empty() {
                    out.push_str(first);
                }
                out.push_str(text);
            }
        }
    }
}

fn without(text: &str, class: u16) -> impl Iterator<Item = char> {
    text.chars().filter(move |c| classes::of(*c) & class == 0)
}

fn replace(text: &str, from: &str, to: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        out.push_str(before);
        out.push_str(to);
        rest = after;
    }
    out.push_str(rest);
}

fn replace_matches(text: &str, pattern: &Regex, to: &str, out: &mut String) {
    let mut from = 0;
    for found in pattern.find_iter(text).map_while(Result::ok) {
        out.push_str(&text[from..found.start()]);
        out.push_str(to);
        from = found.end();
    }
    out.push_str(&text[from..]);
}

fn word_spaces(text: &str, first: bool, squeeze: bool, out: &mut String) {
    let (mut in_word, mut begun) = (false, false);
    for c in text.chars() {
        if c == ' ' {
            in_word = false;
            if !squeeze {
                out.push('▁');
            }
            continue;
        }
        if !in_word && (squeeze || (first && !begun)) {
            out.push('▁');
            begun = true;
        }
        in_word = true;
        out.push(c);
    }
}

fn clean(c: char) -> Option<char> {
    let control = classes::of(c) & classes::CONTROL != 0;
    match c {
        '\t' | '\n' | '\r' => Some(' '),
        '\u{fffd}' => None,
        _ if control => None,
        _ if c.is_whitespace() => Some(' '),
        _ => Some(c),
    }
}

/// Chinese characters as BERT's own code lists them; the block 2B820 begins at 2B920 there.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}' | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

/// BERT's marks, which are words of one character: punctuation and ASCII symbols.
pub(crate) fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() || classes::of(c) & classes::PUNCTUATION != 0
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;
    use proptest::prelude::*;

    use super::{Normal, apply, is_mark, one_by_one};

    fn check(steps: &[Normal], text: &str, wanted: &str) {
        let (mut out, mut spare) = (String::new(), String::new());
        assert_eq!(apply(steps, text, true, &mut out, &mut spare), wanted, "{text:?}");
    }

    #[test]
    fn steps_do_what_they_say() {
        check(&[Normal::Spaces { first: true }], "a  b", "▁a▁▁b");
        check(&[Normal::WordSpaces { first: true, squeeze: true }], "  a  b ", "▁a▁b");
        check(&[Normal::WordSpaces { first: true, squeeze: false }], " a b", "▁▁a▁b");
        check(&[Normal::WordSpaces { first: false, squeeze: false }], "a b", "a▁b");
        check(&[Normal::Clean], "a\u{0}\u{85}\tb\u{fffd}\u{200b}\u{a0}c\u{378}", "a b c\u{378}");
        check(&[Normal::Chinese], "a漢b", "a 漢 b");
        check(&[Normal::Nfd, Normal::NoAccents, Normal::Lowercase], "ÉÄß", "eaß");
        check(&[Normal::Nfkc], "ﬁ①", "fi1");
        check(&[Normal::Strip { left: true, right: false }], " a ", "a ");
        let from = Box::new(Regex::new(" {2,}").expect("a pattern"));
        check(&[Normal::ReplacePattern { from, to: "_".into() }], "a b   c", "a b_c");
        check(&[Normal::Replace { from: "``".into(), to: "\"".into() }], "``a", "\"a");
        check(&[Normal::Prepend("▁".into())], "a", "▁a");
        check(&[Normal::Prepend("▁".into())], "", "");
        assert!(is_mark('$') && is_mark('。') && !is_mark('€') && !is_mark('a'));
    }

    proptest! {
        /// Characters of all kinds that a step knows, so that borders of every kind occur.
        #[test]
        fn ascii_at_once_is_as_step_by_step(
            text in "([ -~]{0,40}|[\\x00-\\x7f]|[é́̈ẛÅ①İΣ漢\u{a0}\u{85}\u{fffd}]|\\PC){0,24}",
            lower: bool,
            clean: bool,
        ) {
            let mut steps = vec![Normal::Chinese, Normal::Nfd, Normal::NoAccents];
            if clean {
                steps.insert(0, Normal::Clean);
            }
            if lower {
                steps.push(Normal::Lowercase);
            }
            let (mut out, mut spare) = (String::new(), String::new());
            let mut wanted = text.clone();
            one_by_one(&steps, true, &mut wanted, &mut String::new());
            prop_assert_eq!(apply(&steps, &text, true, &mut out, &mut spare), wanted);
        }
    }
}
