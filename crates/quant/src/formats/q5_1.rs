//! Q5_1: 32 weights of 5 bits, a scale and a minimum.

use half::f16;

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Minimum.
    pub m: f16,
    /// Fifth bits, value `i` in bit `i`.
    pub qh: [u8; 4],
    /// Lower bits: value `i` in the low nibble of byte `i`, value `i + 16` in its high nibble.
    pub qs: [u8; 16],
}

/// The format.
pub struct Q5_1;

impl BlockFormat for Q5_1 {
    const NAME: &'static str = "Q5_1";
    const GGML_ID: u32 = 7;
    const LEN: usize = 32;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let (d, m) = (block.d.to_f32(), block.m.to_f32());
        for (i, byte) in block.qs.iter().enumerate() {
            out[i] = f32::from((byte & 15) | high_bit(block.qh, i)) * d + m;
            out[i + 16] = f32::from((byte >> 4) | high_bit(block.qh, i + 16)) * d + m;
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let (min, max) = super::range(src);
        let d = (max - min) / 31.0;
        let inverse = super::inverse(d);
        let code = |x: f32| ((x - min) * inverse + 0.5).trunc().clamp(0.0, 31.0) as u8;
        let codes: [u8; 32] = std::array::from_fn(|i| code(src[i]));
        let (qh, qs) = super::split_5_bits(&codes);
        Block { d: f16::from_f32(d), m: f16::from_f32(min), qh, qs }
    }
}

fn high_bit(qh: [u8; 4], i: usize) -> u8 {
    (qh[i / 8] >> (i % 8) & 1) << 4
}
