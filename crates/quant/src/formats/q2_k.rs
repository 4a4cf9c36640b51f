//! Q2_K: 256 weights of 2 bits in groups of 16, each with a scale and a minimum of 4 bits.

use half::f16;

use super::affine;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Per 16 weights: scale in the low nibble, minimum in the high one.
    pub scales: [u8; 16],
    /// Codes of 2 bits: see [`Block::code`].
    pub qs: [u8; 64],
    /// Scale of the scales.
    pub d: f16,
    /// Scale of the minimums.
    pub dmin: f16,
}

/// The format.
pub struct Q2K;

impl BlockFormat for Q2K {
    const NAME: &'static str = "Q2_K";
    const GGML_ID: u32 = 10;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let (d, dmin) = (block.d.to_f32(), block.dmin.to_f32());
        for (i, out) in out.iter_mut().enumerate() {
            let scale = block.scales[i / 16];
            let (step, min) = (d * f32::from(scale & 15), dmin * f32::from(scale >> 4));
            *out = step * f32::from(block.code(i)) - min;
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let max = affine::CodeMax { weight: 3.0, scale: 15.0 };
        let fitted = affine::fit_block::<16>(src, max);
        let (d, dmin) = (fitted.d, fitted.dmin);
        let scales = fitted.groups.map(|(scale, min)| scale | min << 4);
        let mut block = Block { scales, qs: [0; 64], d, dmin };
        for (i, x) in src.iter().enumerate() {
            let group = fitted.group(i / 16);
            let code = affine::code(x + group.min, group.scale, max.weight);
            block.qs[i / 128 * 32 + i % 32] |= code << (i % 128 / 32 * 2);
        }
        block
    }
}

impl Block {
    /// Code of weight `i`, 0 to 3.
    #[must_use]
    pub fn code(&self, i: usize) -> u8 {
        self.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
    }
}
