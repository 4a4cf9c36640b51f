//! Many texts in one piece of memory.

use std::fmt;

/// Texts one behind the other: a vocabulary has hundreds of thousands of them, and as many small
/// pieces of memory would be slow to take and stay with the process after they are given back.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Of each text, where it ends in `text`.
    ends: Vec<usize>,
}

impl Strings {
    /// No texts.
    #[must_use]
    pub fn new() -> Strings {
        Strings::default()
    }

    /// None, with room for the ends of so many.
    pub(crate) fn with_capacity(count: usize) -> Strings {
        Strings { text: String::new(), ends: Vec::with_capacity(count) }
    }

    /// Adds one.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Gives back the room for more.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A text by its number.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let first = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[first..end])
    }

    /// Every text in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let mut first = 0;
        self.ends.iter().map(move |end| {
            let text = &self.text[first..*end];
            first = *end;
            text
        })
    }
}

impl<T: AsRef<str>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Strings {
        let mut strings = Strings::new();
        texts.into_iter().for_each(|text| strings.push(text.as_ref()));
        strings
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Strings;

    #[test]
    fn texts_come_back_as_they_went_in() {
        let texts = ["", "a", "", "東京", "x y"];
        let strings: Strings = texts.iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), texts);
        assert_eq!(strings.iter().len(), 5);
        let each: Vec<Option<&str>> = (0..6).map(|index| strings.get(index)).collect();
        assert_eq!(each[..5], texts.map(Some));
        assert_eq!(each[5], None);
        assert_eq!(format!("{strings:?}"), format!("{texts:?}"));
        assert!(Strings::new().is_empty());
    }
}
