//! IQ1_M: 256 weights, eight of them a point of a grid of 2048, shifted up or down; groups of 16
//! with a scale of 3 bits each.

use half::f16;

use super::grid;
use crate::BlockFormat;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Lower 8 bits of the points.
    pub qs: [u8; 32],
    /// A nibble for each point: its upper 3 bits, and whether it is shifted down.
    pub qh: [u8; 16],
    /// Four scales of 3 bits each, and above them a quarter of the scale of the scales.
    pub scales: [u16; 4],
}

/// The format.
pub struct IQ1M;

impl BlockFormat for IQ1M {
    const NAME: &'static str = "IQ1_M";
    const GGML_ID: u32 = 29;
    const LEN: usize = 256;
    const CAN_QUANTIZE: bool = false;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let d = block.d().to_f32();
        for (i, (low, out)) in block.qs.iter().zip(out.chunks_exact_mut(8)).enumerate() {
            let scale = block.scales[i / 8] >> (i / 2 % 4 * 3) & 7;
            let high = grid::nibble(&block.qh, i);
            let code = usize::from(*low) | usize::from(high & 7) << 8;
            grid::unpack_shifted(code, d * f32::from(2 * scale + 1), high & 8 != 0, out);
        }
    }
}

impl Block {
    /// Scale of the scales.
    #[must_use]
    pub fn d(&self) -> f16 {
        let quarter = |i: usize| self.scales[i] >> 12 << (4 * i);
        f16::from_bits(quarter(0) | quarter(1) | quarter(2) | quarter(3))
    }
}
