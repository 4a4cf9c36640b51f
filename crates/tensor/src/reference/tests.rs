//! The reference against numbers worked out by hand.

use quant::FormatId;

use super::Reference;
use crate::{
    Activation, AttentionRule, Backend, Batch, KvFormat, KvLayout, Rope, RopePairing, Span, Tensor,
    Weight, WeightSource,
};

fn weight(backend: &Reference, values: &[f32], k: usize) -> Weight {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let n = values.len() / k;
    let source =
        WeightSource { name: "w", format: FormatId::F32, n, k, bytes: &bytes, precise: false };
    backend.prepare(&source).unwrap()
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn matmul_is_rows_times_rows() {
    let backend = Reference::new();
    let w = weight(&backend, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
    let x = Tensor::host_from(vec![1.0, 0.0, -1.0, 2.0, 2.0, 2.0], 3);
    let mut out = Tensor::host_zeros(2, 2);
    backend.matmul(&mut [&mut out], &x, &[&w]).unwrap();
    near(out.host().unwrap(), &[-2.0, -2.0, 12.0, 30.0]);
}

#[test]
fn sums_are_wide() {
    let backend = Reference::new();
    let w = weight(&backend, &[1.0; 3], 3);
    // In f32 the 1 would be lost beside 1e8.
    let x = Tensor::host_from(vec![1e8, 1.0, -1e8], 3);
    let mut out = Tensor::host_zeros(1, 1);
    backend.matmul(&mut [&mut out], &x, &[&w]).unwrap();
    near(out.host().unwrap(), &[1.0]);
}

#[test]
fn gated_products_are_silu_times_up() {
    let backend = Reference::new();
    let (gate, up) = (weight(&backend, &[1.0], 1), weight(&backend, &[3.0], 1));
    let x = Tensor::host_from(vec![2.0, -1000.0, 0.0], 1);
    let mut out = Tensor::host_zeros(3, 1);
    backend.gated(&mut out, &x, (&gate, &up), Activation::Silu).unwrap();
    // silu(2) = 2 / (1 + e^-2) = 1.7615942
    near(out.host().unwrap(), &[1.761_594_2 * 6.0, 0.0, 0.0]);
}

#[test]
fn rms_norm_of_three_and_four() {
    let x = Tensor::host_from(vec![3.0, 4.0, 0.0, 0.0], 2);
    let scale = Tensor::host_from(vec![1.0, 2.0], 2);
    let mut out = Tensor::host_zeros(2, 2);
    Reference::new().rms_norm(&mut out, &x, &scale, 0.5).unwrap();
    // mean of squares 12.5, and 0.5 on top
    let root = 13.0_f32.sqrt();
    near(out.host().unwrap(), &[3.0 / root, 8.0 / root, 0.0, 0.0]);
}

/// A cache of one head of `dim`, pages of 2, and what was written to positions 0.. of page table
/// `pages`.
fn attend(dim: usize, pages: &[u32], qkv: [Vec<f32>; 3], rope: &Rope) -> (Vec<f32>, Vec<f32>) {
    let backend = Reference::new();
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim_k: dim,
        head_dim_v: dim,
        page_len: 2,
        page_count: 4,
        format: KvFormat::F32,
    };
    let mut kv = backend.alloc_kv(&layout).unwrap();
    let [mut q, mut k, v] = qkv.map(|values| Tensor::host_from(values, dim));
    let rows = q.rows();
    let spans = [Span { rows, first_position: 0, pages, state: 0 }];
    let tokens = vec![0; rows];
    let batch = Batch { tokens: &tokens, spans: &spans };
    backend.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), rope, &batch).unwrap();
    let mut out = Tensor::host_zeros(rows, dim);
    backend.attention(&mut out, &q, (&kv, 0), &AttentionRule::causal(1.0), &batch).unwrap();
    (out.host().unwrap().to_vec(), q.host().unwrap().to_vec())
}

#[test]
fn attention_weighs_what_came_before() {
    let mut still = Rope::new(RopePairing::Halves, 2, 2, 1e4);
    still.inverse_frequencies.fill(0.0);
    let ln3 = 3.0_f32.ln();
    let q = vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    // Scores 0 and ln 3: weights 1/4 and 3/4.
    let k = vec![0.0, 9.0, ln3, 9.0, 5.0, 5.0];
    let v = vec![4.0, 0.0, 8.0, 4.0, 0.0, 2.0];
    let (out, _) = attend(2, &[3, 1], [q, k, v], &still);
    near(&out, &[4.0, 0.0, 7.0, 3.0, 4.0, 2.0]);
}

#[test]
fn rope_turns_pairs_by_position() {
    let turn = |pairing| {
        let mut rope = Rope::new(pairing, 4, 4, 1e4);
        rope.inverse_frequencies = vec![std::f32::consts::FRAC_PI_2, 0.0];
        let x = || vec![1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0];
        attend(4, &[0], [x(), x(), x()], &rope).1
    };
    let interleaved = turn(RopePairing::Interleaved);
    near(&interleaved, &[1.0, 2.0, 3.0, 4.0, -2.0, 1.0, 3.0, 4.0]);
    let halves = turn(RopePairing::Halves);
    near(&halves, &[1.0, 2.0, 3.0, 4.0, -3.0, 2.0, 1.0, 4.0]);
}

#[test]
fn threads_do_not_show() {
    let values: Vec<f32> = (0..600 * 600).map(|i| ((i * 37) % 101) as f32 * 0.01 - 0.5).collect();
    let x = Tensor::host_from(values[..5 * 600].to_vec(), 600);
    let run = |threads| {
        let backend = Reference { threads };
        let w = weight(&backend, &values, 600);
        let mut out = Tensor::host_zeros(5, 600);
        backend.matmul(&mut [&mut out], &x, &[&w]).unwrap();
        out.host().unwrap().to_vec()
    };
    let one = run(1);
    assert_ne!(one, vec![0.0; 3000]);
    for threads in [2, 3, 7, 1000] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}
