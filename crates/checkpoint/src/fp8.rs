//! Weights of 8 bits (E4M3) with a factor for each block of rows and columns, as DeepSeek V3 and
//! Qwen's FP8 releases have them.
//!
//! Source: Micikevicius et al. 2022, arXiv 2209.05433, table 1: bias 7, no infinities, one NaN.

use quant::FormatId;

/// The value of a byte.
pub(crate) fn value(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2.0_f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
    };
    if byte >> 7 == 1 { -size } else { size }
}

/// A matrix in BF16: each value times the factor of its block of `(rows, columns)`.
pub(crate) fn widen(
    bytes: &[u8],
    columns: usize,
    (factors, (block_rows, block_columns)): (&[f32], (usize, usize)),
) -> Vec<u8> {
    let values: Vec<f32> = (0..=255).map(value).collect();
    let in_row = columns.div_ceil(block_columns);
    let mut out = vec![0; bytes.len() * 2];
    let mut wide = vec![0.0; columns];
    let rows = bytes.chunks_exact(columns).zip(out.chunks_exact_mut(columns * 2));
    for (row, (bytes, out)) in rows.enumerate() {
        let factors = &factors[row / block_rows * in_row..][..in_row];
        for (column, (wide, byte)) in wide.iter_mut().zip(bytes).enumerate() {
            *wide = values[usize::from(*byte)] * factors[column / block_columns];
        }
        FormatId::BF16.quantize_row(&wide, out);
    }
    out
}

#[cfg(test)]
mod tests {
    use quant::FormatId;

    use super::{value, widen};

    #[test]
    fn values_are_those_of_the_table() {
        for (byte, expected) in [
            (0x00, 0.0),
            (0x01, 0.001_953_125),
            (0x07, 0.013_671_875),
            (0x08, 0.015_625),
            (0x38, 1.0),
            (0x7E, 448.0),
            (0xC0, -2.0),
        ] {
            assert_eq!(value(byte), expected, "{byte:#x}");
        }
        assert!(value(0x7F).is_nan() && value(0xFF).is_nan());
    }

    #[test]
    fn each_block_has_its_factor() {
        // Three rows of three; blocks of two by two.
        let made = widen(&[0x38; 9], 3, (&[1.0, 2.0, 3.0, 4.0], (2, 2)));
        let mut values = [0.0; 9];
        FormatId::BF16.dequantize_row(&made, &mut values);
        assert_eq!(values, [1.0, 1.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
    }
}
