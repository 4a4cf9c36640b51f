//! Bytes that come token by token, as text that is whole characters only.

/// Holds back the beginning of a character until its end has come.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    held: Vec<u8>,
}

impl StreamDecoder {
    /// Nothing held back.
    #[must_use]
    pub fn new() -> StreamDecoder {
        StreamDecoder::default()
    }

    /// Text that is complete with these bytes. Bytes that can never become a character are
    /// replaced by U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.held) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.held.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[..valid]));
                    let Some(bad) = error.error_len() else {
                        self.held.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.held.drain(..valid + bad);
                }
            }
        }
    }

    /// What is still held back, with U+FFFD for a character that never ended.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::StreamDecoder;

    #[test]
    fn half_a_character_waits_for_its_end() {
        let text = "aé漢😀b";
        let mut decoder = StreamDecoder::new();
        let mut out = String::new();
        for byte in text.bytes() {
            let piece = decoder.push(&[byte]);
            assert!(!piece.contains('\u{fffd}'));
            out.push_str(&piece);
        }
        assert_eq!(out, text);
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_once_it_is_certain() {
        let mut decoder = StreamDecoder::new();
        assert_eq!(decoder.push(&[0xFF, b'a']), "\u{fffd}a");
        assert_eq!(decoder.push(&[0xE6, 0xBC]), "");
        assert_eq!(decoder.push(b"x"), "\u{fffd}x");
        assert_eq!(decoder.push(&[0xF0, 0x9F]), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
    }
}
