//! Q8_K: 256 weights of 8 bits, one f32 scale; what K-quants are multiplied with.

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale.
    pub d: f32,
    /// Codes.
    pub qs: [i8; 256],
    /// Sum of each 16 codes.
    pub bsums: [i16; 16],
}

/// The format.
pub struct Q8K;

impl BlockFormat for Q8K {
    const NAME: &'static str = "Q8_K";
    const GGML_ID: u32 = 15;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(block.qs) {
            *out = block.d * f32::from(code);
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let d = super::extreme(src) / -127.0;
        let inverse = super::inverse(d);
        let qs: [i8; 256] = std::array::from_fn(|i| (src[i] * inverse).round().min(127.0) as i8);
        let sum = |g: usize| qs[g * 16..][..16].iter().map(|code| i16::from(*code)).sum();
        Block { d, qs, bsums: std::array::from_fn(sum) }
    }
}
