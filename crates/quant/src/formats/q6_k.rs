//! Q6_K: 256 weights of 6 bits in groups of 16, each with a scale of 8 bits.

use half::f16;

use super::affine;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Lower 4 bits.
    pub ql: [u8; 128],
    /// Upper 2 bits.
    pub qh: [u8; 64],
    /// Scale of each group of 16.
    pub scales: [i8; 16],
    /// Scale of the scales.
    pub d: f16,
}

/// The format.
pub struct Q6K;

impl BlockFormat for Q6K {
    const NAME: &'static str = "Q6_K";
    const GGML_ID: u32 = 14;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(block.scales[i / 16]) * f32::from(block.code(i));
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let fits: [f32; 16] =
            std::array::from_fn(|g| affine::fit_signed(&src[g * 16..][..16], 32.0));
        let d = f16::from_f32(super::extreme(&fits) / -128.0);
        let inverse = super::inverse(d.to_f32());
        let scales = fits.map(|fit| (fit * inverse).round().clamp(-128.0, 127.0) as i8);
        let mut block = Block { ql: [0; 128], qh: [0; 64], scales, d };
        for (i, x) in src.iter().enumerate() {
            let step = d.to_f32() * f32::from(scales[i / 16]);
            let code = (x * super::inverse(step)).round().clamp(-32.0, 31.0) as i8;
            let code = (code + 32) as u8;
            block.ql[i / 128 * 64 + i % 64] |= (code & 15) << (i % 128 / 64 * 4);
            block.qh[i / 128 * 32 + i % 32] |= (code >> 4) << (i % 128 / 32 * 2);
        }
        block
    }
}

impl Block {
    /// Code of weight `i`, -32 to 31.
    #[must_use]
    pub fn code(&self, i: usize) -> i8 {
        let low = self.ql[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
        let high = self.qh[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        (low | high << 4) as i8 - 32
    }
}
