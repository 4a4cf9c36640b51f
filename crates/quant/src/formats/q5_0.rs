//! Q5_0: 32 weights of 5 bits around 16, one scale.

use half::f16;

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Fifth bits, value `i` in bit `i`.
    pub qh: [u8; 4],
    /// Lower bits: value `i` in the low nibble of byte `i`, value `i + 16` in its high nibble.
    pub qs: [u8; 16],
}

/// The format.
pub struct Q5_0;

impl BlockFormat for Q5_0 {
    const NAME: &'static str = "Q5_0";
    const GGML_ID: u32 = 6;
    const LEN: usize = 32;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, byte) in block.qs.iter().enumerate() {
            let low = (byte & 15) | high_bit(block.qh, i);
            let high = (byte >> 4) | high_bit(block.qh, i + 16);
            out[i] = f32::from(low as i8 - 16) * d;
            out[i + 16] = f32::from(high as i8 - 16) * d;
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let d = super::extreme(src) / -16.0;
        let inverse = super::inverse(d);
        let code = |x: f32| (x * inverse + 16.5).trunc().clamp(0.0, 31.0) as u8;
        let codes: [u8; 32] = std::array::from_fn(|i| code(src[i]));
        let (qh, qs) = super::split_5_bits(&codes);
        Block { d: f16::from_f32(d), qh, qs }
    }
}

fn high_bit(qh: [u8; 4], i: usize) -> u8 {
    (qh[i / 8] >> (i % 8) & 1) << 4
}
