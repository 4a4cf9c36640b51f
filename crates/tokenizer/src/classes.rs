//! What kind of character a character is: one table, made once from the Unicode data that the
//! regex crates carry, so that a hand-written splitter and a pattern cannot disagree.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

pub(crate) const LETTER: u16 = 1;
pub(crate) const NUMBER: u16 = 1 << 1;
pub(crate) const MARK: u16 = 1 << 2;
pub(crate) const PUNCTUATION: u16 = 1 << 3;
pub(crate) const SYMBOL: u16 = 1 << 4;
/// White space, `\s`.
pub(crate) const SPACE: u16 = 1 << 5;
/// A capital or title letter, `Lu` or `Lt`.
pub(crate) const CAPITAL: u16 = 1 << 6;
/// A small letter, `Ll`.
pub(crate) const SMALL: u16 = 1 << 7;
/// A decimal digit, `Nd`.
pub(crate) const DIGIT: u16 = 1 << 8;
pub(crate) const HAN: u16 = 1 << 9;
/// A control, a sign of format, or private: not what is unassigned.
pub(crate) const CONTROL: u16 = 1 << 10;
/// A mark without width, `Mn`.
pub(crate) const ACCENT: u16 = 1 << 11;
/// A character of words, `\w`.
pub(crate) const WORD: u16 = 1 << 12;

const PATTERNS: &[(&str, u16)] = &[
    (r"\p{L}", LETTER),
    (r"\p{N}", NUMBER),
    (r"\p{M}", MARK),
    (r"\p{P}", PUNCTUATION),
    (r"\p{S}", SYMBOL),
    (r"\s", SPACE),
    (r"[\p{Lu}\p{Lt}]", CAPITAL),
    (r"\p{Ll}", SMALL),
    (r"\p{Nd}", DIGIT),
    (r"\p{Han}", HAN),
    (r"[\p{Cc}\p{Cf}\p{Co}]", CONTROL),
    (r"\p{Mn}", ACCENT),
    (r"\w", WORD),
];

/// Classes by code point.
pub(crate) fn table() -> &'static [u16] {
    static TABLE: LazyLock<Vec<u16>> = LazyLock::new(|| {
        let mut table = vec![0; char::MAX as usize + 1];
        for (pattern, bit) in PATTERNS {
            for range in ranges(pattern) {
                for class in &mut table[range] {
                    *class |= bit;
                }
            }
        }
        table
    });
    &TABLE
}

fn ranges(pattern: &str) -> Vec<std::ops::RangeInclusive<usize>> {
    let hir = regex_syntax::parse(pattern).expect("the patterns are tested");
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        unreachable!("the patterns are classes of characters")
    };
    class.iter().map(|range| range.start() as usize..=range.end() as usize).collect()
}

/// Classes of a character.
pub(crate) fn of(c: char) -> u16 {
    table()[c as usize]
}

#[cfg(test)]
mod tests {
    use super::{
        ACCENT, CAPITAL, CONTROL, DIGIT, HAN, LETTER, MARK, NUMBER, PUNCTUATION, SMALL, SPACE,
        SYMBOL, WORD, of,
    };

    #[test]
    fn characters_have_the_classes_of_unicode() {
        for (c, classes) in [
            ('a', LETTER | SMALL | WORD),
            ('Ǆ', LETTER | CAPITAL | WORD),
            ('漢', LETTER | HAN | WORD),
            ('7', NUMBER | DIGIT | WORD),
            ('½', NUMBER),
            ('\u{301}', MARK | ACCENT | WORD),
            ('_', PUNCTUATION | WORD),
            ('$', SYMBOL),
            ('\u{a0}', SPACE),
            ('\n', SPACE | CONTROL),
            ('\u{200b}', CONTROL),
            ('\u{378}', 0),
        ] {
            assert_eq!(of(c), classes, "{c:?}");
        }
    }
}
