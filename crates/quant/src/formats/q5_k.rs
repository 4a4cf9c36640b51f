//! Q5_K: 256 weights of 5 bits in groups of 32, each with a scale and a minimum of 6 bits.

use half::f16;

use super::affine;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale of the scales.
    pub d: f16,
    /// Scale of the minimums.
    pub dmin: f16,
    /// 8 scales and 8 minimums of 6 bits, packed.
    pub scales: [u8; 12],
    /// Fifth bits: bit `i / 32` of byte `i % 32`.
    pub qh: [u8; 32],
    /// Lower 4 bits, as in Q4_K.
    pub qs: [u8; 128],
}

/// The format.
pub struct Q5K;

impl BlockFormat for Q5K {
    const NAME: &'static str = "Q5_K";
    const GGML_ID: u32 = 13;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let (d, dmin) = (block.d.to_f32(), block.dmin.to_f32());
        for (g, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = affine::packed_scale(&block.scales, g);
            let (step, min) = (d * f32::from(scale), dmin * f32::from(min));
            for (i, out) in out.iter_mut().enumerate() {
                *out = step * f32::from(block.code(g * 32 + i)) - min;
            }
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let max = affine::CodeMax { weight: 31.0, scale: 63.0 };
        let fitted = affine::fit_block::<8>(src, max);
        let (d, dmin) = (fitted.d, fitted.dmin);
        let scales = affine::pack_scales(&fitted.groups);
        let mut block = Block { d, dmin, scales, qh: [0; 32], qs: [0; 128] };
        for (i, x) in src.iter().enumerate() {
            let group = fitted.group(i / 32);
            let code = affine::code(x + group.min, group.scale, max.weight);
            block.qs[i / 64 * 32 + i % 32] |= (code & 15) << (i % 64 / 32 * 4);
            block.qh[i % 32] |= (code >> 4) << (i / 32);
        }
        block
    }
}

impl Block {
    /// Code of weight `i`, 0 to 31.
    #[must_use]
    pub fn code(&self, i: usize) -> u8 {
        let low = self.qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
        low | (self.qh[i % 32] >> (i / 32) & 1) << 4
    }

    /// Scale and minimum of group `g` of 32, 0 to 63 each.
    #[must_use]
    pub fn scale(&self, g: usize) -> (u8, u8) {
        affine::packed_scale(&self.scales, g)
    }
}
