//! TQ2_0: 256 weights that are -1, 0 or 1 times a scale, four to a byte.

use half::f16;

use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Codes of 2 bits: weight `i` of 128 in bits `i / 32` of byte `i % 32`.
    pub qs: [u8; 64],
    /// Scale.
    pub d: f16,
}

/// The format.
pub struct TQ2_0;

impl BlockFormat for TQ2_0 {
    const NAME: &'static str = "TQ2_0";
    const GGML_ID: u32 = 35;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            let code = block.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            *out = d * f32::from(code as i8 - 1);
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let d = super::extreme(src).abs();
        let inverse = super::inverse(d);
        let mut block = Block { qs: [0; 64], d: f16::from_f32(d) };
        for (i, x) in src.iter().enumerate() {
            let code = ((x * inverse).round().clamp(-1.0, 1.0) + 1.0) as u8;
            block.qs[i / 128 * 32 + i % 32] |= code << (i % 128 / 32 * 2);
        }
        block
    }
}
