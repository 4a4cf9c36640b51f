//! Where a template writes: memory, up to a bound, so that a loop cannot fill it all.

use std::io::{Error, Result, Write};

/// The bytes written so far.
pub(crate) struct Output {
    bytes: Vec<u8>,
    bytes_max: usize,
    pub(crate) overflowed: bool,
}

impl Output {
    pub(crate) fn new(bytes_max: usize) -> Output {
        Output { bytes: Vec::new(), bytes_max, overflowed: false }
    }

    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.bytes).expect("templates write text")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            self.overflowed = true;
            return Err(Error::other("the prompt is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
