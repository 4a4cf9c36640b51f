//! GPT-2's way to write bytes as printable letters: a byte that is printable Latin-1 stands for
//! itself, the others take the code points from 256 on, in order.
//! Source: Radford et al. 2019, `bytes_to_unicode` of the published encoder.

use std::sync::OnceLock;

/// Letter of every byte.
pub(crate) fn letters() -> &'static [char; 256] {
    static LETTERS: OnceLock<[char; 256]> = OnceLock::new();
    LETTERS.get_or_init(|| {
        let mut next = 256;
        std::array::from_fn(|i| {
            let byte = u8::try_from(i).expect("256 letters");
            if matches!(byte, 33..=126 | 161..=172 | 174..=255) {
                return char::from(byte);
            }
            next += 1;
            char::from_u32(next - 1).expect("Latin Extended letters")
        })
    })
}

/// Byte of a letter, if it stands for one.
pub(crate) fn byte_of(letter: char) -> Option<u8> {
    static BYTES: OnceLock<[Option<u8>; 324]> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut bytes = [None; 324];
        for (letter, byte) in letters().iter().zip(0..=255) {
            bytes[*letter as usize] = Some(byte);
        }
        bytes
    });
    bytes.get(letter as usize).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::{byte_of, letters};

    #[test]
    fn every_byte_has_its_own_letter() {
        for byte in 0..=255 {
            assert_eq!(byte_of(letters()[usize::from(byte)]), Some(byte));
        }
        assert_eq!(letters()[usize::from(b' ')], 'Ġ');
        assert_eq!(byte_of('漢'), None);
    }
}
