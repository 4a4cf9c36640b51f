//! Q3_K: 256 weights of 3 bits in groups of 16, each with a scale of 6 bits.

use half::f16;

use super::affine;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Third bits: bit `i / 32` of byte `i % 32`.
    pub hmask: [u8; 32],
    /// Lower 2 bits, as in Q2_K.
    pub qs: [u8; 64],
    /// 16 scales of 6 bits, packed: see [`Block::scale`].
    pub scales: [u8; 12],
    /// Scale of the scales.
    pub d: f16,
}

/// The format.
pub struct Q3K;

impl BlockFormat for Q3K {
    const NAME: &'static str = "Q3_K";
    const GGML_ID: u32 = 11;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(block.scale(i / 16)) * f32::from(block.code(i));
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let fits: [f32; 16] =
            std::array::from_fn(|g| affine::fit_signed(&src[g * 16..][..16], 4.0));
        let largest = super::extreme(&fits);
        let d = f16::from_f32(largest / -32.0);
        let mut block = Block { hmask: [0; 32], qs: [0; 64], scales: [0; 12], d };
        for (g, fit) in fits.iter().enumerate() {
            let code = (fit * super::inverse(d.to_f32())).round().clamp(-32.0, 31.0) as i8;
            block.set_scale(g, code);
        }
        for (i, x) in src.iter().enumerate() {
            let step = d.to_f32() * f32::from(block.scale(i / 16));
            let code = (x * super::inverse(step)).round().clamp(-4.0, 3.0) as i8;
            let code = (code + 4) as u8;
            block.qs[i / 128 * 32 + i % 32] |= (code & 3) << (i % 128 / 32 * 2);
            block.hmask[i % 32] |= (code >> 2) << (i / 32);
        }
        block
    }
}

impl Block {
    /// Code of weight `i`, -4 to 3.
    #[must_use]
    pub fn code(&self, i: usize) -> i8 {
        let low = self.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        let high = self.hmask[i % 32] >> (i / 32) & 1;
        (low | high << 2) as i8 - 4
    }

    /// Scale of group `g` of 16, -32 to 31.
    #[must_use]
    pub fn scale(&self, g: usize) -> i8 {
        let low = if g < 8 { self.scales[g] & 15 } else { self.scales[g - 8] >> 4 };
        let high = self.scales[8 + g % 4] >> (g / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    }

    fn set_scale(&mut self, g: usize, scale: i8) {
        let code = (scale + 32) as u8;
        self.scales[g % 8] |= (code & 15) << (g / 8 * 4);
        self.scales[8 + g % 4] |= (code >> 4) << (g / 4 * 2);
    }
}
