//! Where a template writes: memory, up to a bound, so that a loop cannot fill it all.

use std::io::{Error, Result, Write};

use crate::limits::OUTPUT_BYTES_MAX;

/// The bytes written so far.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    pub(crate) overflowed: bool,
}

impl Output {
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.bytes).expect("templates write text")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
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
