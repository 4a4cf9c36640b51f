//! BPE by rank: a word is bytes or characters, and pairs are joined in the order learnt.

use crate::bytes::letters;
use crate::index::{Index, Pairs};
use crate::limits::MERGES_MAX;
use crate::merge::{Merger, Symbol, place};
use crate::vocabulary::{Kind, Vocabulary};
use crate::{Error, Result};

/// What a word is made of before its parts are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    Bytes,
    Characters,
}

/// Which words that are a token as a whole are taken as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    None,
    All,
    /// Ends of lines, Gemma 4's way.
    LineEnds,
}

pub(crate) struct Bpe {
    parts: Parts,
    whole: Whole,
    /// Tokens by their bytes, where whole words are taken as they are.
    words: Index,
    /// Token of each byte; `NONE` in vocabularies that lack it.
    bytes: [u32; 256],
    /// Token of what has none, and whether neighbours of that kind are one.
    unknown: Option<(u32, bool)>,
    pairs: Pairs,
}

const NONE: u32 = u32::MAX;

/// A merge as the file writes it, and its place in the list.
pub(crate) type MergeText<'a> = (&'a str, &'a str);

impl Bpe {
    pub(crate) fn new<'a>(
        vocabulary: &Vocabulary,
        parts: Parts,
        whole: Whole,
        unknown: Option<(u32, bool)>,
        merges: impl ExactSizeIterator<Item = Option<MergeText<'a>>>,
    ) -> Result<Bpe> {
        if merges.len() > MERGES_MAX {
            let what = format!("{} merges: {MERGES_MAX} go", merges.len());
            return Err(Error::Vocabulary(what));
        }
        let mut pairs = Pairs::with_capacity(merges.len());
        // Merges mostly come in the order of their tokens: the next one is tried first.
        let mut next = 0;
        for (merge, rank) in merges.zip(0..) {
            let ids = merge.and_then(|(left, right)| {
                let (left, right) = (left.as_bytes(), right.as_bytes());
                let joined = joined_id(vocabulary, next, left, right)?;
                Some((vocabulary.id_of(left)?, vocabulary.id_of(right)?, joined))
            });
            let Some((left, right, joined)) = ids else {
                let text = merge.map_or(String::new(), |(a, b)| format!(" (`{a} {b}`)"));
                let what = format!("merge {rank}{text} names no tokens");
                return Err(Error::Vocabulary(what));
            };
            pairs.insert(left, right, rank, joined);
            next = joined + 1;
        }
        let bytes = match parts {
            Parts::Bytes => {
                let letter = |i: usize| letters()[i].encode_utf8(&mut [0; 4]).to_owned();
                let byte = |i: usize| vocabulary.id_of(letter(i).as_bytes()).unwrap_or(NONE);
                std::array::from_fn(byte)
            }
            Parts::Characters => vocabulary.byte_tokens(),
        };
        let words = match whole {
            Whole::All => words(vocabulary),
            Whole::None | Whole::LineEnds => Index::with_capacity(0),
        };
        Ok(Bpe { parts, whole, words, bytes, unknown, pairs })
    }

    /// A byte of printable ASCII that has no token, if there is one.
    pub(crate) fn lacking(&self) -> Option<usize> {
        (0x20..0x7F).find(|i| self.bytes[*i] == NONE)
    }

    /// Appends the ids of a word.
    pub(crate) fn word(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) {
        if let Some(id) = self.whole_word(vocabulary, word) {
            out.push(id);
            return;
        }
        merger.symbols.clear();
        match self.parts {
            Parts::Bytes => {
                for (at, byte) in word.bytes().enumerate() {
                    self.push_byte(merger, byte, place(at), false);
                }
            }
            Parts::Characters => self.characters(vocabulary, word, merger),
        }
        merger.merge(|left, right| self.pairs.get(left.id, right.id));
        out.extend(merger.symbols.iter().map(|symbol| symbol.id));
    }

    fn whole_word(&self, vocabulary: &Vocabulary, word: &str) -> Option<u32> {
        match self.whole {
            Whole::None => None,
            Whole::All => self.words.get(word.as_bytes(), |id| vocabulary.bytes(id)),
            Whole::LineEnds if word.bytes().all(|byte| byte == b'\n') => {
                vocabulary.piece(word.as_bytes())
            }
            Whole::LineEnds => None,
        }
    }

    /// Appends the symbol of a byte, or the unknown one.
    fn push_byte(&self, merger: &mut Merger, byte: u8, at: u32, was_unknown: bool) -> bool {
        let id = self.bytes[usize::from(byte)];
        if id != NONE {
            merger.symbols.push(Symbol { id, start: at, end: at + 1 });
            return false;
        }
        if let Some((id, one)) = self.unknown
            && !(one && was_unknown)
        {
            merger.symbols.push(Symbol { id, start: at, end: at + 1 });
        }
        true
    }

    fn characters(&self, vocabulary: &Vocabulary, word: &str, merger: &mut Merger) {
        let mut was_unknown = false;
        for (at, c) in word.char_indices() {
            let text = &word.as_bytes()[at..at + c.len_utf8()];
            if let Some(id) = vocabulary.piece(text) {
                let (start, end) = (place(at), place(at + text.len()));
                merger.symbols.push(Symbol { id, start, end });
                was_unknown = false;
                continue;
            }
            let spelled = text.iter().all(|byte| self.bytes[usize::from(*byte)] != NONE);
            // A character is known by all its bytes, or unknown as one.
            let bytes = if spelled { text } else { &text[..1] };
            for (i, byte) in bytes.iter().enumerate() {
                if spelled {
                    self.push_byte(merger, *byte, place(at + i), false);
                    was_unknown = false;
                } else if let Some((id, one)) = self.unknown {
                    if !(one && was_unknown) {
                        let (start, end) = (place(at), place(at + text.len()));
                        merger.symbols.push(Symbol { id, start, end });
                    }
                    was_unknown = true;
                }
            }
        }
    }
}

fn joined_id(vocabulary: &Vocabulary, next: u32, left: &[u8], right: &[u8]) -> Option<u32> {
    let guesses = [next, next.wrapping_sub(1)];
    let fits = |id: &u32| vocabulary.unique && vocabulary.is_text(*id, left, right);
    guesses.into_iter().find(fits).or_else(|| vocabulary.id_of(&[left, right].concat()))
}

/// Tokens that stand for a word: never a control token, which only the template may write.
fn words(vocabulary: &Vocabulary) -> Index {
    let mut words = Index::with_capacity(vocabulary.len());
    for id in vocabulary.ids().filter(|id| vocabulary.kinds[*id as usize] == Kind::Normal) {
        words.insert(id, |id| vocabulary.bytes(id));
    }
    words
}

/// Splits a merge as GGUF writes it: at the first space after the first letter, as a token may
/// begin with one.
pub(crate) fn split_merge(line: &str) -> Option<MergeText<'_>> {
    let first = line.chars().next()?.len_utf8();
    let at = first + line[first..].find(' ')?;
    Some((&line[..at], &line[at + 1..]))
}
