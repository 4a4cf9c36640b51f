//! F16: IEEE half precision.

use crate::BlockFormat;

/// The format.
pub struct F16;

impl BlockFormat for F16 {
    const NAME: &'static str = "F16";
    const GGML_ID: u32 = 1;
    const LEN: usize = 1;
    type Block = half::f16;

    fn dequantize(block: &half::f16, out: &mut [f32]) {
        out[0] = block.to_f32();
    }

    fn quantize(src: &[f32]) -> half::f16 {
        half::f16::from_f32(src[0])
    }
}
