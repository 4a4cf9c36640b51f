//! The reference against numbers worked out by hand.

use quant::FormatId;

use super::Reference;
use crate::{
    Activation, AttentionRule, Backend, Batch, ExpertBiases, Experts, Gating, HeadColumns,
    KvFormat, KvLayout, Rope, RopePairing, Routing, Span, Tensor, Weight, WeightSource,
};

fn weight(backend: &Reference, values: &[f32], k: usize) -> Weight {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let n = values.len() / k;
    let source = WeightSource {
        name: "w",
        format: FormatId::F32,
        n,
        k,
        bytes: &bytes,
        precise: false,
        factor: 1.0,
    };
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

#[test]
fn layer_norm_of_two_and_six() {
    let x = Tensor::host_from(vec![2.0, 6.0, -1.0, -1.0], 2);
    let vector = |values: &[f32]| Tensor::host_from(values.to_vec(), 2);
    let (scale, bias) = (vector(&[1.0, 2.0]), vector(&[0.5, -1.0]));
    let mut out = Tensor::host_zeros(2, 2);
    Reference::new().layer_norm(&mut out, &x, (&scale, &bias), 5.0).unwrap();
    // mean 4, variance 4, and 5 on top
    near(out.host().unwrap(), &[0.5 - 2.0 / 3.0, 4.0 / 3.0 - 1.0, 0.5, -1.0]);
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
    let batch = Batch::decode(&tokens, &spans);
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

/// Heads of width 1 that see equal keys: positions weigh the same, so that an output is a mean.
fn means(rule: &AttentionRule<'_>, values: Vec<f32>) -> Vec<f32> {
    let backend = Reference::new();
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim_k: 1,
        head_dim_v: 1,
        page_len: 2,
        page_count: 4,
        format: KvFormat::F32,
    };
    let rows = values.len();
    let mut kv = backend.alloc_kv(&layout).unwrap();
    let rope = Rope::new(RopePairing::Halves, 1, 0, 1e4);
    let spans = [Span { rows, first_position: 0, pages: &[2, 0, 3], state: 0 }];
    let tokens = vec![0; rows];
    let batch = Batch::decode(&tokens, &spans);
    let mut q = Tensor::host_from(vec![1.0; rows], 1);
    let mut k = Tensor::host_from(vec![1.0; rows], 1);
    let v = Tensor::host_from(values, 1);
    backend.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), &rope, &batch).unwrap();
    let mut out = Tensor::host_zeros(rows, 1);
    backend.attention(&mut out, &q, (&kv, 0), rule, &batch).unwrap();
    out.host().unwrap().to_vec()
}

#[test]
fn a_window_sees_so_many_and_a_sink_takes_its_share() {
    let causal = AttentionRule::causal(1.0);
    let values = || vec![2.0, 4.0, 9.0, 1.0, 8.0];
    near(&means(&causal, values()), &[2.0, 3.0, 5.0, 4.0, 4.8]);
    let window = |window| AttentionRule { window: Some(window), ..causal };
    near(&means(&window(1), values()), &values());
    near(&means(&window(2), values()), &[2.0, 3.0, 6.5, 5.0, 4.5]);
    near(&means(&window(9), values()), &[2.0, 3.0, 5.0, 4.0, 4.8]);
    // Scores are 1: a sink of 1 is one more position with a value of 0.
    let sink = Tensor::host_from(vec![1.0], 1);
    let sunk = AttentionRule { sinks: Some(&sink), ..window(2) };
    near(&means(&sunk, values()), &[1.0, 2.0, 13.0 / 3.0, 10.0 / 3.0, 3.0]);
    let both_ways = AttentionRule { bidirectional: true, ..causal };
    near(&means(&both_ways, values()), &[4.8; 5]);
    let sunk_both_ways = AttentionRule { sinks: Some(&sink), ..both_ways };
    near(&means(&sunk_both_ways, values()), &[4.0; 5]);
    // Capped at 0.5 * tanh(2), the sink weighs e^(1 - 0.482014) = 1.678644.
    let capped = AttentionRule { soft_cap: Some(0.5), ..sunk };
    near(&means(&capped, vec![1.0]), &[1.0 / 2.678_644]);
}

