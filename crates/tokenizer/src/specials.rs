//! Finds special tokens in text: the longest that begins at the earliest place.

use crate::vocabulary::{Kind, Vocabulary};

/// Part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Special(u32),
}

/// Special tokens by their first byte, longest first.
pub(crate) struct SpecialTokens {
    by_first: Vec<Vec<(String, u32, Kind)>>,
}

impl SpecialTokens {
    pub(crate) fn new(vocabulary: &Vocabulary) -> SpecialTokens {
        let mut by_first = vec![Vec::new(); 256];
        for ((text, kind), id) in vocabulary.texts.iter().zip(&vocabulary.kinds).zip(0..) {
            let special = matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown);
            if let Some(first) = text.bytes().next().filter(|_| special) {
                by_first[usize::from(first)].push((text.clone(), id, *kind));
            }
        }
        for tokens in &mut by_first {
            tokens.sort_by_key(|(text, ..)| std::cmp::Reverse(text.len()));
        }
        SpecialTokens { by_first }
    }

    /// Cuts a text; control tokens are seen only where `parse_control`, as a person's text may
    /// spell them and mean letters.
    pub(crate) fn cut<'a>(&self, text: &'a str, parse_control: bool) -> Vec<Part<'a>> {
        let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let rest = &bytes[at..];
            let fits = |(token, _, kind): &&(String, u32, Kind)| {
                (parse_control || *kind == Kind::UserDefined) && rest.starts_with(token.as_bytes())
            };
            let Some((token, id, _)) = self.by_first[usize::from(bytes[at])].iter().find(fits)
            else {
                at += 1;
                continue;
            };
            if at > from {
                parts.push(Part::Text(&text[from..at]));
            }
            parts.push(Part::Special(*id));
            at += token.len();
            from = at;
        }
        if from < text.len() {
            parts.push(Part::Text(&text[from..]));
        }
        parts
    }
}
