//! Finds added tokens in text: the longest that begins at the earliest place.

use crate::classes::{WORD, of};
use crate::vocabulary::{Kind, Vocabulary};

/// Part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Special(u32),
}

/// Added tokens, sorted by text: those that fit a place are found by halving, byte by byte, so
/// that thousands of them with one beginning cost no more than a few.
#[derive(Default)]
pub(crate) struct SpecialTokens {
    tokens: Vec<Special>,
    /// Whether any begins with the byte: among all, and among those that are always seen.
    begins: Begins,
}

struct Begins {
    all: [bool; 256],
    always: [bool; 256],
}

impl Default for Begins {
    fn default() -> Begins {
        Begins { all: [false; 256], always: [false; 256] }
    }
}

/// An added token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    pub(crate) text: String,
    pub(crate) id: u32,
    /// Seen only where control tokens are asked for.
    pub(crate) control: bool,
    /// White space before it is its own.
    pub(crate) strips_before: bool,
    /// White space after it is its own.
    pub(crate) strips_after: bool,
    /// Not inside a word.
    pub(crate) whole_word: bool,
}

impl SpecialTokens {
    pub(crate) fn new(mut tokens: Vec<Special>) -> SpecialTokens {
        tokens.retain(|token| !token.text.is_empty());
        // Stable: of two tokens with one text the first wins, as everywhere.
        tokens.sort_by(|a, b| a.text.cmp(&b.text));
        tokens.dedup_by(|later, first| later.text == first.text);
        let mut begins = Begins::default();
        for token in &tokens {
            let first = usize::from(token.text.as_bytes()[0]);
            begins.all[first] = true;
            begins.always[first] |= !token.control;
        }
        SpecialTokens { tokens, begins }
    }

    /// Tokens of a vocabulary that are no normal ones.
    pub(crate) fn of(vocabulary: &Vocabulary) -> Vec<Special> {
        let special = |id: u32| {
            let kind = vocabulary.kinds[id as usize];
            let control = matches!(kind, Kind::Control | Kind::Unknown);
            let text = vocabulary.text(id).to_owned();
            let special = Special { text, id, control, ..Special::default() };
            (control || kind == Kind::UserDefined).then_some(special)
        };
        vocabulary.ids().filter_map(special).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Cuts a text; control tokens are seen only where `parse_control`, as a person's text may
    /// spell them and mean letters.
    pub(crate) fn cut<'a>(
        &self,
        text: &'a str,
        parse_control: bool,
        out: &mut dyn FnMut(Part<'a>),
    ) {
        let begins = if parse_control { &self.begins.all } else { &self.begins.always };
        let (mut from, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while let Some(next) = bytes[at..].iter().position(|byte| begins[usize::from(*byte)]) {
            at += next;
            let Some(token) = self.longest(text, at, parse_control) else {
                at += 1;
                continue;
            };
            let mut before = &text[from..at];
            if token.strips_before {
                before = before.trim_end();
            }
            if !before.is_empty() {
                out(Part::Text(before));
            }
            out(Part::Special(token.id));
            at += token.text.len();
            if token.strips_after {
                at += text[at..].len() - text[at..].trim_start().len();
            }
            from = at;
        }
        if from < text.len() {
            out(Part::Text(&text[from..]));
        }
    }

    fn longest(&self, text: &str, at: usize, parse_control: bool) -> Option<&Special> {
        let mut range = &self.tokens[..];
        let mut best = None;
        for (depth, byte) in text.as_bytes()[at..].iter().enumerate() {
            let at_depth = |token: &Special| token.text.as_bytes().get(depth).copied();
            let end = range.partition_point(|token| at_depth(token) <= Some(*byte));
            let start = range[..end].partition_point(|token| at_depth(token) < Some(*byte));
            range = &range[start..end];
            // A token that ends here sorts before those that go on.
            let Some(first) = range.first() else { break };
            let ends = first.text.len() == depth + 1;
            if ends && (parse_control || !first.control) && first.fits(text, at) {
                best = Some(first);
            }
        }
        best
    }
}

impl Special {
    /// Whether the token may stand at a place where its text is.
    fn fits(&self, text: &str, at: usize) -> bool {
        let word = |c: Option<char>| c.is_some_and(|c| of(c) & WORD != 0);
        let end = at + self.text.len();
        !self.whole_word
            || !(word(text[..at].chars().next_back()) || word(text[end..].chars().next()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Special, SpecialTokens};

    fn special(text: &str, id: u32) -> Special {
        Special { text: text.to_owned(), id, control: true, ..Special::default() }
    }

    fn cut<'a>(specials: &SpecialTokens, text: &'a str, parse: bool) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        specials.cut(text, parse, &mut |part| parts.push(part));
        parts
    }

    #[test]
    fn the_longest_at_the_earliest_place_wins() {
        let defined = Special { control: false, ..special("<<", 3) };
        let tokens = vec![special("<a", 0), special("<a>", 1), special("a>b", 2), defined];
        let specials = SpecialTokens::new([tokens, vec![special("", 4)]].concat());
        let (text, special) = (Part::Text, Part::Special);
        let parts = [text("x"), special(1), text("b"), special(3), text("a")];
        assert_eq!(cut(&specials, "x<a>b<<a", true), parts);
        assert_eq!(cut(&specials, "<a><<", false), [text("<a>"), special(3)]);
        assert_eq!(cut(&specials, "", true), []);
        assert_eq!(cut(&specials, "é<a", true), [text("é"), special(0)]);
    }

    #[test]
    fn white_space_beside_a_token_is_its_own_where_the_model_wants_that() {
        let after = Special { strips_after: true, ..special("<|user|>", 0) };
        let before = Special { strips_before: true, ..special("<mask>", 2) };
        let specials = SpecialTokens::new(vec![after, special("<s>", 1), before]);
        let (text, special) = (Part::Text, Part::Special);
        let parts = [special(1), text(" "), special(0), text("hi"), special(2), text(" x")];
        assert_eq!(cut(&specials, "<s> <|user|> \nhi <mask> x", true), parts);
        assert_eq!(cut(&specials, " <mask>", true), [special(2)]);
    }

    #[test]
    fn a_whole_word_is_no_part_of_another() {
        let specials = SpecialTokens::new(vec![Special { whole_word: true, ..special("cat", 0) }]);
        let (text, special) = (Part::Text, Part::Special);
        let parts = [special(0), text(" concat cats ("), special(0), text(")")];
        assert_eq!(cut(&specials, "cat concat cats (cat)", true), parts);
    }
}
