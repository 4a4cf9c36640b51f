//! WordPiece, BERT's kind: from left to right the longest token; a word that cannot be spelled so
//! is unknown as a whole.

use crate::index::Prefixes;

pub(crate) struct WordPiece {
    /// Tokens that begin a word.
    initial: Prefixes,
    /// Tokens that go on with a word.
    continuing: Prefixes,
    unknown: u32,
    chars_max: usize,
}

impl WordPiece {
    /// Tokens without the marks that tell which of the two they are.
    pub(crate) fn new<'a>(
        initial: impl Iterator<Item = (&'a str, u32)>,
        continuing: impl Iterator<Item = (&'a str, u32)>,
        unknown: u32,
        chars_max: usize,
    ) -> WordPiece {
        let (initial, continuing) = (Prefixes::new(initial), Prefixes::new(continuing));
        WordPiece { initial, continuing, unknown, chars_max }
    }

    /// Appends the ids of a word.
    pub(crate) fn word(&self, word: &str, out: &mut Vec<u32>) {
        let first = out.len();
        let mut rest = word.as_bytes();
        if word.len() > self.chars_max && word.chars().count() > self.chars_max {
            out.push(self.unknown);
            return;
        }
        let mut tokens = &self.initial;
        while !rest.is_empty() {
            let mut longest = None;
            tokens.each(rest, |len, id| longest = Some((len, id)));
            let Some((len, id)) = longest else {
                out.truncate(first);
                out.push(self.unknown);
                return;
            };
            out.push(id);
            rest = &rest[len..];
            tokens = &self.continuing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WordPiece;

    #[test]
    fn the_longest_goes_first_and_one_hole_makes_the_word_unknown() {
        let initial = [("un", 1), ("unable", 2), ("a", 3)];
        let pieces = WordPiece::new(initial.into_iter(), [("able", 4), ("s", 5)].into_iter(), 0, 9);
        let check = |word: &str, wanted: &[u32]| {
            let mut ids = vec![7];
            pieces.word(word, &mut ids);
            assert_eq!(ids[1..], *wanted, "{word}");
        };
        check("unables", &[2, 5]);
        check("aable", &[3, 4]);
        check("unx", &[0]);
        check("ables", &[0]);
        check("assssssss", &[3, 5, 5, 5, 5, 5, 5, 5, 5]);
        check("asssssssss", &[0]);
    }
}
