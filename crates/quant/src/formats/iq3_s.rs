//! IQ3_S: 256 weights, four of them a point of a grid of 512 with signs; groups of 32 with a
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
    /// Lower 8 bits of the points.
    pub qs: [u8; 64],
    /// Upper bit of the points.
    pub qh: [u8; 8],
    /// A nibble of signs for each point.
    pub signs: [u8; 32],
    /// Scales of the groups.
    pub scales: [u8; 4],
}

/// The format.
pub struct IQ3S;

impl BlockFormat for IQ3S {
    const NAME: &'static str = "IQ3_S";
    const GGML_ID: u32 = 21;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, (low, out)) in block.qs.iter().zip(out.chunks_exact_mut(4)).enumerate() {
            let high = block.qh[i / 8] >> (i % 8) & 1;
            let point = &grid::IQ3_S[usize::from(*low) | usize::from(high) << 8];
            let scale = d * f32::from(1 + 2 * grid::nibble(&block.scales, i / 8));
            grid::unpack(point, scale, grid::nibble(&block.signs, i), out);
        }
    }
}
