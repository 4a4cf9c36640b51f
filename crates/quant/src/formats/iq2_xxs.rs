//! IQ2_XXS: 256 weights, eight of them a point of a grid of 256 with signs; groups of 32 with a
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
    /// The groups.
    pub groups: [Group; 8],
}

/// The bytes of 32 weights.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Group {
    /// Points.
    pub qs: [u8; 4],
    /// Seven signs of each point, and above them the scale; little-endian.
    pub signs: [u8; 4],
}

/// The format.
pub struct IQ2XXS;

impl BlockFormat for IQ2XXS {
    const NAME: &'static str = "IQ2_XXS";
    const GGML_ID: u32 = 16;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (group, out) in block.groups.iter().zip(out.chunks_exact_mut(32)) {
            let signs = u32::from_le_bytes(group.signs);
            let scale = d * (0.5 + (signs >> 28) as f32) * 0.25;
            for (i, (code, out)) in group.qs.iter().zip(out.chunks_exact_mut(8)).enumerate() {
                let point = &grid::IQ2_XXS[usize::from(*code)];
                grid::unpack(point, scale, grid::even_signs(signs >> (i * 7)), out);
            }
        }
    }
}
