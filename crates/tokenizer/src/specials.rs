//! Finds special tokens in text: the longest that begins at the earliest place.

use crate::vocabulary::{Kind, Vocabulary};

/// Part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Special(u32),
}

/// Special tokens, sorted by text: those that fit a place are found by halving, byte by byte, so
/// that thousands of them with one beginning cost no more than a few.
pub(crate) struct SpecialTokens {
    tokens: Vec<Special>,
    /// Whether any begins with the byte.
    begins: [bool; 256],
    /// Whether white space after a control token belongs to it.
    strips_after: bool,
}

struct Special {
    text: String,
    id: u32,
    /// Seen only where control tokens are asked for.
    control: bool,
    strips_after: bool,
}

/// Tokens of text rather than structure: white space after them counts even where it is stripped.
const KEEP_AFTER: &[&str] = &["<s>", "<unk>", "<|endoftext|>"];

impl SpecialTokens {
    pub(crate) fn new(vocabulary: &Vocabulary, strips_after: bool) -> SpecialTokens {
        let mut tokens = Vec::new();
        for ((text, kind), id) in vocabulary.texts.iter().zip(&vocabulary.kinds).zip(0..) {
            let control = matches!(kind, Kind::Control | Kind::Unknown);
            if (control || *kind == Kind::UserDefined) && !text.is_empty() {
                let strips_after = strips_after && !KEEP_AFTER.contains(&text.as_str());
                tokens.push(Special { text: text.clone(), id, control, strips_after });
            }
        }
        // Stable: of two tokens with one text the first wins, as everywhere.
        tokens.sort_by(|a, b| a.text.cmp(&b.text));
        tokens.dedup_by(|later, first| later.text == first.text);
        let mut begins = [false; 256];
        for token in &tokens {
            begins[usize::from(token.text.as_bytes()[0])] = true;
        }
        SpecialTokens { tokens, begins, strips_after }
    }

    /// Cuts a text; control tokens are seen only where `parse_control`, as a person's text may
    /// spell them and mean letters.
    pub(crate) fn cut<'a>(&self, text: &'a str, parse_control: bool) -> Vec<Part<'a>> {
        let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let begins = self.begins[usize::from(bytes[at])];
            let found = if begins { self.longest(&bytes[at..], parse_control) } else { None };
            let Some(token) = found else {
                at += 1;
                continue;
            };
            if at > from {
                parts.push(Part::Text(&text[from..at]));
            }
            parts.push(Part::Special(token.id));
            at += token.text.len();
            if self.strips_after && token.strips_after {
                at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            }
            from = at;
        }
        if from < text.len() {
            parts.push(Part::Text(&text[from..]));
        }
        parts
    }

    fn longest(&self, rest: &[u8], parse_control: bool) -> Option<&Special> {
        let mut range = &self.tokens[..];
        let mut best = None;
        for (depth, byte) in rest.iter().enumerate() {
            let at_depth = |token: &Special| token.text.as_bytes().get(depth).copied();
            let end = range.partition_point(|token| at_depth(token) <= Some(*byte));
            let start = range[..end].partition_point(|token| at_depth(token) < Some(*byte));
            range = &range[start..end];
            // A token that ends here sorts before those that go on.
            let Some(first) = range.first() else { break };
            if first.text.len() == depth + 1 && (parse_control || !first.control) {
                best = Some(first);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, SpecialTokens};
    use crate::vocabulary::{Kind, Vocabulary};

    #[test]
    fn the_longest_at_the_earliest_place_wins() {
        let mut vocabulary = Vocabulary::plain(&["<a", "<a>", "a>b", "<<", ""], Kind::Control);
        vocabulary.kinds[3] = Kind::UserDefined;
        let specials = SpecialTokens::new(&vocabulary, false);
        let parts = specials.cut("x<a>b<<a", true);
        let (text, special) = (Part::Text, Part::Special);
        assert_eq!(parts, [text("x"), special(1), text("b"), special(3), text("a")]);
        assert_eq!(specials.cut("<a><<", false), [text("<a>"), special(3)]);
        assert_eq!(specials.cut("", true), []);
        assert_eq!(specials.cut("é<a", true), [text("é"), special(0)]);
    }

    #[test]
    fn white_space_after_a_control_token_is_its_own_where_the_model_wants_that() {
        let vocabulary = Vocabulary::plain(&["<|user|>", "<s>"], Kind::Control);
        let specials = SpecialTokens::new(&vocabulary, true);
        let parts = specials.cut("<s> <|user|> \nhi", true);
        let (text, special) = (Part::Text, Part::Special);
        assert_eq!(parts, [special(1), text(" "), special(0), text("hi")]);
    }
}
