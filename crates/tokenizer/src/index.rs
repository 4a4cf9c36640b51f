//! Hash tables of the crate: texts to ids, and pairs of ids to what they join to.
//!
//! Open addressing in one allocation each: a vocabulary of a quarter of a million tokens and half a
//! million merges is ready in tens of milliseconds. Seeds differ from run to run, so that a file
//! cannot be made to collide; results do not depend on them.

use std::hash::{BuildHasher, Hasher, RandomState};

const NONE: u32 = u32::MAX;

/// A seed of this process.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish() | 1
}

/// Mixes two numbers: the halves of their product together.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// A short text as a number: with its length no two texts of up to eight bytes are the same.
#[inline]
pub(crate) fn short(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let four = |at: usize| {
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
    };
    match len {
        0 => 0,
        1..4 => {
            let byte = |at: usize| u64::from(bytes[at]);
            byte(0) | byte(len / 2) << 8 | byte(len - 1) << 16
        }
        4..8 => four(0) | four(len - 4) << 32,
        _ => eight(bytes, 0),
    }
}

#[inline]
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if len <= 8 {
        return fold(short(bytes) ^ seed, seed ^ len as u64);
    }
    let mut hash = seed ^ len as u64;
    let mut at = 0;
    while at + 8 < len {
        hash = fold(hash ^ eight(bytes, at), seed);
        at += 8;
    }
    fold(hash ^ eight(bytes, len - 8), seed)
}

/// Texts to ids. The texts lie with the caller.
pub(crate) struct Index {
    seed: u64,
    /// Part of the hash, and the id.
    slots: Vec<(u32, u32)>,
}

impl Index {
    /// A table for so many texts.
    pub(crate) fn with_capacity(count: usize) -> Index {
        let slots = (count * 2).next_power_of_two().max(8);
        Index { seed: seed(), slots: vec![(0, NONE); slots] }
    }

    #[inline]
    fn start(&self, bytes: &[u8]) -> (usize, u32) {
        let hash = hash(self.seed, bytes);
        ((hash as usize) & (self.slots.len() - 1), (hash >> 32) as u32)
    }

