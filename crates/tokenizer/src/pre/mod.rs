//! Pre-tokenisers: how text is cut into words before their parts are joined.
//!
//! A step that many models have is written by hand ([`shape`], [`digits`]); the others are
//! patterns. All are linear in the text's length.

mod digits;
mod rules;
mod shape;

use fancy_regex::{Regex, RegexBuilder};

use crate::limits::PATTERN_BYTES_MAX;
use crate::{Error, Result, classes};
use digits::Digits;
pub(crate) use rules::Letters;
pub(crate) use rules::{GPT_2, Rule};
use shape::{AfterSymbols, Letters as Words, Numbers, Shape, ShortForms, Text};

/// The row of a name.
pub(crate) fn rule(name: &str) -> Result<&'static Rule> {
    rules::RULES.iter().find(|rule| rule.names.contains(&name)).ok_or_else(|| {
        let known: Vec<&str> = rules::RULES.iter().flat_map(|rule| rule.names).copied().collect();
        Error::PreTokenizer { name: name.to_owned(), known: known.join(", ") }
    })
}

/// The steps of a row.
pub(crate) fn steps(rule: &Rule) -> Vec<Step> {
    match rule.letters {
        Letters::Words => vec![Step::words(|_| false)],
        Letters::Bytes | Letters::Spaces => {
            rule.patterns.iter().map(|pattern| Step::of_row(pattern)).collect()
        }
    }
}

/// What becomes of the matches of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matches {
    /// Words of their own.
    Apart,
    /// The end of what lies before.
    WithPrevious,
    /// The beginning of what follows.
    WithNext,
    /// Gone.
    Removed,
    /// Neighbours are one word.
    Joined,
}

/// One way to cut.
pub(crate) enum Step {
    Shape(Shape),
    Digits(Digits),
    /// Lines and the ends of lines.
    Lines,
    /// Before each `▁` that no token has after the character that stands there.
    BeforeSpace(Box<SpaceCut>),
    /// White space is gone, and what `alone` says stands alone.
    Words(Box<WordCut>),
    Pattern {
        regex: Box<Regex>,
        inverted: bool,
        matches: Matches,
    },
    /// Spaces become `▁`, and one comes first.
    Spaces {
        mark: char,
        first: FirstSpace,
        cut: bool,
    },
}

/// When a space is put before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstSpace {
    Never,
    /// Before the first text only.
    First,
    Always,
}

/// Letters before `▁` inside tokens: there a cut would lose a token.
#[derive(Default)]
pub(crate) struct SpaceCut {
    before: std::collections::HashSet<char>,
}

impl SpaceCut {
    /// For a vocabulary of these texts.
    pub(crate) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> SpaceCut {
        let mut cut = SpaceCut::default();
        for text in texts.filter(|text| text.len() > '▁'.len_utf8()) {
            let mut from = 0;
            while let Some(at) = text[from..].find('▁') {
                cut.before.extend(text[..from + at].chars().next_back());
                from += at + '▁'.len_utf8();
            }
        }
        cut
    }

    fn cut(&self, text: &str, out: &mut dyn FnMut(&str)) {
        const MARK: [u8; 3] = [0xE2, 0x96, 0x81];
        let bytes = text.as_bytes();
        let (mut from, mut at) = (0, 0);
        while at + 3 <= bytes.len() {
            if bytes[at] != MARK[0] || bytes[at..at + 3] != MARK {
                at += 1;
                continue;
            }
            let before = text[from..at].chars().next_back();
            if before.is_some_and(|c| c != '▁' && !self.before.contains(&c)) {
                out(&text[from..at]);
                from = at;
            }
            at += 3;
        }
        if from < text.len() {
            out(&text[from..]);
        }
    }
}

impl Step {
    /// White space is gone, and what `alone` says stands alone.
    pub(crate) fn words(alone: fn(char) -> bool) -> Step {
        Step::Words(Box::new(WordCut::new(alone)))
    }

    /// The step of one of our rows' patterns.
    fn of_row(pattern: &str) -> Step {
        by_hand(pattern).unwrap_or_else(|| {
            let regex = compile(pattern).expect("the rows' patterns are tested");
            Step::Pattern { regex: Box::new(regex), inverted: false, matches: Matches::Apart }
        })
    }

    /// The step of a pattern that came with a model.
    pub(crate) fn of_file(pattern: &str, inverted: bool, matches: Matches) -> Result<Step> {
        if let Some(step) = by_hand(pattern)
            && matches == Matches::Apart
            && !inverted
        {
            return Ok(step);
        }
        Ok(Step::Pattern { regex: Box::new(foreign(pattern)?), inverted, matches })
    }
}

