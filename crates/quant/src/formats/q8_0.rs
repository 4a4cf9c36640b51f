//! Q8_0: 32 weights of 8 bits, one scale.

use half::f16;

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Codes.
    pub qs: [i8; 32],
}

/// The format.
pub struct Q8_0;

impl BlockFormat for Q8_0 {
    const NAME: &'static str = "Q8_0";
    const GGML_ID: u32 = 8;
    const LEN: usize = 32;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (out, code) in out.iter_mut().zip(block.qs) {
            *out = f32::from(code) * d;
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let d = super::extreme(src).abs() / 127.0;
        let inverse = super::inverse(d);
        let qs = std::array::from_fn(|i| (src[i] * inverse).round() as i8);
        Block { d: f16::from_f32(d), qs }
    }
}
