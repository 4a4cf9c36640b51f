//! F32: plain 4-byte floats.

use crate::BlockFormat;

/// The format.
pub struct F32;

impl BlockFormat for F32 {
    const NAME: &'static str = "F32";
    const GGML_ID: u32 = 0;
    const LEN: usize = 1;
    type Block = f32;

    fn dequantize(block: &f32, out: &mut [f32]) {
        out[0] = *block;
    }

    fn quantize(src: &[f32]) -> f32 {
        src[0]
    }
}
