//! SentencePiece unigram, T5's kind: of all ways to cut a word the one with the best sum of
//! scores, found from left to right (Viterbi).
//! Source: Kudo 2018, "Subword Regularization", section 3.2.

use crate::index::{Prefixes, character_len};
use crate::merge::place;
use crate::vocabulary::{Kind, Vocabulary};

pub(crate) struct Unigram {
    tokens: Prefixes,
    unknown: u32,
    /// Score of a character that is no token.
    unknown_score: f64,
    /// Token of each byte, where what is unknown is spelled; else `NONE`.
    bytes: [u32; 256],
}

const NONE: u32 = u32::MAX;
/// An unknown character costs so much more than the worst token.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The best way to a place in the word.
#[derive(Clone, Copy)]
pub(crate) struct Best {
    score: f64,
    from: u32,
    id: u32,
}

impl Unigram {
    /// `spells` says whether what is unknown is spelled in bytes.
    pub(crate) fn new(vocabulary: &Vocabulary, unknown: u32, spells: bool) -> Unigram {
        let fits = |id: &u32| {
            let kind = vocabulary.kinds[*id as usize];
            matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused)
        };
        let tokens = vocabulary.ids().filter(fits).map(|id| (vocabulary.text(id), id));
        let normal = vocabulary.scores.iter().zip(&vocabulary.kinds);
        let normal = normal.filter(|(_, kind)| **kind == Kind::Normal);
        let least = normal.map(|(score, _)| f64::from(*score)).fold(f64::INFINITY, f64::min);
        let least = if least.is_finite() { least } else { 0.0 };
        Unigram {
            tokens: Prefixes::new(tokens),
            unknown,
            unknown_score: least - UNKNOWN_PENALTY,
            bytes: if spells { vocabulary.byte_tokens() } else { [NONE; 256] },
        }
    }

    /// Appends the ids of a word.
    pub(crate) fn word(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        best: &mut Vec<Best>,
        out: &mut Vec<u32>,
    ) {
        let bytes = word.as_bytes();
        let unreached = Best { score: f64::NEG_INFINITY, from: 0, id: self.unknown };
        best.clear();
        best.resize(bytes.len() + 1, unreached);
        best[0].score = 0.0;
        let mut at = 0;
        while at < bytes.len() {
            let (here, from) = (best[at].score, place(at));
            let len = character_len(bytes[at]);
            let mut offer = |to: usize, id: u32, score: f64| {
                if score > best[to].score {
                    best[to] = Best { score, from, id };
                }
            };
            let mut whole = false;
            self.tokens.each(&bytes[at..], |long, id| {
                whole |= long == len;
                // Tokens that people defined win over all others.
                let defined = vocabulary.kinds[id as usize] == Kind::UserDefined;
                let score = if defined { 0.0 } else { vocabulary.scores[id as usize] };
                offer(at + long, id, here + f64::from(score));
            });
            if !whole {
                offer(at + len, self.unknown, here + self.unknown_score);
            }
            at += len;
        }
        self.trace(bytes, best, out);
    }

    /// Appends the best way, which is known from its end.
    fn trace(&self, bytes: &[u8], best: &[Best], out: &mut Vec<u32>) {
        let first = out.len();
        let mut at = bytes.len();
        let mut was_unknown = false;
        while at > 0 {
            let Best { from, id, .. } = best[at];
            let from = from as usize;
            let spelled = id == self.unknown
                && bytes[from..at].iter().all(|byte| self.bytes[usize::from(*byte)] != NONE);
            if spelled {
                out.extend(bytes[from..at].iter().rev().map(|byte| self.bytes[usize::from(*byte)]));
            } else if !(was_unknown && id == self.unknown) {
                // Unknown neighbours are one.
                out.push(id);
            }
            was_unknown = id == self.unknown && !spelled;
            at = from;
        }
        out[first..].reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::Unigram;
    use crate::vocabulary::{Kind, Vocabulary, Writing};

    #[test]
    fn the_best_sum_wins_and_unknown_neighbours_are_one() {
        let texts = ["<unk>", "a", "b", "ab", "abc", "<0xC3>", "<0xA4>"];
        let scores = vec![0.0, -1.0, -1.0, -2.5, -9.0, 0.0, 0.0];
        let mut kinds = vec![Kind::Normal; 5];
        kinds[0] = Kind::Unknown;
        kinds.extend([Kind::Byte, Kind::Byte]);
        let vocabulary = Vocabulary::new(texts.into_iter(), kinds, scores, Writing::Sentence);
        let vocabulary = vocabulary.expect("a vocabulary");
        let check = |spells, word: &str, wanted: &[u32]| {
            let (mut best, mut ids) = (Vec::new(), Vec::new());
            Unigram::new(&vocabulary, 0, spells).word(&vocabulary, word, &mut best, &mut ids);
            assert_eq!(ids, wanted, "{word}");
        };
        check(false, "ab", &[1, 2]);
        check(false, "abc", &[4]);
        check(false, "xya漢b", &[0, 1, 0, 2]);
        check(true, "aäx", &[1, 5, 6, 0]);
        check(false, "", &[]);
    }
}
