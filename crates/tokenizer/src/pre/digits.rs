//! Splitters of numbers.

use std::ops::Range;

use super::shape::Text;
use crate::classes::{DIGIT, NUMBER, WORD};

/// How numbers are cut out of a text; what lies between them stays whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digits {
    /// `\p{N}{1,n}`, from the left.
    FromLeft(usize),
    /// `\p{N}+`
    Whole,
    /// Threes counted from the right of a run of numbers.
    FromRight,
    /// `\d{1,3}(?=(?:\d{3})*\b)`: threes counted from the right, where the digits end a word.
    FromRightOfWord,
    /// `(?=(\d{3})+(?!\d))`: cut before each place from where threes go to the end.
    BeforeThrees,
    /// `[0-9][0-9][0-9]`
    AsciiThrees,
}

impl Digits {
    /// Calls `out` with the pieces of a text.
    pub(crate) fn cut(self, text: &str, out: &mut dyn FnMut(&str)) {
        let view = Text::new(text);
        let any = match self {
            Digits::FromLeft(_) | Digits::Whole | Digits::FromRight => NUMBER,
            Digits::FromRightOfWord | Digits::BeforeThrees | Digits::AsciiThrees => DIGIT,
        };
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let (class, len) = view.at(at);
            if class & any == 0 || (self == Digits::AsciiThrees && len > 1) {
                at += len;
                continue;
            }
            let end = match self {
                Digits::AsciiThrees => {
                    at + view.bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
                }
                _ => view.run(at, any, 0),
            };
            if self == Digits::BeforeThrees {
                from = before_threes(text, from, at..end, out);
            } else if self != Digits::FromRightOfWord || view.at(end).0 & WORD == 0 {
                from = self.cut_run(text, from, at..end, out);
            }
            at = end;
        }
        if from < text.len() {
            out(&text[from..]);
        }
    }

    /// Calls `out` with what lies before a run of digits and its groups; where the rest begins.
    fn cut_run(
        self,
        text: &str,
        from: usize,
        place: Range<usize>,
        out: &mut dyn FnMut(&str),
    ) -> usize {
        let (at, end, run) = (place.start, place.end, &text[place]);
        let count = run.chars().count();
        let (first, each) = match self {
            Digits::FromLeft(max) => (max, max),
            Digits::Whole => (count, count),
            Digits::AsciiThrees | Digits::BeforeThrees => (3, 3),
            Digits::FromRight | Digits::FromRightOfWord if !count.is_multiple_of(3) => {
                (count % 3, 3)
            }
            Digits::FromRight | Digits::FromRightOfWord => (3, 3),
        };
        if self == Digits::AsciiThrees && count < 3 {
            return from;
        }
        if at > from {
            out(&text[from..at]);
        }
        let (mut start, mut left) = (at, first);
        for (i, c) in run.char_indices() {
            left -= 1;
            if left == 0 {
                let end = at + i + c.len_utf8();
                out(&text[start..end]);
                (start, left) = (end, each);
            }
        }
        if self == Digits::AsciiThrees {
            return start;
        }
        if start < end {
            out(&text[start..end]);
        }
        end
    }
}

fn before_threes(
    text: &str,
    mut from: usize,
    place: Range<usize>,
    out: &mut dyn FnMut(&str),
) -> usize {
    let (at, run) = (place.start, &text[place]);
    let count = run.chars().count();
    for (done, (i, _)) in run.char_indices().enumerate() {
        if (count - done).is_multiple_of(3) && at + i > from {
            out(&text[from..at + i]);
            from = at + i;
        }
    }
    from
}
