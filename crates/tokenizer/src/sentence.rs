//! SentencePiece BPE, Llama's kind: words are characters, and the pair whose token has the best
//! score is joined first; what is no token is spelled in bytes.

use crate::merge::{Merger, Symbol, place};
use crate::vocabulary::Vocabulary;

pub(crate) struct Sentence {
    /// Token of each byte, `<0xAB>`.
    bytes: [u32; 256],
    unknown: Option<u32>,
}

const NONE: u32 = u32::MAX;
/// Symbols from here on are characters that are no token.
const CHARACTERS: u32 = 1 << 31;

impl Sentence {
    pub(crate) fn new(vocabulary: &Vocabulary, unknown: Option<u32>) -> Sentence {
        Sentence { bytes: vocabulary.byte_tokens(), unknown }
    }

    /// Appends the ids of a word.
    pub(crate) fn word(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) {
        let bytes = word.as_bytes();
        merger.symbols.clear();
        merger.symbols.extend(word.char_indices().map(|(at, c)| {
            let end = at + c.len_utf8();
            let id = vocabulary.piece(&bytes[at..end]).unwrap_or(CHARACTERS | u32::from(c));
            Symbol { id, start: place(at), end: place(end) }
        }));
        merger.merge(|left, right| {
            let (start, end) = (left.start as usize, right.end as usize);
            if end - start > vocabulary.longest {
                return None;
            }
            let joined = vocabulary.piece(&bytes[start..end])?;
            Some((order(vocabulary.scores[joined as usize]), joined))
        });
        for symbol in &merger.symbols {
            if symbol.id < CHARACTERS {
                out.push(symbol.id);
                continue;
            }
            for byte in &bytes[symbol.start as usize..symbol.end as usize] {
                let id = self.bytes[usize::from(*byte)];
                out.extend(if id == NONE { self.unknown } else { Some(id) });
            }
        }
    }
}

/// A score as an order, the highest first; never the order that means none.
fn order(score: f32) -> u32 {
    let bits = score.to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (!rising).min(NONE - 1)
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn the_highest_score_has_the_least_order() {
        let scores = [f32::INFINITY, 3.5, 1e-9, 0.0, -1e-9, -2.0, -1e30, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|two| order(two[0]) < order(two[1])));
    }
}
