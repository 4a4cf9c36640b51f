//! MXFP4: 32 weights of 4 bits that are small floats (E2M1), one scale that is a power of two
//! (E8M0).
//!
//! Source: OCP Microscaling Formats (MX) Specification v1.0, 5.3.3 and 5.4.1.

use super::codebook;
use crate::BlockFormat;

/// What the codes stand for, twice as much so that they are whole; scales are halved for it.
pub const VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Exponent of the scale.
    pub e: u8,
    /// Codes: value `i` in the low nibble of byte `i`, value `i + 16` in its high nibble.
    pub qs: [u8; 16],
}

/// The format.
pub struct MXFP4;

impl BlockFormat for MXFP4 {
    const NAME: &'static str = "MXFP4";
    const GGML_ID: u32 = 39;
    const LEN: usize = 32;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        codebook::unpack(&VALUES, &block.qs, half_scale(block.e), out);
    }

    fn quantize(src: &[f32]) -> Block {
        let largest = super::extreme(src).abs();
        // The power of two of the largest value meets that of the table's largest, 4 of 6. What
        // is below all exponents saturates to the least.
        let e = if largest > 0.0 { (largest.log2().floor() + 125.0) as u8 } else { 0 };
        let mut block = Block { e, qs: [0; 16] };
        codebook::pack(&VALUES, src, half_scale(e), &mut block.qs);
        block
    }
}

/// Half of `2^(e - 127)`; the two least are below the smallest normal f32. The specification's
/// NaN, 255, is a number here as in GGML.
#[must_use]
pub fn half_scale(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}