/// A pattern that came with a model.
pub(crate) fn foreign(pattern: &str) -> Result<Regex> {
    let refused = |why: String| Error::Json(format!("the pattern `{pattern}` {why}"));
    if pattern.len() > PATTERN_BYTES_MAX {
        let start: String = pattern.chars().take(40).collect();
        let what = format!("the pattern `{start}..` is longer than {PATTERN_BYTES_MAX} bytes");
        return Err(Error::Json(what));
    }
    // Look-ahead goes only where its cost is known: a foreign pattern must not run away.
    let known = rules::RULES.iter().any(|rule| rule.patterns.contains(&pattern));
    let plain = pattern.replace(r"\s+(?!\S)", r"\s+");
    if !known && let Err(error) = regex_syntax::parse(&plain) {
        let line = error.to_string();
        let line = line.lines().last().unwrap_or("cannot be read").trim();
        return Err(refused(format!("is not supported ({line})")));
    }
    compile(pattern).map_err(|error| refused(format!("is wrong: {error}")))
}

fn compile(pattern: &str) -> std::result::Result<Regex, Box<fancy_regex::Error>> {
    // The patterns look one character ahead only: they cannot run away, and a limit meant for
    // patterns that can would cut long runs of spaces.
    RegexBuilder::new(pattern).backtrack_limit(usize::MAX).build().map_err(Box::new)
}

/// The step that is written by hand for a pattern.
fn by_hand(pattern: &str) -> Option<Step> {
    let llama_3 = Shape {
        han: false,
        short_forms: ShortForms::AnyCase,
        letters: Words::AfterAny,
        numbers: Numbers::UpTo(3),
        after_symbols: AfterSymbols::Lines,
        lines: true,
    };
    let gpt_4o = Shape {
        short_forms: ShortForms::Ending,
        letters: Words::Cased,
        after_symbols: AfterSymbols::LinesAndSlashes,
        ..llama_3
    };
    let qwen_2 = Shape { numbers: Numbers::UpTo(1), ..llama_3 };
    // That what is left over is a word needs no saying.
    Some(Step::Shape(match pattern.strip_suffix(r"|\s+").unwrap_or(pattern) {
        GPT_2 => Shape {
            short_forms: ShortForms::Small,
            letters: Words::AfterSpace,
            numbers: Numbers::AfterSpace,
            after_symbols: AfterSymbols::Nothing,
            lines: false,
            ..llama_3
        },
        _ => match pattern {
            rules::LLAMA_3 => llama_3,
            rules::MINICPM_5 => Shape { numbers: Numbers::All, ..llama_3 },
            rules::QWEN_2 | rules::BAILING => qwen_2,
            rules::UFAKZEKA => Shape { short_forms: ShortForms::None, ..qwen_2 },
            rules::QWEN_35 => Shape { letters: Words::WithMarks, ..qwen_2 },
            rules::SEED_CODER => Shape { after_symbols: AfterSymbols::Nothing, ..qwen_2 },
            rules::GPT_4O => gpt_4o,
            rules::YOUTU => Shape { numbers: Numbers::UpTo(1), ..gpt_4o },
            rules::TEKKEN => {
                Shape { numbers: Numbers::UpTo(1), short_forms: ShortForms::None, ..gpt_4o }
            }
            rules::KIMI_K2 => Shape { han: true, after_symbols: AfterSymbols::Lines, ..gpt_4o },
            rules::LINES => return Some(Step::Lines),
            _ => return digits(pattern).map(Step::Digits),
        },
    }))
}

fn digits(pattern: &str) -> Option<Digits> {
    Some(match pattern {
        rules::NUMBER_EACH => Digits::FromLeft(1),
        rules::NUMBERS_OF_THREE => Digits::FromLeft(3),
        rules::NUMBERS => Digits::Whole,
        rules::ASCII_THREES => Digits::AsciiThrees,
        rules::THREES_BEFORE_END => Digits::BeforeThrees,
        rules::THREES_OF_WORD => Digits::FromRightOfWord,
        rules::THREES_FROM_RIGHT => Digits::FromRight,
        _ => return None,
    })
}