#[test]
fn heads_are_normed_multiplied_and_copied_apart() {
    let backend = Reference::new();
    let mut x = Tensor::host_from(vec![3.0, 4.0, 0.0, 2.0], 4);
    let scale = Tensor::host_from(vec![1.0, 2.0], 2);
    backend.rms_norm_heads(&mut x, &scale, 0.5).unwrap();
    let (a, b) = (13.0_f32.sqrt(), 2.5_f32.sqrt());
    near(x.host().unwrap(), &[3.0 / a, 8.0 / a, 0.0, 4.0 / b]);

    let heads = |first, stride, len| HeadColumns { first, stride, len };
    let x = Tensor::host_from(vec![1.0, 2.0, 3.0, 4.0, 5.0], 5);
    let weights = [weight(&backend, &[1.0, 10.0], 2), weight(&backend, &[1.0, -1.0], 2)];
    let mut out = Tensor::host_from(vec![7.0; 4], 4);
    let (to, from) = (heads(1, 2, 1), heads(0, 3, 2));
    backend.matmul_heads((&mut out, to), (&x, from), &weights).unwrap();
    near(out.host().unwrap(), &[7.0, 21.0, 7.0, -1.0]);
    backend.copy_heads((&mut out, heads(0, 2, 2)), (&x, heads(1, 0, 2)), 2).unwrap();
    near(out.host().unwrap(), &[2.0, 3.0, 2.0, 3.0]);
}

#[test]
fn caps_and_factors() {
    let backend = Reference::new();
    let mut x = Tensor::host_from(vec![0.0, 3.0, -1e9], 3);
    backend.soft_cap(&mut x, 3.0).unwrap();
    // tanh(1) = 0.7615942
    near(x.host().unwrap(), &[0.0, 3.0 * 0.761_594_2, -3.0]);
    backend.scale(&mut x, -2.0).unwrap();
    near(x.host().unwrap(), &[0.0, -6.0 * 0.761_594_2, 6.0]);
}

#[test]
fn activations_are_those_worked_out_by_hand() {
    // gelu(2) = 1 + tanh(0.7978846 * 2.357720) = 1.9545977
    assert!((Activation::GeluTanh.of(2.0, 3.0) - 3.0 * 1.954_597_7).abs() < 1e-6);
    // 2 * 0.9772498680518208, the normal distribution's share below 2
    assert!((Activation::GeluErf.of(2.0, 3.0) - 6.0 * 0.977_249_868_051_820_8).abs() < 1e-12);
    assert!((Activation::GeluErf.of(-7.0, 1.0) + 7.0 * 1.279_812_5e-12).abs() < 1e-15);
    let mut x = Tensor::host_from(vec![2.0, 0.0, -1.0, 100.0], 4);
    Reference::new().activate(&mut x, Activation::GeluErf).unwrap();
    near(x.host().unwrap(), &[1.954_499_7, 0.0, -0.158_655_25, 100.0]);
    let clamped = Activation::ClampedSilu { alpha: 2.0, limit: 1.5 };
    // 1.5 / (1 + e^-3) = 1.4288612
    assert!((clamped.of(9.0, 7.0) - 1.428_861_2 * 2.5).abs() < 1e-6);
    assert!((clamped.of(9.0, -7.0) - 1.428_861_2 * -0.5).abs() < 1e-6);
    // -9 / (1 + e^18) = -1.3707e-7
    assert!((clamped.of(-9.0, 0.0) + 1.370_7e-7).abs() < 1e-10);
}

#[test]
fn experts_are_weighed_and_added() {
    let backend = Reference::new();
    let weights = |values: [f32; 3]| values.map(|value| weight(&backend, &[value], 1)).into();
    let experts = Experts {
        gate: weights([1e9, 1.0, 2.0]),
        up: weights([1.0, 2.0, 1.0]),
        down: weights([1.0, 1.0, 3.0]),
        biases: Some(ExpertBiases {
            gate: Tensor::host_from(vec![0.0, 99.0, 98.0], 1),
            up: Tensor::host_from(vec![0.0, 1.0, 0.0], 1),
            down: Tensor::host_from(vec![0.0, 0.0, 7.0], 1),
        }),
        activation: Activation::Silu,
        routing: Routing {
            used: 2,
            gating: Gating::Softmax,
            normalised: true,
            scale: 2.0,
            groups: None,
        },
        selection_bias: None,
    };
    let (x, mut out) = (Tensor::host_from(vec![1.0], 1), Tensor::host_zeros(1, 1));
    // Of 0, ln 1 and ln 3 the last two: weights 1/4 and 3/4 times 2.
    let scores = Tensor::host_from(vec![-1.0, 0.0, 3.0_f32.ln()], 3);
    backend.experts(&mut out, &x, &scores, &experts).unwrap();
    // Gates of 100 go through SiLU as they are: 100 * 3, and 100 * 1 * 3 + 7.
    near(out.host().unwrap(), &[0.5 * 300.0 + 1.5 * 307.0]);
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
