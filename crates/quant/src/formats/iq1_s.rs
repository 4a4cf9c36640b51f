//! IQ1_S: 256 weights, eight of them a point of a grid of 2048; groups of 32 with a scale of 3 bits
//! each, shifted up or down.

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
    /// Of a group: upper 3 bits of its four points, its scale, and whether it is shifted down.
    pub qh: [u16; 8],
}

/// The format.
pub struct IQ1S;

impl BlockFormat for IQ1S {
    const NAME: &'static str = "IQ1_S";
    const GGML_ID: u32 = 19;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d.to_f32();
        for (i, (low, out)) in block.qs.iter().zip(out.chunks_exact_mut(8)).enumerate() {
            let high = block.qh[i / 4];
            let code = usize::from(*low) | usize::from(high >> (i % 4 * 3) & 7) << 8;
            let scale = d * f32::from(2 * (high >> 12 & 7) + 1);
            grid::unpack_shifted(code, scale, high >> 15 != 0, out);
        }
    }
}
