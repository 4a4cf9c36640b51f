//! The trait that defines a block format.

/// One block format: its layout, its meaning, and how to make it.
pub trait BlockFormat {
    /// GGML's name.
    const NAME: &'static str;
    /// GGML's type id.
    const GGML_ID: u32;
    /// Weights in a block.
    const LEN: usize;
    /// Whether blocks are made here; of other formats `quantize` is left out.
    const CAN_QUANTIZE: bool = true;
    /// The bytes of a block.
    type Block: bytemuck::Pod;

    /// The definition of the format: `out` has [`BlockFormat::LEN`] values.
    fn dequantize(block: &Self::Block, out: &mut [f32]);

    /// The block nearest to `src`, which has [`BlockFormat::LEN`] values.
    ///
    /// # Panics
    /// Where [`BlockFormat::CAN_QUANTIZE`] says no.
    fn quantize(src: &[f32]) -> Self::Block {
        panic!("{} values as {}, which is only read", src.len(), Self::NAME)
    }

    /// Dot product with [`BlockFormat::LEN`] values, summed in f64.
    fn dot(block: &Self::Block, x: &[f32]) -> f32 {
        let mut values = vec![0.0_f32; Self::LEN];
        Self::dequantize(block, &mut values);
        values.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() as f32
    }
}
