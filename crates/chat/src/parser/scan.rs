//! Finding things in text that is still being written: markers, and the end of a JSON value.

/// What a search for markers found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No marker, and none has begun.
    Nothing,
    /// From this byte on a marker may have begun: more text decides.
    Maybe(usize),
    /// The marker of this number begins at this byte.
    At { at: usize, marker: usize },
}

/// The earliest marker, and of those at one place the longest. `last` says that no more text comes.
pub(crate) fn find(text: &str, markers: &[&str], last: bool) -> Found {
    for (at, _) in text.char_indices() {
        let rest = &text[at..];
        let mut longest: Option<usize> = None;
        let mut begun = false;
        for (number, marker) in markers.iter().enumerate() {
            if rest.starts_with(marker) {
                if longest.is_none_or(|other| markers[other].len() < marker.len()) {
                    longest = Some(number);
                }
            } else if !last && marker.starts_with(rest) {
                begun = true;
            }
        }
        match longest {
            _ if begun => return Found::Maybe(at),
            Some(marker) => return Found::At { at, marker },
            None => {}
        }
    }
    Found::Nothing
}

/// Whether a text begins with a word, as far as can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Yes,
    No,
    /// The text is the word's beginning: more text decides.
    Maybe,
}

/// Whether `text` begins with `word`; where no more text comes, half a word is none.
pub(crate) fn begins(text: &str, word: &str, last: bool) -> Begins {
    if text.starts_with(word) {
        Begins::Yes
    } else if !last && word.starts_with(text) {
        Begins::Maybe
    } else {
        Begins::No
    }
}

/// Follows a JSON value byte by byte to its end. It counts brackets and strings and judges nothing
/// else: whether the value is right is for a real reader, once it is whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct JsonScan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Bytes read.
    pub(crate) at: usize,
}

impl JsonScan {
    pub(crate) fn new(at: usize) -> JsonScan {
        JsonScan { at, ..JsonScan::default() }
    }

    /// Reads on to a byte, whatever the depth.
    pub(crate) fn skip_to(&mut self, text: &str, at: usize) {
        self.advance(&text[..at], 0);
    }

    /// Reads on until the depth falls to `floor`; whether it did.
    pub(crate) fn advance(&mut self, text: &str, floor: u32) -> bool {
        for byte in text.bytes().skip(self.at) {
            self.at += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth <= floor {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, JsonScan, find};

    #[test]
    fn the_longest_of_the_earliest_markers_is_found() {
        let markers = ["<a>", "<a>b", "</"];
        let check = |text: &str, last: bool, wanted: Found| {
            assert_eq!(find(text, &markers, last), wanted, "{text} {last}");
        };
        check("xx", false, Found::Nothing);
        check("x<", false, Found::Maybe(1));
        check("x<", true, Found::Nothing);
        check("ü<a>", false, Found::Maybe(2));
        check("ü<a>", true, Found::At { at: 2, marker: 0 });
        check("<a>c", false, Found::At { at: 0, marker: 0 });
        check("<a>b</", false, Found::At { at: 0, marker: 1 });
    }

    #[test]
    fn a_json_value_ends_where_its_brackets_do() {
        let check = |text: &str, wanted: Option<usize>| {
            let mut scan = JsonScan::new(0);
            let ended = scan.advance(text, 0);
            assert_eq!(ended.then_some(scan.at), wanted, "{text}");
        };
        check(r#"{"a": "}\"}", "b": [1]} x"#, Some(23));
        check(r#"[{}, {}]]"#, Some(8));
        check(r#"{"a": "}"#, None);
    }
}
