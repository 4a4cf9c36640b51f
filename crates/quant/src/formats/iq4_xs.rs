//! IQ4_XS: 256 weights of 4 bits with the values of IQ4_NL, in groups of 32, each with a scale of
//! 6 bits.

use half::f16;

use super::codebook;
use super::iq4_nl::VALUES;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale of the scales.
    pub d: f16,
    /// Upper 2 bits of the scales.
    pub scales_h: u16,
    /// Lower 4 bits of the scales.
    pub scales_l: [u8; 4],
    /// Codes: 16 bytes a group, its first half in the low nibbles.
    pub qs: [u8; 128],
}

/// The format.
pub struct IQ4XS;

impl BlockFormat for IQ4XS {
    const NAME: &'static str = "IQ4_XS";
    const GGML_ID: u32 = 23;
    const LEN: usize = 256;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        let groups = block.qs.chunks_exact(16).zip(out.chunks_exact_mut(32));
        for (g, (qs, out)) in groups.enumerate() {
            codebook::unpack(&VALUES, qs, d * f32::from(block.scale(g)), out);
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let fits: [f32; 8] = std::array::from_fn(|g| codebook::fit(&VALUES, &src[g * 32..][..32]));
        let d = f16::from_f32(super::extreme(&fits) / -32.0);
        let mut block = Block { d, scales_h: 0, scales_l: [0; 4], qs: [0; 128] };
        for (g, fit) in fits.iter().enumerate() {
            let scale = (fit * super::inverse(d.to_f32())).round().clamp(-32.0, 31.0) as i8;
            block.set_scale(g, scale);
            let step = d.to_f32() * f32::from(scale);
            codebook::pack(&VALUES, &src[g * 32..][..32], step, &mut block.qs[g * 16..][..16]);
        }
        block
    }
}

impl Block {
    /// Scale of group `g` of 32, -32 to 31.
    #[must_use]
    pub fn scale(&self, g: usize) -> i8 {
        let low = self.scales_l[g / 2] >> (g % 2 * 4) & 15;
        let high = (self.scales_h >> (g * 2) & 3) as u8;
        (low | high << 4) as i8 - 32
    }

    fn set_scale(&mut self, g: usize, scale: i8) {
        let code = (scale + 32) as u8;
        self.scales_l[g / 2] |= (code & 15) << (g % 2 * 4);
        self.scales_h |= u16::from(code >> 4) << (g * 2);
    }
}
