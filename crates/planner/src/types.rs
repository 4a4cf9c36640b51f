//! The types that a tensor of a GGUF file may have, and the bytes that each takes: exact, so that
//! a plan is the file's size and not a guess.

/// A row: one type and the shape of its blocks.
struct Row {
    name: &'static str,
    ggml_id: u32,
    block_len: u64,
    block_bytes: u64,
}

macro_rules! types {
    ($($id:ident = $name:literal, $ggml_id:literal, $len:literal => $bytes:literal;)*) => {
        /// The type of a tensor's values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum TensorType {
            $(#[doc = concat!("GGML's `", $name, "`.")] $id,)*
        }

        const TYPES: &[(TensorType, Row)] = &[$((
            TensorType::$id,
            Row {
                name: $name,
                ggml_id: $ggml_id,
                block_len: $len,
                block_bytes: $bytes,
            },
        ),)*];
    };
}

// id = name, GGML's id, weights of a block => bytes of a block; sorted by GGML's id.
types! {
    F32 = "F32", 0, 1 => 4;
    F16 = "F16", 1, 1 => 2;
    Q4_0 = "Q4_0", 2, 32 => 18;
    Q4_1 = "Q4_1", 3, 32 => 20;
    Q5_0 = "Q5_0", 6, 32 => 22;
    Q5_1 = "Q5_1", 7, 32 => 24;
    Q8_0 = "Q8_0", 8, 32 => 34;
    Q2K = "Q2_K", 10, 256 => 84;
    Q3K = "Q3_K", 11, 256 => 110;
    Q4K = "Q4_K", 12, 256 => 144;
    Q5K = "Q5_K", 13, 256 => 176;
    Q6K = "Q6_K", 14, 256 => 210;
    IQ2XXS = "IQ2_XXS", 16, 256 => 66;
    IQ2XS = "IQ2_XS", 17, 256 => 74;
    IQ3XXS = "IQ3_XXS", 18, 256 => 98;
    IQ1S = "IQ1_S", 19, 256 => 50;
    IQ4NL = "IQ4_NL", 20, 32 => 18;
    IQ3S = "IQ3_S", 21, 256 => 110;
    IQ2S = "IQ2_S", 22, 256 => 82;
    IQ4XS = "IQ4_XS", 23, 256 => 136;
    IQ1M = "IQ1_M", 29, 256 => 56;
    BF16 = "BF16", 30, 1 => 2;
    TQ1_0 = "TQ1_0", 34, 256 => 54;
    TQ2_0 = "TQ2_0", 35, 256 => 66;
    MXFP4 = "MXFP4", 39, 32 => 17;
    NVFP4 = "NVFP4", 40, 64 => 36;
    Q1_0 = "Q1_0", 41, 128 => 18;
    Q2_0 = "Q2_0", 42, 64 => 18;
}

impl TensorType {
    /// How many there are.
    pub(crate) const COUNT: usize = TYPES.len();

    /// Every type, by GGML's id.
    pub fn all() -> impl Iterator<Item = TensorType> {
        TYPES.iter().map(|(id, _)| *id)
    }

