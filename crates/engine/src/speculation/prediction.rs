//! What the asker believes the answer to be, such as a file of which little is to change: where
//! the answer says the same, what follows there is drafted.

use std::collections::HashMap;

use super::lookup::{GRAM, gram};

/// A text that the answer may follow, and how far it has.
#[derive(Debug)]
pub(crate) struct Prediction {
    tokens: Vec<u32>,
    /// By gram: the positions after it, in order.
    after: HashMap<[u32; GRAM], Vec<u32>>,
    /// The answer was last seen to follow it up to here.
    at: usize,
}

impl Prediction {
    pub(crate) fn new(tokens: Vec<u32>) -> Prediction {
        let mut after: HashMap<_, Vec<u32>> = HashMap::new();
        for (end, place) in (GRAM..=tokens.len()).zip((0..).skip(GRAM)) {
            after.entry(gram(&tokens[..end])).or_default().push(place);
        }
        Prediction { tokens, after, at: 0 }
    }

    /// What follows in it after the last tokens of `answer`; at most `most` tokens, and none when
    /// they are not in it. Of several places the next one counts, for an answer seldom goes back.
    pub(crate) fn draft(&mut self, answer: &[u32], most: usize) -> &[u32] {
        let place = if answer.len() < GRAM {
            // It may begin as the answer does.
            self.tokens.starts_with(answer).then_some(answer.len())
        } else {
            self.after.get(&gram(answer)).map(|places| {
                let next = places.partition_point(|place| (*place as usize) < self.at);
                places[next.min(places.len() - 1)] as usize
            })
        };
        let Some(place) = place else { return &[] };
        self.at = place;
        let rest = &self.tokens[place..];
        &rest[..rest.len().min(most)]
    }
}
