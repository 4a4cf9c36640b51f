//! The list of formats, and the one place that goes from an id to a type.

use crate::{BlockFormat, formats};

/// A row: one format and what it can do with bytes.
pub struct Format {
    /// Id.
    pub id: FormatId,
    /// GGML's name.
    pub name: &'static str,
    /// GGML's type id.
    pub ggml_id: u32,
    /// Weights in a block.
    pub block_len: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// As in [`FormatId::can_quantize`].
    pub can_quantize: bool,
    dequantize: fn(&[u8], &mut [f32]),
    quantize: fn(&[f32], &mut [u8]),
    dot: fn(&[u8], &[f32]) -> f32,
}

macro_rules! formats {
    ($($id:ident => $module:ident::$format:ident,)*) => {
        /// A format that hob runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FormatId {
            $(#[doc = concat!("See `formats::", stringify!($module), "`.")] $id,)*
        }

        /// Every format that hob runs, one row each.
        pub static FORMATS: &[Format] = &[
            $(row::<formats::$module::$format>(FormatId::$id),)*
        ];
    };
}

formats! {
    BF16 => bf16::BF16,
    F16 => f16::F16,
    F32 => f32::F32,
    IQ1M => iq1_m::IQ1M,
    IQ1S => iq1_s::IQ1S,
    IQ2S => iq2_s::IQ2S,
    IQ2XS => iq2_xs::IQ2XS,
    IQ2XXS => iq2_xxs::IQ2XXS,
    IQ3S => iq3_s::IQ3S,
    IQ3XXS => iq3_xxs::IQ3XXS,
    IQ4NL => iq4_nl::IQ4NL,
    IQ4XS => iq4_xs::IQ4XS,
    MXFP4 => mxfp4::MXFP4,
    NVFP4 => nvfp4::NVFP4,
    Q2K => q2_k::Q2K,
    Q3K => q3_k::Q3K,
    Q4K => q4_k::Q4K,
    Q4_0 => q4_0::Q4_0,
    Q4_1 => q4_1::Q4_1,
    Q5K => q5_k::Q5K,
    Q5_0 => q5_0::Q5_0,
    Q5_1 => q5_1::Q5_1,
    Q6K => q6_k::Q6K,
    Q8K => q8_k::Q8K,
    Q8_0 => q8_0::Q8_0,
    TQ1_0 => tq1_0::TQ1_0,
    TQ2_0 => tq2_0::TQ2_0,
}

const fn row<F: BlockFormat>(id: FormatId) -> Format {
    Format {
        id,
        name: F::NAME,
        ggml_id: F::GGML_ID,
        block_len: F::LEN,
        block_bytes: size_of::<F::Block>(),
        can_quantize: F::CAN_QUANTIZE,
        dequantize: dequantize::<F>,
        quantize: quantize::<F>,
        dot: dot::<F>,
    }
}

fn blocks<F: BlockFormat>(bytes: &[u8]) -> impl Iterator<Item = F::Block> + '_ {
    bytes.chunks_exact(size_of::<F::Block>()).map(bytemuck::pod_read_unaligned)
}

fn dequantize<F: BlockFormat>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in blocks::<F>(bytes).zip(out.chunks_exact_mut(F::LEN)) {
        F::dequantize(&block, out);
    }
}

fn quantize<F: BlockFormat>(src: &[f32], out: &mut [u8]) {
    let blocks = out.chunks_exact_mut(size_of::<F::Block>());
    for (src, out) in src.chunks_exact(F::LEN).zip(blocks) {
        out.copy_from_slice(bytemuck::bytes_of(&F::quantize(src)));
    }
}

fn dot<F: BlockFormat>(bytes: &[u8], x: &[f32]) -> f32 {
    let parts = blocks::<F>(bytes).zip(x.chunks_exact(F::LEN));
    parts.map(|(block, x)| f64::from(F::dot(&block, x))).sum::<f64>() as f32
}

impl FormatId {
    /// Every format, in the order of the list.
    pub fn all() -> impl Iterator<Item = FormatId> {
        FORMATS.iter().map(|format| format.id)
    }

    /// The format of a GGML type id.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<FormatId> {
        FORMATS.iter().find(|format| format.ggml_id == id).map(|format| format.id)
    }

    /// The format of a name, e.g. `Q4_K`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<FormatId> {
        FORMATS.iter().find(|format| format.name.eq_ignore_ascii_case(name)).map(|format| format.id)
    }

    fn row(self) -> &'static Format {
        &FORMATS[self as usize]
    }

    /// GGML's type id.
    #[must_use]
    pub fn ggml_id(self) -> u32 {
        self.row().ggml_id
    }

    /// GGML's name, e.g. `Q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Weights in a block.
    #[must_use]
    pub fn block_len(self) -> usize {
        self.row().block_len
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// Bytes of a row of `k` weights; none when that is not whole blocks, or too many.
    #[must_use]
    pub fn row_bytes(self, k: usize) -> Option<usize> {
        if !k.is_multiple_of(self.block_len()) {
            return None;
        }
        (k / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Weights of whole blocks; `out` has as many values as the blocks hold.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn dequantize_row(self, bytes: &[u8], out: &mut [f32]) {
        self.check(bytes.len(), out.len());
        (self.row().dequantize)(bytes, out);
    }

    /// Whether hob makes blocks of it; those of other formats it only reads.
    #[must_use]
    pub fn can_quantize(self) -> bool {
        self.row().can_quantize
    }

    /// Blocks nearest to `src`, whose length is a multiple of the block's.
    ///
    /// # Panics
    /// When the lengths do not fit, or where [`FormatId::can_quantize`] says no.
    pub fn quantize_row(self, src: &[f32], out: &mut [u8]) {
        self.check(out.len(), src.len());
        (self.row().quantize)(src, out);
    }

    /// Dot product of whole blocks with as many values.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn dot_row(self, bytes: &[u8], x: &[f32]) -> f32 {
        self.check(bytes.len(), x.len());
        (self.row().dot)(bytes, x)
    }

    fn check(self, byte_count: usize, value_count: usize) {
        let wanted = self.row_bytes(value_count);
        assert_eq!(wanted, Some(byte_count), "{} of {value_count} values", self.name());
    }
}
