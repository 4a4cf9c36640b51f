//! SentencePiece's table of character replacements: which beginning of a text becomes what.
//!
//! A double array in which each unit of 32 bits holds a character and where its children lie,
//! then the replacements, each ended by a zero byte.
//! Source: darts-clone, as SentencePiece writes it into `precompiled_charsmap`.

use crate::limits::CHARSMAP_BYTES_MAX;
use crate::{Error, Result};

pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl Charsmap {
    pub(crate) fn read(bytes: &[u8]) -> Result<Charsmap> {
        let wrong = |what: String| Error::Vocabulary(format!("the table of characters {what}"));
        if bytes.len() > CHARSMAP_BYTES_MAX {
            return Err(wrong(format!("has {} bytes: {CHARSMAP_BYTES_MAX} go", bytes.len())));
        }
        let cut = bytes.split_at_checked(4).and_then(|(head, rest)| {
            let len = u32::from_le_bytes(head.try_into().ok()?) as usize;
            rest.split_at_checked(len).filter(|_| len >= 4 && len.is_multiple_of(4))
        });
        let Some((units, replacements)) = cut else {
            return Err(wrong("is shorter than it says".to_owned()));
        };
        let unit = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let units = units.chunks_exact(4).map(unit).collect();
        if std::str::from_utf8(replacements).is_err() || replacements.last() != Some(&0) {
            return Err(wrong("holds replacements that are no text".to_owned()));
        }
        Ok(Charsmap { units, replacements: replacements.to_vec() })
    }

    /// Appends a text with every replacement made, the longest at each place.
    pub(crate) fn apply(&self, text: &str, out: &mut String) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((len, place)) = self.longest(rest.as_bytes())
                && let Some(replacement) = self.replacement(place)
                && rest.is_char_boundary(len)
            {
                out.push_str(replacement);
                rest = &rest[len..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    fn replacement(&self, place: usize) -> Option<&str> {
        let rest = self.replacements.get(place..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// Length of the longest beginning that is replaced, and where its replacement lies.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut found = None;
        let mut node = children(self.units[0]);
        for (i, byte) in text.iter().enumerate() {
            if *byte == 0 {
                break;
            }
            node ^= usize::from(*byte);
            let Some(unit) = self.units.get(node).copied() else { break };
            // The character of a unit, and the bit that says it is a value and no child.
            if unit & (1 << 31 | 0xFF) != u32::from(*byte) {
                break;
            }
            node ^= children(unit);
            if unit >> 8 & 1 == 1 {
                let value = self.units.get(node)? & !(1 << 31);
                found = Some((i + 1, value as usize));
            }
        }
        found
    }
}

/// Where a unit's children lie, as a difference.
fn children(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::Charsmap;

    /// `a` becomes `xyz`, by hand: the root's children lie at 1024 ^ byte; the value of the child
    /// lies where its own children begin.
    fn table() -> Vec<u8> {
        let mut units = vec![0_u32; 2100];
        units[0] = 1024 << 10;
        let child = 1024 ^ usize::from(b'a');
        units[child] = 512 << 10 | 1 << 8 | u32::from(b'a');
        units[child ^ 512] = 1 << 31 | 3;
        let mut bytes = u32::try_from(units.len() * 4).expect("small").to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(b"no\0xyz\0");
        bytes
    }

    #[test]
    fn what_the_table_has_is_replaced() {
        let table = Charsmap::read(&table()).expect("a table");
        let mut out = String::new();
        table.apply("bab漢a", &mut out);
        assert_eq!(out, "bxyzb漢xyz");
    }

    #[test]
    fn damaged_tables_are_refused_or_replace_nothing() {
        let whole = table();
        let huge = [&u32::MAX.to_le_bytes()[..], &whole[4..]].concat();
        for bytes in [&whole[..3], &whole[..400], &huge, &[0; 8], b"\x04\0\0\0\0\0\0\0\xFF\0"] {
            let error = Charsmap::read(bytes).map(|_| ()).expect_err("damaged").to_string();
            assert!(error.contains("table of characters"), "{error}");
        }
        // A unit that points outside.
        let mut bytes = whole;
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut out = String::new();
        Charsmap::read(&bytes).expect("whole").apply("aa", &mut out);
        assert_eq!(out, "aa");
    }
}
