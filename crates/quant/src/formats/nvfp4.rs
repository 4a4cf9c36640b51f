//! NVFP4: 64 weights of 4 bits that are small floats (E2M1, as in MXFP4), in groups of 16, each
//! with a scale of 8 bits that is a float too (E4M3 without its sign).

use super::codebook;
use super::mxfp4::VALUES;
use crate::BlockFormat;

/// The largest scale that is a number, 448.
const SCALE_MAX: u8 = 0x7E;
/// Scales that the search tries: from the one that just clips the largest value to the one that
/// puts it two thirds up the table, where the steps are finer.
const TRIALS: u8 = 6;

/// The bytes of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    /// Scale of each group.
    pub d: [u8; 4],
    /// Codes: 8 bytes a group, its first half in the low nibbles.
    pub qs: [u8; 32],
}

/// The format.
pub struct NVFP4;

impl BlockFormat for NVFP4 {
    const NAME: &'static str = "NVFP4";
    const GGML_ID: u32 = 40;
    const LEN: usize = 64;
    type Block = Block;

    fn dequantize(block: &Block, out: &mut [f32]) {
        let groups = block.qs.chunks_exact(8).zip(out.chunks_exact_mut(16));
        for ((qs, out), d) in groups.zip(block.d) {
            codebook::unpack(&VALUES, qs, half_scale(d), out);
        }
    }

    fn quantize(src: &[f32]) -> Block {
        let mut block = Block { d: [0; 4], qs: [0; 32] };
        let groups = block.qs.chunks_exact_mut(8).zip(src.chunks_exact(16));
        for ((qs, src), d) in groups.zip(&mut block.d) {
            *d = fit(src);
            codebook::pack(&VALUES, src, half_scale(*d), qs);
        }
        block
    }
}

/// Half of the scale that a byte is. Its first bit says nothing; the specification's NaN, 127, is 0
/// as in GGML.
#[must_use]
pub fn half_scale(d: u8) -> f32 {
    let (exponent, mantissa) = (u32::from(d >> 3 & 15), u32::from(d & 7));
    match exponent {
        _ if d == 0x7F => 0.0,
        0 => mantissa as f32 / 1024.0,
        _ => f32::from_bits((exponent + 127 - 8) << 23 | mantissa << 20),
    }
}

/// The scale with the least squared error.
fn fit(src: &[f32]) -> u8 {
    let largest = super::extreme(src).abs();
    let clips = |d: &u8| half_scale(*d) * 12.0 < largest;
    let first = (0..=SCALE_MAX).take_while(clips).last().unwrap_or(0);
    let mut best = (f64::INFINITY, 0);
    for d in first..=SCALE_MAX.min(first + TRIALS) {
        let error = codebook::error(&VALUES, src, half_scale(d));
        if error < best.0 {
            best = (error, d);
        }
    }
    best.1
}