    /// Adds an id, unless its text is there; whether it was not.
    pub(crate) fn insert<'a>(&mut self, id: u32, text: impl Fn(u32) -> &'a [u8]) -> bool {
        let bytes = text(id);
        let (mut at, tag) = self.start(bytes);
        loop {
            match self.slots[at] {
                (_, NONE) => break,
                (found, other) if found == tag && text(other) == bytes => return false,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
        self.slots[at] = (tag, id);
        true
    }

    /// Id of a text.
    #[inline]
    pub(crate) fn get<'a>(&self, bytes: &[u8], text: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        let (mut at, tag) = self.start(bytes);
        loop {
            match self.slots[at] {
                (_, NONE) => return None,
                (found, id) if found == tag && text(id) == bytes => return Some(id),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }
}

/// `(left, right)` to `(rank, joined)`.
pub(crate) struct Pairs {
    seed: u64,
    slots: Vec<Pair>,
}

#[derive(Clone, Copy)]
struct Pair {
    key: u64,
    rank: u32,
    joined: u32,
}

const FREE: u64 = u64::MAX;

impl Pairs {
    /// A table for so many pairs.
    pub(crate) fn with_capacity(count: usize) -> Pairs {
        let slots = (count + count / 2).next_power_of_two().max(8);
        let free = Pair { key: FREE, rank: 0, joined: 0 };
        Pairs { seed: seed(), slots: vec![free; slots] }
    }

    #[inline]
    fn find(&self, key: u64) -> usize {
        let mut at = fold(key ^ self.seed, self.seed) as usize & (self.slots.len() - 1);
        while self.slots[at].key != key && self.slots[at].key != FREE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// Adds a pair; one that is listed twice keeps its first rank.
    pub(crate) fn insert(&mut self, left: u32, right: u32, rank: u32, joined: u32) {
        let key = u64::from(left) << 32 | u64::from(right);
        let at = self.find(key);
        if self.slots[at].key == FREE {
            self.slots[at] = Pair { key, rank, joined };
        }
    }

    /// Rank and joined token of a pair.
    #[inline]
    pub(crate) fn get(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let pair = self.slots[self.find(u64::from(left) << 32 | u64::from(right))];
        (pair.key != FREE).then_some((pair.rank, pair.joined))
    }
}

/// Texts, and which of them a longer text begins with at a place.
pub(crate) struct Prefixes {
    factor: u64,
    texts: Vec<u8>,
    /// Start and length in `texts`, and the id.
    entries: Vec<(u32, u32, u32)>,
    /// Part of the hash, and the entry.
    slots: Vec<(u32, u32)>,
    /// Bytes of the longest text, by first character.
    longest: Vec<u16>,
    /// A bit for the hash of every beginning of a text: nothing longer is there where it is 0.
    begun: Vec<u64>,
}

/// Bits of `begun` for a text: a tenth of them are 1 where texts share few beginnings.
const BEGUN_BITS: usize = 64;

impl Prefixes {
    /// A table of texts with their ids; of two with one text the first wins.
    pub(crate) fn new<'a>(tokens: impl Iterator<Item = (&'a str, u32)>) -> Prefixes {
        let mut prefixes = Prefixes {
            factor: seed(),
            texts: Vec::new(),
            entries: Vec::new(),
            slots: Vec::new(),
            longest: vec![0; 1 << 12],
            begun: Vec::new(),
        };
        for (text, id) in tokens.filter(|(text, _)| !text.is_empty()) {
            let start = u32::try_from(prefixes.texts.len()).expect("bounded by the vocabulary");
            let len = u32::try_from(text.len()).expect("bounded by the vocabulary");
            prefixes.entries.push((start, len, id));
            prefixes.texts.extend_from_slice(text.as_bytes());
            let longest = &mut prefixes.longest[first_character(text.as_bytes())];
            *longest = (*longest).max(u16::try_from(len).unwrap_or(u16::MAX));
        }
        prefixes.slots = vec![(0, NONE); (prefixes.entries.len() * 2).next_power_of_two().max(8)];
        let bits = (prefixes.entries.len() * BEGUN_BITS).next_power_of_two();
        let mut begun = vec![0_u64; bits.div_ceil(64)];
        for entry in 0..prefixes.entries.len() {
            let text = prefixes.text(entry);
            let hash = text.iter().fold(0, |hash, byte| {
                let hash = prefixes.longer(hash, *byte);
                let (word, bit) = begun_at(hash, begun.len());
                begun[word] |= bit;
                hash
            });
            if prefixes.find(hash, text).is_none() {
                let mut at = prefixes.slot(hash);
                while prefixes.slots[at].1 != NONE {
                    at = (at + 1) & (prefixes.slots.len() - 1);
                }
                let entry = u32::try_from(entry).expect("bounded by the vocabulary");
                prefixes.slots[at] = ((hash >> 32) as u32, entry);
            }
        }
        prefixes.begun = begun;
        prefixes
    }

    fn text(&self, entry: usize) -> &[u8] {
        let (start, len, _) = self.entries[entry];
        &self.texts[start as usize..start as usize + len as usize]
    }

    /// Hash of a text that is one byte longer.
    #[inline]
    fn longer(&self, hash: u64, byte: u8) -> u64 {
        fold(hash ^ (u64::from(byte) + 1), self.factor)
    }

    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn find(&self, hash: u64, text: &[u8]) -> Option<u32> {
        let (mut at, tag) = (self.slot(hash), (hash >> 32) as u32);
        loop {
            match self.slots[at] {
                (_, NONE) => return None,
                (found, entry) if found == tag && self.text(entry as usize) == text => {
                    return Some(self.entries[entry as usize].2);
                }
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Calls `found` with length and id of every text that `bytes` begins with, shortest first.
    #[inline]
    pub(crate) fn each(&self, bytes: &[u8], mut found: impl FnMut(usize, u32)) {
        let longest = usize::from(self.longest[first_character(bytes)]).min(bytes.len());
        let mut hash = 0;
        for len in 1..=longest {
            hash = self.longer(hash, bytes[len - 1]);
            let (word, bit) = begun_at(hash, self.begun.len());
            if self.begun[word] & bit == 0 {
                break;
            }
            let ends_character = bytes.get(len).is_none_or(|byte| byte & 0xC0 != 0x80);
            if ends_character && let Some(id) = self.find(hash, &bytes[..len]) {
                found(len, id);
            }
        }
    }
}

/// Word of `begun`, a power of two of them, and bit in it.
#[inline]
fn begun_at(hash: u64, words: usize) -> (usize, u64) {
    // Other bits of the hash than those that choose a slot and are kept there.
    ((hash.rotate_left(21) as usize) & (words - 1), 1 << (hash >> 37 & 63))
}

/// A number below 4096 for the first character.
fn first_character(bytes: &[u8]) -> usize {
    let len = bytes.first().map_or(0, |byte| character_len(*byte)).min(bytes.len());
    let code = bytes[..len].iter().fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
    (code.wrapping_mul(0x9E37_79B1) >> 20) as usize
}

/// Bytes of a character, by its first one.
pub(crate) fn character_len(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Pairs, Prefixes, short};

    #[test]
    fn texts_are_found_and_the_first_of_two_wins() {
        let texts: Vec<Vec<u8>> =
            (0_u32..5000).map(|i| "ab".repeat(i as usize % 40).into_bytes()).collect();
        let text = |id: u32| texts[id as usize].as_slice();
        let mut index = Index::with_capacity(texts.len());
        let added = (0..5000).filter(|id| index.insert(*id, text)).count();
        assert_eq!(added, 40);
        for (id, bytes) in texts.iter().enumerate() {
            assert_eq!(index.get(bytes, text), Some(u32::try_from(id % 40).expect("small")));
        }
        assert_eq!(index.get(b"abc", text), None);
    }

    #[test]
    fn pairs_keep_their_first_rank() {
        let mut pairs = Pairs::with_capacity(1000);
        (0..1000).for_each(|i| pairs.insert(i, i / 7, i, i + 1));
        pairs.insert(3, 0, 99, 99);
        assert_eq!(pairs.get(3, 0), Some((3, 4)));
        assert_eq!(pairs.get(999, 142), Some((999, 1000)));
        assert_eq!(pairs.get(142, 999), None);
    }

    #[test]
    fn every_beginning_is_found_at_whole_characters() {
        let tokens = [("a", 0), ("ab", 1), ("ab漢", 2), ("漢", 3), ("a", 4), ("", 5)];
        let prefixes = Prefixes::new(tokens.into_iter());
        let found = |text: &str| {
            let mut found = Vec::new();
            prefixes.each(text.as_bytes(), |len, id| found.push((len, id)));
            found
        };
        assert_eq!(found("ab漢字"), [(1, 0), (2, 1), (5, 2)]);
        assert_eq!(found("漢"), [(3, 3)]);
        assert_eq!(found("x"), []);
        assert_eq!(found(""), []);
    }

    #[test]
    fn short_texts_of_one_length_are_different_numbers() {
        let mut numbers: Vec<u64> = (0..=255).map(|byte| short(&[1, byte, 2])).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 256);
        assert_ne!(short(b"abcde"), short(b"abcdf"));
    }
}
