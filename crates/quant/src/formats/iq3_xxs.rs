//! IQ3_XXS: 256 weights, four of them a point of a grid of 256 with signs; groups of 32 with a
//! scale of 4 bits each.

use half::f16;

use super::grid;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale of the scales.
    pub d: f16,
    /// Points.
    pub qs: [u8; 64],
    /// Of a group: seven signs of each two points, and above them the scale; little-endian.
    pub signs: [[u8; 4]; 8],
}

/// The format.
pub struct IQ3XXS;

impl BlockFormat for IQ3XXS {
    const NAME: &'static str = "IQ3_XXS";
    const GGML_ID: u32 = 18;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, (code, out)) in block.qs.iter().zip(out.chunks_exact_mut(4)).enumerate() {
            let signs = u32::from_le_bytes(block.signs[i / 8]);
            let scale = d * (0.5 + (signs >> 28) as f32) * 0.5;
            let signs = grid::even_signs(signs >> (i % 8 / 2 * 7)) >> (i % 2 * 4);
            grid::unpack(&grid::IQ3_XXS[usize::from(*code)], scale, signs, out);
        }
    }
}