/// Calls `out` with the words of a text, in order. `start` says whether it is the first text.
pub(crate) fn cut(steps: &[Step], text: &str, start: bool, out: &mut dyn FnMut(&str)) {
    let Some((step, rest)) = steps.split_first() else {
        out(text);
        return;
    };
    let mut first = start;
    let mut next = |piece: &str| {
        if rest.is_empty() {
            out(piece)
        } else {
            cut(rest, piece, first, out)
        }
        first = false;
    };
    match step {
        Step::Shape(shape) => {
            let view = Text::new(text);
            let mut at = 0;
            while at < text.len() {
                let end = shape.end(view, at);
                next(&text[at..end]);
                at = end;
            }
        }
        Step::Digits(digits) => digits.cut(text, &mut next),
        Step::Lines => {
            let mut left = text;
            while !left.is_empty() {
                let line = left.starts_with('\n');
                let end = left.find(|c| (c == '\n') != line).unwrap_or(left.len());
                next(&left[..end]);
                left = &left[end..];
            }
        }
        Step::BeforeSpace(space) => space.cut(text, &mut next),
        Step::Words(words) => words.cut(text, &mut next),
        Step::Pattern { regex, inverted, matches } => {
            pattern(regex, *inverted, *matches, text, &mut next);
        }
        Step::Spaces { mark, first, cut } => {
            let first = match first {
                FirstSpace::Never => false,
                FirstSpace::First => start,
                FirstSpace::Always => true,
            };
            spaces(text, *mark, first, *cut, &mut next);
        }
    }
}

/// What a character is to `Step::Words`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Inside,
    Space,
    Alone,
}

pub(crate) struct WordCut {
    alone: fn(char) -> bool,
    /// Of ASCII, which most texts mostly are.
    ascii: [Part; 128],
}

impl WordCut {
    fn new(alone: fn(char) -> bool) -> WordCut {
        let mut cut = WordCut { alone, ascii: [Part::Inside; 128] };
        for code in 0..128_u8 {
            cut.ascii[usize::from(code)] = cut.part(char::from(code));
        }
        cut
    }

    fn part(&self, c: char) -> Part {
        if classes::of(c) & classes::SPACE != 0 {
            Part::Space
        } else if (self.alone)(c) {
            Part::Alone
        } else {
            Part::Inside
        }
    }

    fn cut(&self, text: &str, out: &mut dyn FnMut(&str)) {
        let bytes = text.as_bytes();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let (part, len) = match self.ascii.get(usize::from(bytes[at])) {
                Some(part) => (*part, 1),
                None => {
                    let c = text[at..].chars().next().unwrap_or_default();
                    (self.part(c), c.len_utf8())
                }
            };
            if part != Part::Inside {
                if at > from {
                    out(&text[from..at]);
                }
                if part == Part::Alone {
                    out(&text[at..at + len]);
                }
                from = at + len;
            }
            at += len;
        }
        if from < text.len() {
            out(&text[from..]);
        }
    }
}

fn pattern(regex: &Regex, inverted: bool, matches: Matches, text: &str, out: &mut dyn FnMut(&str)) {
    let mut pieces = Pieces { text, matches, held: 0..0, was_match: false, out };
    let mut from = 0;
    // A failed search (which these patterns cannot cause) leaves the rest as one word: the ids
    // still spell the text.
    for found in regex.find_iter(text).map_while(std::result::Result::ok) {
        pieces.take(from..found.start(), inverted);
        pieces.take(found.start()..found.end(), !inverted);
        from = found.end();
    }
    pieces.take(from..text.len(), inverted);
    pieces.finish();
}

/// Puts matches and what lies between them together as a step wants.
struct Pieces<'a, 'b> {
    text: &'a str,
    matches: Matches,
    /// What may still grow.
    held: std::ops::Range<usize>,
    was_match: bool,
    out: &'b mut dyn FnMut(&str),
}

impl Pieces<'_, '_> {
    fn take(&mut self, piece: std::ops::Range<usize>, is_match: bool) {
        if piece.is_empty() {
            return;
        }
        let joins = match self.matches {
            Matches::Apart | Matches::Removed => false,
            Matches::WithPrevious => is_match && !self.was_match,
            Matches::WithNext => !is_match && self.was_match,
            Matches::Joined => is_match == self.was_match,
        };
        if joins && !self.held.is_empty() {
            self.held.end = piece.end;
        } else {
            self.finish();
            self.held = if self.matches == Matches::Removed && is_match {
                piece.end..piece.end
            } else {
                piece
            };
        }
        self.was_match = is_match;
    }

    fn finish(&mut self) {
        if !self.held.is_empty() {
            (self.out)(&self.text[self.held.clone()]);
        }
        self.held = 0..0;
    }
}

fn spaces(text: &str, mark: char, first: bool, cut: bool, out: &mut dyn FnMut(&str)) {
    let mut marked = String::with_capacity(text.len() + text.len() / 2);
    if first && !text.starts_with([' ', mark]) {
        marked.push(mark);
    }
    marked.extend(text.chars().map(|c| if c == ' ' { mark } else { c }));
    if !cut {
        out(&marked);
        return;
    }
    let mut from = 0;
    for (at, _) in marked.match_indices(mark).filter(|(at, _)| *at > 0) {
        out(&marked[from..at]);
        from = at;
    }
    if from < marked.len() {
        out(&marked[from..]);
    }
}

#[cfg(test)]
mod tests;
