//! Where the last tokens stood before.

use std::collections::HashMap;

/// Tokens that must be the same for what followed them to be a draft.
pub(super) const GRAM: usize = 3;

/// The places of all grams of a conversation, each with what followed it last.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// By gram: the position after it.
    after: HashMap<[u32; GRAM], u32>,
    /// Grams that end before this position are known.
    known: usize,
}

impl Lookup {
    /// What followed the last tokens when they stood there before; at most `most` tokens, and none
    /// when they never did.
    pub(crate) fn draft<'a>(&mut self, tokens: &'a [u32], most: usize) -> &'a [u32] {
        // The gram at the end is not yet followed by anything.
        for end in self.known.max(GRAM)..tokens.len() {
            let place = u32::try_from(end).expect("a context is shorter than 2^32 tokens");
            self.after.insert(gram(&tokens[..end]), place);
        }
        self.known = tokens.len();
        if tokens.len() < GRAM {
            return &[];
        }
        let Some(place) = self.after.get(&gram(tokens)) else { return &[] };
        let rest = &tokens[*place as usize..];
        &rest[..rest.len().min(most)]
    }
}

/// The last tokens; there are as many.
pub(super) fn gram(tokens: &[u32]) -> [u32; GRAM] {
    let mut gram = [0; GRAM];
    gram.copy_from_slice(&tokens[tokens.len() - GRAM..]);
    gram
}
