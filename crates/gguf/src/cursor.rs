//! Reads little-endian numbers and strings from bytes that may lie.

use crate::{Error, Result};

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Bytes that were not read yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn invalid(&self, what: String) -> Error {
        Error::Invalid { offset: self.offset(), what }
    }

    pub(crate) fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let end = self.offset().saturating_add(len);
        let short = || Error::Truncated { needed: end, len: self.bytes.len() as u64 };
        let end_at = usize::try_from(end).map_err(|_| short())?;
        let taken = self.bytes.get(self.at..end_at).ok_or_else(short)?;
        self.at = end_at;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("take gives as many bytes as asked"))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count, refused above `max` before anything is allocated for it.
    pub(crate) fn count(&mut self, what: &str, max: u64) -> Result<usize> {
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(small) if count <= max => Ok(small),
            _ => Err(self.invalid(format!("{count} {what}, and {max} are the most"))),
        }
    }

    pub(crate) fn string(&mut self, what: &str, bytes_max: u64) -> Result<&'a str> {
        let len = self.u64()?;
        if len > bytes_max {
            return Err(
                self.invalid(format!("{what} of {len} bytes, and {bytes_max} are the most"))
            );
        }
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.invalid(format!("{what} is not UTF-8")))
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        match self.array::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.invalid(format!("a bool with the value {other}"))),
        }
    }
}
