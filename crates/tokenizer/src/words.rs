//! Words that were just seen, with their ids: in a text most words come again and again. The table
//! has a fixed size, and a new word takes the place of the old one that lies in its way.

use crate::index::short;
use crate::limits::WORDS_MAX;

/// Bytes of a word that is remembered.
const WORD_MAX: usize = 32;
/// Ids of a word that is remembered.
const IDS_MAX: usize = 6;

/// 64 bytes: one line of the processor's cache.
#[derive(Clone, Copy)]
struct Entry {
    key: [u64; 4],
    ids: [u32; IDS_MAX],
    /// Bytes of the word; 0 where there is none.
    len: u8,
    count: u8,
}

pub(crate) struct Words {
    entries: Vec<Entry>,
}

const EMPTY: Entry = Entry { key: [0; 4], ids: [0; IDS_MAX], len: 0, count: 0 };

/// A word as four numbers; with its length no two words are the same.
#[inline]
fn key(word: &[u8]) -> Option<[u64; 4]> {
    let len = word.len();
    match len {
        0..=8 => Some([short(word), 0, 0, 0]),
        9..=16 => Some([short(word), short(&word[len - 8..]), 0, 0]),
        17..=WORD_MAX => Some([
            short(word),
            short(&word[8..]),
            short(&word[len - 16..]),
            short(&word[len - 8..]),
        ]),
        _ => None,
    }
}

#[inline]
fn slot(key: &[u64; 4], len: usize) -> usize {
    let mixed = (key[0] ^ len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (key[1] ^ key[2]).rotate_left(23).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ^ key[3].wrapping_mul(0x1656_67B1_9E37_79F9);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) as usize >> 40 & (WORDS_MAX - 1)
}

impl Words {
    /// What it takes, however few words it knows.
    pub(crate) const BYTES: u64 = (WORDS_MAX * size_of::<Entry>()) as u64;

    pub(crate) fn new() -> Words {
        Words { entries: vec![EMPTY; WORDS_MAX] }
    }

    /// Appends the ids of a word: those remembered, or those that `make` appends.
    #[inline]
    pub(crate) fn ids(
        &mut self,
        word: &str,
        out: &mut Vec<u32>,
        make: impl FnOnce(&str, &mut Vec<u32>),
    ) {
        let Some(key) = key(word.as_bytes()) else {
            make(word, out);
            return;
        };
        let entry = &mut self.entries[slot(&key, word.len())];
        if usize::from(entry.len) == word.len() && entry.key == key {
            out.extend_from_slice(&entry.ids[..usize::from(entry.count)]);
            return;
        }
        let before = out.len();
        make(word, out);
        let made = &out[before..];
        if made.len() <= IDS_MAX {
            entry.key = key;
            entry.ids[..made.len()].copy_from_slice(made);
            entry.len = u8::try_from(word.len()).expect("no longer than WORD_MAX");
            entry.count = u8::try_from(made.len()).expect("no more than IDS_MAX");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_word_is_made_once_and_never_taken_for_another() {
        let mut words = Words::new();
        let mut made = 0;
        let mut check = |word: &str| {
            let wanted: Vec<u32> = word.bytes().take(7).map(u32::from).collect();
            let mut ids = Vec::new();
            words.ids(word, &mut ids, |word, out| {
                made += 1;
                out.extend(word.bytes().take(7).map(u32::from));
            });
            assert_eq!(ids, wanted, "{word}");
            made
        };
        assert_eq!((check("the"), check("the"), check("teh"), check("th")), (1, 1, 2, 3));
        // Too many ids, or too long: made each time.
        assert_eq!((check("sevenid"), check("sevenid")), (4, 5));
        let long = "x".repeat(33);
        assert_eq!((check(&long), check(&long)), (6, 7));
        for i in 0..100_000_u32 {
            check(&format!("{i:x}"));
        }
    }
}
