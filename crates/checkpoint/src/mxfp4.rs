//! MXFP4 as gpt-oss ships it: `blocks [.., 16]` whose byte i holds values 2i and 2i + 1, and
//! `scales [..]`, one exponent a block. GGUF has the exponent before its block, and byte i holds
//! values i and i + 16. Only bits move.

/// Bytes of the codes of a block.
pub(crate) const CODES: usize = 16;
/// Bytes of a block in GGUF.
const BLOCK: usize = CODES + 1;

/// Every `step`th row of so many blocks, from row `first` on.
pub(crate) fn repack(
    blocks: &[u8],
    scales: &[u8],
    (first, step): (usize, usize),
    row: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(scales.len() / step * BLOCK);
    let rows = blocks.chunks_exact(row * CODES).zip(scales.chunks_exact(row));
    for (blocks, scales) in rows.skip(first).step_by(step) {
        for (codes, scale) in blocks.chunks_exact(CODES).zip(scales) {
            out.push(*scale);
            let code = |i: usize| codes[i / 2] >> (i % 2 * 4) & 15;
            out.extend((0..CODES).map(|i| code(i) | code(i + CODES) << 4));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use quant::FormatId;
    use serde_json::Value as Json;

    use super::repack;

    #[test]
    fn values_are_those_of_transformers() {
        let json: Json = serde_json::from_str(include_str!("../tests/fixtures/mxfp4.json"))
            .expect("the fixture is JSON");
        let numbers = |key: &str| -> Vec<f64> {
            let values = json[key].as_array().expect("a list").iter();
            values.map(|value| value.as_f64().expect("a number")).collect()
        };
        let bytes = |key| numbers(key).into_iter().map(|byte| byte as u8).collect::<Vec<u8>>();
        let (blocks, scales, expected) = (bytes("blocks"), bytes("scales"), numbers("values"));
        // Two experts of four rows of 64; there the rows are columns.
        let (rows, k) = (4, 64);
        for (first, step) in [(0, 1), (0, 2), (1, 2)] {
            let made = repack(&blocks, &scales, (first, step), 2);
            let mut values = vec![0.0; 2 * rows / step * k];
            FormatId::MXFP4.dequantize_row(&made, &mut values);
            for (i, value) in values.iter().enumerate() {
                let (row, column) = (i / k * step + first, i % k);
                let (expert, row) = (row / rows, row % rows);
                assert_eq!(f64::from(*value), expected[(expert * k + column) * rows + row]);
            }
        }
    }

    #[test]
    fn values_keep_their_places() {
        // Value i of a block is code i mod 16; two rows of one block.
        let codes = [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE].repeat(2);
        let scales = [127, 128];
        let table = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        for (first, factor) in [(0, 1.0), (1, 2.0)] {
            let made = repack(&codes.repeat(2), &scales, (first, 2), 1);
            let mut values = [0.0; 32];
            FormatId::MXFP4.dequantize_row(&made, &mut values);
            for (i, value) in values.iter().enumerate() {
                let sign = if i % 16 < 8 { factor } else { -factor };
                assert_eq!(*value, table[i % 8] * sign, "{i}");
            }
        }
        assert_eq!(repack(&codes.repeat(2), &scales, (0, 1), 1).len(), 34);
    }
}
