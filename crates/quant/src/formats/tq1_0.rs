//! TQ1_0: 256 weights that are -1, 0 or 1 times a scale, five to a byte.

use half::f16;

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Five codes a byte: see [`place`].
    pub qs: [u8; 48],
    /// Four codes a byte.
    pub qh: [u8; 4],
    /// Scale.
    pub d: f16,
}

/// The format.
pub struct TQ1_0;

/// Codes of a byte at most.
const CODES: usize = 5;
/// What the bytes count in.
const WHOLE: u16 = 3_u16.pow(CODES as u32);

impl BlockFormat for TQ1_0 {
    const NAME: &'static str = "TQ1_0";
    const GGML_ID: u32 = 34;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            let (byte, digit) = place(i);
            let byte = if byte < 48 { block.qs[byte] } else { block.qh[byte - 48] };
            // A byte is a fraction of 256: times a power of three, its next digit comes first.
            let rest = byte.wrapping_mul(3_u8.pow(digit));
            let code = ((u16::from(rest) * 3) >> 8) as i8;
            *out = d * f32::from(code - 1);
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let d = super::extreme(src).abs();
        let inverse = super::inverse(d);
        let mut digits = [0_u16; 52];
        for (i, x) in src.iter().enumerate() {
            let (byte, digit) = place(i);
            let code = ((x * inverse).round().clamp(-1.0, 1.0) + 1.0) as u16;
            digits[byte] += code * 3_u16.pow(CODES as u32 - 1 - digit);
        }
        let bytes = digits.map(|digits| (digits * 256).div_ceil(WHOLE) as u8);
        Block {
            qs: std::array::from_fn(|i| bytes[i]),
            qh: std::array::from_fn(|i| bytes[48 + i]),
            d: f16::from_f32(d),
        }
    }
}

/// Byte and digit of weight `i`: the first of 32 bytes, then of 16, then of the last 4.
fn place(i: usize) -> (usize, u32) {
    let (byte, digit) = match i {
        0..160 => (i % 32, i / 32),
        160..240 => (32 + i % 16, (i - 160) / 16),
        _ => (48 + i % 4, (i - 240) / 4),
    };
    (byte, digit as u32)
}
