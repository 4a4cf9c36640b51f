//! The splitter that most pre-tokenisers are: short forms, letters, numbers, marks and white
//! space, with small differences. It is written by hand because a pattern with look-ahead is ten
//! times slower; the tests hold it to the pattern.

use crate::classes::{self, CAPITAL, HAN, LETTER, MARK, NUMBER, SMALL, SPACE};

/// What a pattern of this family says; the order of its parts is always that of the fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// `\p{Han}+` comes first, and letters are others.
    pub(crate) han: bool,
    pub(crate) short_forms: ShortForms,
    pub(crate) letters: Letters,
    pub(crate) numbers: Numbers,
    pub(crate) after_symbols: AfterSymbols,
    /// `\s*[\r\n]+` before other white space.
    pub(crate) lines: bool,
}

/// `'s|'t|'re|'ve|'m|'ll|'d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortForms {
    None,
    /// Words of their own, in small letters.
    Small,
    /// Words of their own, in small or capital letters.
    AnyCase,
    /// The end of a word, in small or capital letters.
    Ending,
}

/// How words of letters look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    /// ` ?\p{L}+`
    AfterSpace,
    /// `[^\r\n\p{L}\p{N}]?\p{L}+`
    AfterAny,
    /// `[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+`, and symbols are no marks
    WithMarks,
    /// Capital letters before small ones: `camelCase` is two words.
    Cased,
}

/// How words of numbers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// ` ?\p{N}+`
    AfterSpace,
    /// `\p{N}+`
    All,
    /// `\p{N}{1,n}`
    UpTo(usize),
}

/// What symbols take with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterSymbols {
    Nothing,
    /// `[\r\n]*`
    Lines,
    /// `[\r\n/]*`
    LinesAndSlashes,
}

