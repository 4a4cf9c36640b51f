//! IQ4_NL: 32 weights of 4 bits that stand for unevenly spaced values, one scale.

use half::f16;

use super::codebook;
use crate::BlockFormat;

/// What the codes stand for: closer together around 0, where most weights are.
pub const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Codes: value `i` in the low nibble of byte `i`, value `i + 16` in its high nibble.
    pub qs: [u8; 16],
}

/// The format.
pub struct IQ4NL;

impl BlockFormat for IQ4NL {
    const NAME: &'static str = "IQ4_NL";
    const GGML_ID: u32 = 20;
    const LEN: usize = 32;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        codebook::unpack(&VALUES, &block.qs, block.d.to_f32(), out);
    }

    fn quantize(src: &[f32]) -> Block {
        let d = f16::from_f32(codebook::fit(&VALUES, src));
        let mut block = Block { d, qs: [0; 16] };
        codebook::pack(&VALUES, src, d.to_f32(), &mut block.qs);
        block
    }
}
