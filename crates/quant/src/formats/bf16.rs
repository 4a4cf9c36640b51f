//! BF16: the upper half of an f32.

use crate::BlockFormat;

/// The format.
pub struct BF16;

impl BlockFormat for BF16 {
    const NAME: &'static str = "BF16";
    const GGML_ID: u32 = 30;
    const LEN: usize = 1;
    type Block = half::bf16;

    fn dequantize(block: &half::bf16, out: &mut [f32]) {
        out[0] = block.to_f32();
    }

    fn quantize(src: &[f32]) -> half::bf16 {
        half::bf16::from_f32(src[0])
    }
}
