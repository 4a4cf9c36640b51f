//! Folders in FP8 with factors of blocks, and in MXFP4 as gpt-oss is released: the model is the one
//! whose weights are what their codes come to, in F32.

mod loaded;
mod logits;
mod stored;

use quant::FormatId;
use serde_json::json;
use testkit::TinyCheckpoint;

use crate::stored::{Stored, in_f32, model, open, same_logits, values, write};

/// Rows and columns that share a factor: neither divides the sizes of all matrices.
const BLOCK: (usize, usize) = (48, 40);
/// What codes of 4 bits stand for, without their sign.
const CODES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Weights of MXFP4 that share a scale.
const GROUP: usize = 32;

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Opens both; tensors have the same values, `count` of them in this format.
fn same_model(name: &str, (stored, plain): (&[Stored], &TinyCheckpoint), count: (FormatId, usize)) {
    let (of, _) = model(name);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), (&plain.config, stored));
    let found = open(folder.path());
    let (_folder, expected) = in_f32(plain);
    let mut narrow = 0;
    for tensor in expected.tensors() {
        let other = found.tensor(&tensor.name).expect("the same tensors");
        assert_eq!(other.shape, tensor.shape, "{name}: {}", tensor.name);
        narrow += usize::from(other.format == count.0);
        assert!(values(&found, other) == values(&expected, tensor), "{name}: {}", tensor.name);
    }
    assert_eq!(narrow, count.1, "{name}: tensors in {}", count.0.name());
    same_logits(&of, &found, &expected);
}

/// The value of a byte in E4M3 that is no NaN.
fn eight_bits(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7) / 8.0);
    let size = match exponent {
        0 => mantissa * 2.0_f32.powi(-6),
        _ => (1.0 + mantissa) * 2.0_f32.powi(exponent - 7),
    };
    if byte >> 7 == 1 { -size } else { size }
}

/// Factors are powers of two, so that products with them are exact in BF16.
fn check_fp8(name: &str, count: usize) {
    let (_, mut plain) = model(name);
    plain.config["quantization_config"] =
        json!({"quant_method": "fp8", "weight_block_size": [BLOCK.0, BLOCK.1]});
    let (mut stored, mut rng): (Vec<Stored>, _) = (Vec::new(), testkit::rng(8));
    for (name, shape, values) in &mut plain.tensors {
        let is_chosen = name.contains("_proj") && name.ends_with(".weight");
        let (true, &[n, k]) = (is_chosen, &**shape) else {
            stored.push((name.clone(), "F32", shape.clone(), bytes_of(values)));
            continue;
        };
        let of_factors = [n.div_ceil(BLOCK.0 as u64), k.div_ceil(BLOCK.1 as u64)];
        let blocks = of_factors[0] * of_factors[1];
        let factors: Vec<f32> =
            (0..blocks).map(|_| 2.0_f32.powi(-3 - (rng.next_u64() % 3) as i32)).collect();
        // Below 2 in size, numbers below the normal ones among them.
        let codes: Vec<u8> = values.iter().map(|_| (rng.next_u64() & 0xBF) as u8).collect();
        for (i, (value, code)) in values.iter_mut().zip(&codes).enumerate() {
            let (row, column) = (i / k as usize, i % k as usize);
            let at = row / BLOCK.0 * of_factors[1] as usize + column / BLOCK.1;
            *value = eight_bits(*code) * factors[at];
        }
        let factors = (format!("{name}_scale_inv"), "F32", of_factors.to_vec(), bytes_of(&factors));
        stored.extend([(name.clone(), "F8_E4M3", shape.clone(), codes), factors]);
    }
    same_model(name, (&stored, &plain), (FormatId::BF16, count));
}

#[test]
fn folders_in_fp8_are_what_their_factors_make_of_them() {
    // Rows of queries and keys in another order; a matrix that is kept in two parts, experts.
    check_fp8("llama", 14);
    check_fp8("deepseek3", 33);
}

#[test]
fn folders_of_gpt_oss_run_as_released() {
    let (_, mut plain) = model("gpt_oss");
    plain.config["quantization_config"] = json!({"quant_method": "mxfp4"});
    let (mut stored, mut rng): (Vec<Stored>, _) = (Vec::new(), testkit::rng(4));
    for (name, shape, values) in &mut plain.tensors {
        if !(name.ends_with(".gate_up_proj") || name.ends_with(".down_proj")) {
            stored.push((name.clone(), "F32", shape.clone(), bytes_of(values)));
            continue;
        }
        // `transformers` turns them when it unpacks them.
        let [experts, k, n] = shape[..] else { panic!("{name} {shape:?}") };
        let groups = k / GROUP as u64;
        let count = (experts * n * groups) as usize;
        let scales: Vec<u8> = (0..count).map(|_| 122 + (rng.next_u64() % 4) as u8).collect();
        let blocks: Vec<u8> = (0..count * GROUP / 2).map(|_| rng.next_u64() as u8).collect();
        let (k, n) = (k as usize, n as usize);
        for (i, value) in values.iter_mut().enumerate() {
            let (expert, column, row) = (i / n / k, i / n % k, i % n);
            let at = (expert * n + row) * k + column;
            let code = blocks[at / 2] >> (4 * (at % 2)) & 15;
            let size =
                CODES[usize::from(code & 7)] * 2.0_f32.powi(i32::from(scales[at / GROUP]) - 127);
            *value = if code & 8 == 0 { size } else { -size };
        }
        let shape = vec![experts, n as u64, groups];
        let of_blocks = [&shape[..], &[GROUP as u64 / 2]].concat();
        stored.push((format!("{name}_blocks"), "U8", of_blocks, blocks));
        stored.push((format!("{name}_scales"), "U8", shape, scales));
    }
    same_model("gpt_oss", (&stored, &plain), (FormatId::MXFP4, 9));
}
