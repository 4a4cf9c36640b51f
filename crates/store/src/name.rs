//! Names of models: what they may be, how they are spelled as file names, and which known name is
//! spelled most alike.

use crate::limits::NAME_LEN_MAX;
use crate::{Error, Result};

/// A checked name in lower case: `a-z 0-9 . _ - / :`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    /// Checks `text`; upper case becomes lower.
    pub(crate) fn parse(text: &str) -> Result<Name> {
        let wrong = |why| {
            let name: String = text.chars().take(NAME_LEN_MAX).collect();
            Error::Name { name, why }
        };
        let name = text.to_ascii_lowercase();
        if name.is_empty() {
            return Err(wrong("it is empty"));
        }
        if name.len() > NAME_LEN_MAX {
            return Err(wrong("it is longer than 120 characters"));
        }
        let is_known =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
        if !name.chars().all(is_known) {
            return Err(wrong("use letters, digits and . _ - / : only"));
        }
        if !name.split(['/', ':']).all(is_word) {
            return Err(wrong("each part begins with a letter or digit"));
        }
        Ok(Name(name))
    }

    /// Itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A file name; different names have different ones, as neither `+` nor `@` is in a name.
    pub(crate) fn file_stem(&self) -> String {
        self.0.replace('/', "+").replace(':', "@")
    }
}

fn is_word(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The one of `known` that takes the fewest edits to become `text`, if that is not too many.
pub(crate) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.to_lowercase().chars().take(NAME_LEN_MAX).collect();
    let scored = known.map(|name| (edits(&text, name), name));
    let best = scored.min_by_key(|(edits, _)| *edits);
    best.filter(|(edits, name)| *edits <= name.chars().count() / 3 + 1).map(|(_, name)| name)
}

/// Levenshtein distance, one row of the table at a time.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Name, edits, nearest};

    #[test]
    fn names() {
        for good in ["smollm2", "smollm2:135m", "owner/repo.v1:q4_k_m", "0-a"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Name::parse("Owner/Repo").unwrap().as_str(), "owner/repo");
        let long = "a".repeat(121);
        for bad in
            ["", "..", "../x", "a/../b", "a//b", "/a", "a/", "a b", "a\\b", "ä", "a\0", &long]
        {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_names_do_not_collide() {
        let stem = |text| Name::parse(text).unwrap().file_stem();
        assert_eq!(stem("a/b:c"), "a+b@c");
        assert_ne!(stem("a/b"), stem("a:b"));
    }

    #[test]
    fn nearest_names() {
        let known = ["smollm2", "qwen3", "gemma3"];
        let near = |text| nearest(text, known.into_iter());
        assert_eq!(near("smolm2"), Some("smollm2"));
        assert_eq!(near("Gema3"), Some("gemma3"));
        assert_eq!(near("completely-different"), None);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
