//! Weights of 4 bits as ModelOpt and compressed-tensors write them: codes, two in a byte, a scale
//! of 8 bits (E4M3) for each 16, and a factor of the whole matrix; as GGML's NVFP4, whose blocks
//! are 64 weights with their scales. No value changes: bytes only take other places. Rows that are
//! no whole blocks become BF16, which holds a code (2 bits of mantissa) times a scale (4) exactly.
//!
//! Source: compressed-tensors 0.20.0 (`compressors/nvfp4`, `converters/modelopt_nvfp4.py`), which
//! says both; `tools/reference/nvfp4.py` proves it.

use quant::FormatId;

use crate::fp8;
use crate::headers::SafeTensor;

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
/// What codes stand for.
const VALUES: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Whether rows of codes are whole blocks.
pub(crate) fn are_blocks(codes: &SafeTensor) -> bool {
    codes.shape.last().is_some_and(|bytes| bytes.is_multiple_of(BLOCK as u64 / 2))
}

/// A matrix in BF16, without its factor.
pub(crate) fn widen(codes: &[u8], scales: &[u8]) -> Vec<u8> {
    let mut out = vec![0; codes.len() * 2 * FormatId::BF16.block_bytes()];
    let groups = codes.chunks_exact(CODES).zip(scales);
    for ((codes, scale), out) in
        groups.zip(out.chunks_exact_mut(GROUP * FormatId::BF16.block_bytes()))
    {
        let scale = fp8::value(*scale);
        let value = |i: usize| scale * VALUES[usize::from(codes[i / 2] >> (4 * (i % 2)) & 15)];
        FormatId::BF16.quantize_row(&std::array::from_fn::<f32, GROUP, _>(value), out);
    }
    out
}

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

    use super::{repack, widen};

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
        let parts = (bytes("weight_packed"), bytes("weight_scale"));
        let made = [
            (FormatId::NVFP4, repack(&parts.0, &parts.1)),
            (FormatId::BF16, widen(&parts.0, &parts.1)),
        ];
        assert!(expected.iter().filter(|value| **value != 0.0).count() > 200);
        for (format, made) in made {
            let mut found = vec![0.0; expected.len()];
            format.dequantize_row(&made, &mut found);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = f64::from(*found) * factor;
                let is_near = (found - expected).abs() <= 1e-6 * expected.abs();
                assert!(is_near, "{i} as {}: {found}, {expected}", format.name());
            }
        }
    }
}
