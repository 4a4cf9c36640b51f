//! Prefill rows with AMX: bit for bit what the instructions are said to do.

use quant::FormatId;
use tensor::{Backend, Tensor};

use super::{BLOCKWISE, FLOATS, QUANTISED, Random, SEED, bits, embedded, prepared, with};
use crate::{CpuBackend, Variant, variants};

/// Rounded to bf16, ties to even.
fn rounded(x: f32) -> f32 {
    half::bf16::from_f32(x).to_f32()
}

/// Rounded to bf16, ties away from zero, as weights are.
fn rounded_away(x: f32) -> f32 {
    f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000)
}

/// For each 32 columns, even and odd ones in a chain each, whose sum is added.
fn chained(x: &[f32], w: &[f32]) -> f32 {
    let mut sum = 0.0;
    for (x, w) in x.chunks(32).zip(w.chunks(32)) {
        let mut chains = [0.0_f32; 2];
        for (i, (x, w)) in x.iter().zip(w).enumerate() {
            chains[i % 2] = rounded(*x).mul_add(rounded_away(*w), chains[i % 2]);
        }
        sum += chains[0] + chains[1];
    }
    sum
}

fn prefill(cpu: &CpuBackend, weight: &tensor::Weight, x: &[f32]) -> Vec<f32> {
    let mut out = Tensor::host_zeros(x.len() / weight.k, weight.n);
    let mut x = Tensor::host_from(x.to_vec(), weight.k);
    x.set_decode_rows(0);
    cpu.matmul(&mut [&mut out], &x, &[weight]).expect("shapes fit");
    out.host().expect("host memory").to_vec()
}

#[test]
fn prefill_rows_are_chains_of_bf16() {
    // More columns than a block, more rows than a pair of tiles, more weights than a pair, and odd
    // tiles of them.
    let (n, k, rows, few) = (40, 768, 37, 20);
    let x = Random(SEED + 12).values(rows * k);
    for variant in variants() {
        let cpu = with(variant, 3);
        for format in QUANTISED.into_iter().chain(FLOATS).chain(BLOCKWISE) {
            let weight = prepared(&cpu, format, n, k);
            let found = prefill(&cpu, &weight, &x);
            let alone = prefill(&cpu, &weight, &x[..few * k]);
            assert_eq!(bits(&alone), bits(&found[..few * n]), "{variant:?} {format:?}");
            if !crate::prefill::takes(cpu.on().0, format) {
                let alike = super::product(&cpu, &weight, &x);
                assert_eq!(bits(&found), bits(&alike), "{variant:?} {format:?}");
                continue;
            }
            // The values of the file, which a fused scale and minimum may miss by a rounding: that
            // seldom shows in bf16, and then as one of its steps.
            let weights = embedded(&cpu, &weight);
            let mut exact = 0;
            for (i, found) in found.iter().enumerate() {
                let (x, w) = (&x[i / n * k..][..k], &weights[i % n * k..][..k]);
                let want = chained(x, w);
                exact += usize::from(found.to_bits() == want.to_bits());
                let size: f32 = x.iter().zip(w).map(|(x, w)| (x * w).abs()).sum();
                assert!((found - want).abs() <= 1e-4 * size, "{format:?} {i}: {found} {want}");
            }
            let fused =
                [FormatId::Q4_1, FormatId::Q5_1, FormatId::Q2K, FormatId::Q4K, FormatId::Q5K];
            let enough = if fused.contains(&format) { 0 } else { found.len() };
            assert!(exact >= enough, "{format:?}: {exact} of {} are exact", found.len());
        }
    }
}

#[test]
fn columns_of_floats_need_not_fill_a_group() {
    let (n, k, rows) = (20, 45, 3);
    let x = Random(SEED + 13).values(rows * k);
    for variant in variants().into_iter().filter(|variant| *variant == Variant::Amx) {
        let cpu = with(variant, 2);
        for format in [FormatId::F16, FormatId::BF16] {
            let weight = prepared(&cpu, format, n, k);
            let weights = embedded(&cpu, &weight);
            for (i, found) in prefill(&cpu, &weight, &x).iter().enumerate() {
                let want = chained(&x[i / n * k..][..k], &weights[i % n * k..][..k]);
                assert_eq!(found.to_bits(), want.to_bits(), "{format:?} {i}");
            }
        }
    }
}

#[test]
fn a_prompt_of_infinities_stays_one() {
    for variant in variants() {
        let cpu = with(variant, 2);
        let weight = prepared(&cpu, FormatId::Q8_0, 16, 64);
        for spoiled in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut x = vec![1.0; 64];
            x[40] = spoiled;
            let found = prefill(&cpu, &weight, &x);
            assert!(found.iter().all(|value| !value.is_finite()), "{variant:?} {found:?}");
        }
    }
}
