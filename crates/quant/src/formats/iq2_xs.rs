//! IQ2_XS: 256 weights, eight of them a point of a grid of 512 with signs; groups of 16 with a
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
    /// Points of 9 bits, and above them 7 of their signs.
    pub qs: [u16; 32],
    /// Scales of the groups.
    pub scales: [u8; 8],
}

/// The format.
pub struct IQ2XS;

impl BlockFormat for IQ2XS {
    const NAME: &'static str = "IQ2_XS";
    const GGML_ID: u32 = 17;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, (code, out)) in block.qs.iter().zip(out.chunks_exact_mut(8)).enumerate() {
            let point = &grid::IQ2_XS[usize::from(code & 511)];
            let scale = d * (0.5 + f32::from(grid::nibble(&block.scales, i / 2))) * 0.25;
            grid::unpack(point, scale, grid::even_signs(u32::from(code >> 9)), out);
        }
    }
}