/// A text and its classes.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    table: &'static [u16],
}

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str) -> Text<'a> {
        Text { bytes: text.as_bytes(), table: classes::table() }
    }

    /// Classes and length of the character at a boundary; nothing at the end.
    #[inline]
    pub(crate) fn at(self, at: usize) -> (u16, usize) {
        match self.bytes.get(at) {
            None => (0, 0),
            Some(byte) if *byte < 0x80 => (self.table[usize::from(*byte)], 1),
            Some(byte) => self.long(at, *byte),
        }
    }

    fn long(self, at: usize, first: u8) -> (u16, usize) {
        let next = |i: usize| self.bytes.get(at + i).map_or(0, |byte| usize::from(byte & 0x3F));
        let first = usize::from(first);
        let (code, len) = match first {
            0..0xE0 => ((first & 0x1F) << 6 | next(1), 2),
            0xE0..0xF0 => ((first & 0x0F) << 12 | next(1) << 6 | next(2), 3),
            _ => ((first & 7) << 18 | next(1) << 12 | next(2) << 6 | next(3), 4),
        };
        (self.table.get(code).copied().unwrap_or(0), len)
    }

    /// End of the run of characters that have one of `any` and none of `none`.
    #[inline]
    pub(crate) fn run(self, mut at: usize, any: u16, none: u16) -> usize {
        loop {
            let (class, len) = self.at(at);
            if class & any == 0 || class & none != 0 {
                return at;
            }
            at += len;
        }
    }

    pub(crate) fn byte(self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

const MARKED: u16 = LETTER | MARK;

impl Shape {
    /// End of the word that begins at `at`, which is before the end.
    #[inline]
    pub(crate) fn end(&self, text: Text<'_>, at: usize) -> usize {
        let (class, len) = text.at(at);
        let byte = text.bytes[at];
        if self.han && class & HAN != 0 {
            return text.run(at, HAN, 0);
        }
        if byte == b'\'' {
            let forms = match self.short_forms {
                ShortForms::Small => short_form(text.bytes, at, false),
                ShortForms::AnyCase => short_form(text.bytes, at, true),
                ShortForms::None | ShortForms::Ending => 0,
            };
            if forms > 0 {
                return at + forms;
            }
        }
        if let Some(end) = self.letters(text, at, (class, len)) {
            return end;
        }
        let spaced = byte == b' ';
        if class & NUMBER != 0 {
            return match self.numbers {
                Numbers::AfterSpace | Numbers::All => text.run(at, NUMBER, 0),
                Numbers::UpTo(max) => up_to(text, at, max),
            };
        }
        let (class, start) = if spaced { (text.at(at + 1).0, at + 1) } else { (class, at) };
        if spaced && class & NUMBER != 0 && self.numbers == Numbers::AfterSpace {
            return text.run(start, NUMBER, 0);
        }
        let words = self.no_symbols();
        if class & words == 0 && start < text.bytes.len() {
            return self.symbols(text, start);
        }
        self.white_space(text, at)
    }

    /// Classes that are no symbols.
    fn no_symbols(&self) -> u16 {
        let marks = if self.letters == Letters::WithMarks { MARK } else { 0 };
        SPACE | LETTER | NUMBER | marks
    }

    fn symbols(&self, text: Text<'_>, mut at: usize) -> usize {
        let none = self.no_symbols();
        loop {
            let (class, len) = text.at(at);
            if len == 0 || class & none != 0 {
                break;
            }
            at += len;
        }
        let more = |byte: u8| match self.after_symbols {
            AfterSymbols::Nothing => false,
            AfterSymbols::Lines => matches!(byte, b'\r' | b'\n'),
            AfterSymbols::LinesAndSlashes => matches!(byte, b'\r' | b'\n' | b'/'),
        };
        while more(text.byte(at)) {
            at += 1;
        }
        at
    }

    fn white_space(&self, text: Text<'_>, start: usize) -> usize {
        let (mut at, mut last, mut lines_end) = (start, start, start);
        loop {
            let (class, len) = text.at(at);
            if class & SPACE == 0 {
                break;
            }
            last = at;
            at += len;
            if matches!(text.byte(last), b'\r' | b'\n') {
                lines_end = at;
            }
        }
        if self.lines && lines_end > start {
            return lines_end;
        }
        // The last one is left to the word that follows.
        if at < text.bytes.len() && last > start { last } else { at }
    }

    #[inline]
    fn letters(&self, text: Text<'_>, at: usize, (class, len): (u16, usize)) -> Option<usize> {
        let any = match self.letters {
            Letters::AfterSpace | Letters::AfterAny => LETTER,
            Letters::WithMarks => MARKED,
            Letters::Cased => return self.cased(text, at, (class, len)),
        };
        if class & any != 0 {
            return Some(text.run(at + len, any, 0));
        }
        let byte = text.bytes[at];
        let leads = match self.letters {
            Letters::AfterSpace => byte == b' ',
            _ => class & NUMBER == 0 && !matches!(byte, b'\r' | b'\n'),
        };
        let (next, next_len) = text.at(at + len);
        (leads && next & any != 0).then(|| text.run(at + len + next_len, any, 0))
    }

    /// `A?U*D+` and then `A?U+D*` with `A` neither letter nor number, `U` what may stand where
    /// capital letters do, `D` what may stand where small letters do; letters without case and
    /// marks are both.
    fn cased(&self, text: Text<'_>, at: usize, (class, len): (u16, usize)) -> Option<usize> {
        let none = if self.han { HAN } else { 0 };
        let leads = class & (LETTER | NUMBER) == 0 && !matches!(text.bytes[at], b'\r' | b'\n');
        let after = if leads { Some(at + len) } else { None };
        let here = if class & MARKED != 0 && class & none == 0 { Some(at) } else { None };
        let end = after
            .and_then(|at| small_end(text, at, none))
            .or_else(|| here.and_then(|at| small_end(text, at, none)))
            .or_else(|| after.and_then(|at| capital_end(text, at, none)))
            .or_else(|| here.and_then(|at| capital_end(text, at, none)))?;
        let ending = if self.short_forms == ShortForms::Ending {
            short_form(text.bytes, end, true)
        } else {
            0
        };
        Some(end + ending)
    }
}

/// End of `U*D+`.
fn small_end(text: Text<'_>, mut at: usize, none: u16) -> Option<usize> {
    let mut last_small = None;
    loop {
        let (class, len) = text.at(at);
        if class & MARKED == 0 || class & (SMALL | none) != 0 {
            break;
        }
        at += len;
        if class & CAPITAL == 0 {
            last_small = Some(at);
        }
    }
    let end = text.run(at, MARKED, CAPITAL | none);
    if end > at { Some(end) } else { last_small }
}

/// End of `U+D*` where `U*D+` does not fit.
fn capital_end(text: Text<'_>, at: usize, none: u16) -> Option<usize> {
    let end = text.run(at, MARKED, SMALL | none);
    (end > at).then_some(end)
}

fn up_to(text: Text<'_>, mut at: usize, max: usize) -> usize {
    for _ in 0..max {
        let (class, len) = text.at(at);
        if class & NUMBER == 0 {
            break;
        }
        at += len;
    }
    at
}

/// Bytes of the short form at `at`, or 0.
fn short_form(bytes: &[u8], at: usize, any_case: bool) -> usize {
    let letter = |i: usize| {
        let byte = bytes.get(at + i).copied().unwrap_or(0);
        if any_case { byte.to_ascii_lowercase() } else { byte }
    };
    if bytes.get(at) != Some(&b'\'') {
        return 0;
    }
    match (letter(1), letter(2)) {
        (b's' | b't' | b'm' | b'd', _) => 2,
        (b'r' | b'v', b'e') | (b'l', b'l') => 3,
        // The long s is an s where case does not count.
        (0xC5, 0xBF) if any_case => 3,
        _ => 0,
    }
}
