//! Weights of 4 bits as ModelOpt and compressed-tensors write them: codes, two in a byte, a scale
//! of 8 bits (E4M3) for each 16, and a factor of the whole matrix; as GGML's NVFP4, whose blocks
//! are 64 weights with their scales. No value changes: bytes only take other places.
//!
//! Source: compressed-tensors 0.20.0 (`compressors/nvfp4`, `converters/modelopt_nvfp4.py`), which
//! says both; `tools/reference/nvfp4.py` proves it.

/// Weights that share a scale.
pub(crate) const GROUP: usize = 16;
/// Bytes of their codes.
const CODES: usize = GROUP / 2;
/// Weights of a block.
pub(crate) const BLOCK: usize = 64;
/// Groups of a block.
const GROUPS: usize = BLOCK / GROUP;
/// The sign of a scale, and of both codes of a byte.
const SIGN: u8 = 0x80;
const SIGNS: u8 = 0x88;

/// Blocks of a matrix whose rows are whole blocks.
pub(crate) fn repack(codes: &[u8], scales: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(codes.len() + scales.len());
    for (codes, scales) in codes.chunks_exact(CODES * GROUPS).zip(scales.chunks_exact(GROUPS)) {
        out.extend(scales.iter().map(|scale| scale & !SIGN));
        for (codes, scale) in codes.chunks_exact(CODES).zip(scales) {
            let mut group = [0; CODES];
            for (i, code) in group.iter_mut().enumerate() {
                // Neighbours there; here a weight and the one half a group further on.
                let half = |first: usize| codes[(first + i) / 2] >> (4 * (i % 2)) & 15;
                *code = half(0) | half(CODES) << 4;
            }
            // GGML's scales have no sign.
            let flip = if scale & SIGN == 0 { 0 } else { SIGNS };
            out.extend(group.map(|code| code ^ flip));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use quant::FormatId;
    use serde_json::Value as Json;

    use super::repack;

    /// `tools/reference/nvfp4.py` says how this was made.
    const FIXTURE: &str = include_str!("../tests/fixtures/nvfp4.json");

    #[test]
    fn values_are_those_of_compressed_tensors() {
        let json: Json = serde_json::from_str(FIXTURE).unwrap();
        let list = |key: &str| json[key].as_array().unwrap().iter();
        let bytes = |key: &str| -> Vec<u8> {
            list(key).map(|it| u8::try_from(it.as_u64().unwrap()).unwrap()).collect()
        };
        let expected: Vec<f64> = list("values").map(|it| it.as_f64().unwrap()).collect();
        let factor = 1.0 / json["weight_global_scale"].as_f64().unwrap();
        let blocks = repack(&bytes("weight_packed"), &bytes("weight_scale"));
        let mut found = vec![0.0; expected.len()];
        FormatId::NVFP4.dequantize_row(&blocks, &mut found);
        assert!(expected.iter().filter(|value| **value != 0.0).count() > 200);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let found = f64::from(*found) * factor;
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{i}: {found}, {expected}");
        }
    }
}