    /// The type of GGML's id, which is what a GGUF file holds.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<TensorType> {
        TensorType::all().find(|known| known.ggml_id() == id)
    }

    /// The type of GGML's name, e.g. `q4_K`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<TensorType> {
        TensorType::all().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    fn row(self) -> &'static Row {
        // The macro makes one row a variant, in the same order.
        &TYPES[self as usize].1
    }

    /// GGML's name, e.g. `Q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// GGML's id.
    #[must_use]
    pub fn ggml_id(self) -> u32 {
        self.row().ggml_id
    }

    /// Weights of a block.
    #[must_use]
    pub fn block_len(self) -> u64 {
        self.row().block_len
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        self.row().block_bytes
    }

    /// Bits of a weight, its share of the block's scales included.
    #[must_use]
    pub fn bits(self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block_len() as f64
    }

    /// Whether weights share scales, so that a quantiser made them.
    #[must_use]
    pub fn is_quantised(self) -> bool {
        self.block_len() > 1
    }

    /// Whether the CPU has no kernel for them: they are unpacked to floats each time they are read.
    #[must_use]
    pub fn is_unpacked(self) -> bool {
        use TensorType::{IQ1M, IQ1S, IQ2S, IQ2XS, IQ2XXS, IQ3S, IQ3XXS, TQ1_0, TQ2_0};
        matches!(self, IQ1S | IQ1M | IQ2XXS | IQ2XS | IQ2S | IQ3XXS | IQ3S | TQ1_0 | TQ2_0)
    }

    /// Whether rows of so many weights are whole blocks, as a GGUF file requires.
    #[must_use]
    pub fn divides(self, columns: u64) -> bool {
        columns.is_multiple_of(self.block_len())
    }

    /// Bytes of a matrix; a row that is not whole blocks is padded.
    #[must_use]
    pub fn bytes(self, columns: u64, rows: u64) -> u64 {
        columns.div_ceil(self.block_len()) * self.block_bytes() * rows
    }
}

#[cfg(test)]
mod tests {
    use super::{TYPES, TensorType};

    /// The planner counts bytes of a format, and the engine reads them: they must agree.
    #[test]
    fn what_quant_runs_has_the_same_blocks() {
        for format in quant::FORMATS {
            // Q8_K is for activations: no file holds it.
            if format.id == quant::FormatId::Q8K {
                continue;
            }
            let found = TensorType::from_ggml_id(format.ggml_id).expect(format.name);
            assert_eq!(found.name(), format.name);
            assert_eq!(TensorType::from_name(format.name), Some(found));
            assert_eq!(found.block_len(), format.block_len as u64, "{}", format.name);
            assert_eq!(found.block_bytes(), format.block_bytes as u64, "{}", format.name);
        }
    }

    #[test]
    fn names_and_ids_are_those_of_ggml() {
        for found in TensorType::all() {
            assert_eq!(quant::ggml_type_name(found.ggml_id()), Some(found.name()));
        }
    }

    #[test]
    fn rows_lie_where_their_variant_looks() {
        for (index, (id, row)) in TYPES.iter().enumerate() {
            assert_eq!(*id as usize, index, "{}", row.name);
        }
        assert!(TYPES.is_sorted_by_key(|(_, row)| row.ggml_id));
    }

    /// Figures of `ggml-common.h`, by way of its static asserts.
    #[test]
    fn bits_are_the_published_ones() {
        let published = [
            (TensorType::F32, 32.0),
            (TensorType::BF16, 16.0),
            (TensorType::Q8_0, 8.5),
            (TensorType::Q6K, 6.5625),
            (TensorType::Q5K, 5.5),
            (TensorType::Q4K, 4.5),
            (TensorType::IQ4XS, 4.25),
            (TensorType::MXFP4, 4.25),
            (TensorType::NVFP4, 4.5),
            (TensorType::Q3K, 3.4375),
            (TensorType::IQ3S, 3.4375),
            (TensorType::IQ3XXS, 3.0625),
            (TensorType::Q2K, 2.625),
            (TensorType::IQ2S, 2.5625),
            (TensorType::IQ2XS, 2.3125),
            (TensorType::IQ2XXS, 2.0625),
            (TensorType::TQ2_0, 2.0625),
            (TensorType::TQ1_0, 1.6875),
            (TensorType::IQ1M, 1.75),
            (TensorType::IQ1S, 1.5625),
            (TensorType::Q2_0, 2.25),
            (TensorType::Q1_0, 1.125),
        ];
        for (found, bits) in published {
            assert_eq!(found.bits(), bits, "{}", found.name());
        }
    }

    #[test]
    fn bytes_are_whole_blocks() {
        assert_eq!(TensorType::Q4K.bytes(4096, 3), 16 * 144 * 3);
        assert_eq!(TensorType::F16.bytes(5, 7), 70);
        assert_eq!(TensorType::Q8_0.bytes(33, 1), 68);
        assert!(TensorType::Q4K.divides(512) && !TensorType::Q4K.divides(576));
    }
}
