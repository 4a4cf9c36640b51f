//! IQ2_S: 256 weights, eight of them a point of a grid of 1024 with signs; groups of 16 with a
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
    pub qs: [u8; 32],
    /// Signs of the points.
    pub signs: [u8; 32],
    /// Upper 2 bits of the points.
    pub qh: [u8; 8],
    /// Scales of the groups.
    pub scales: [u8; 8],
}

/// The format.
pub struct IQ2S;

impl BlockFormat for IQ2S {
    const NAME: &'static str = "IQ2_S";
    const GGML_ID: u32 = 22;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, (low, out)) in block.qs.iter().zip(out.chunks_exact_mut(8)).enumerate() {
            let high = block.qh[i / 4] >> (i % 4 * 2) & 3;
            let point = &grid::IQ2_S[usize::from(*low) | usize::from(high) << 8];
            let scale = d * (0.5 + f32::from(grid::nibble(&block.scales, i / 2))) * 0.25;
            grid::unpack(point, scale, block.signs[i], out);
        }
    }
}
