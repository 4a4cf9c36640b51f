//! Attention against softmax in f64, whatever the chunks, and what windows leave out.

use tensor::{
    AttentionRule, Backend, Batch, KvCache, KvFormat, KvLayout, Rope, RopePairing, Span, Tensor,
};

use super::{Random, SEED, backends, bits};
use crate::{CpuBackend, Variant};

pub(super) struct Case {
    pub(super) head_dim: usize,
    pub(super) page_len: usize,
    pub(super) format: KvFormat,
    pub(super) tolerance: f64,
}

const N_HEADS: usize = 6;
const N_KV_HEADS: usize = 2;
const LEN: usize = 600;

/// Rotated q and k, and the output of attention, for positions `from..to`.
fn attend(
    cpu: &CpuBackend,
    (kv, case): (&mut KvCache, &Case),
    (values, is_prefill): (&[Vec<f32>; 3], bool),
    (from, to): (usize, usize),
) -> [Vec<f32>; 3] {
    let pages: Vec<u32> = (0..kv.layout.page_count as u32).rev().collect();
    let spans = [Span { rows: to - from, first_position: from, pages: &pages, state: 0 }];
    let tokens = vec![0; to - from];
    let of_kind = if is_prefill { Batch::prefill } else { Batch::decode };
    let batch = of_kind(&tokens, &spans);
    let rows = |values: &[f32], heads: usize| {
        let cols = heads * case.head_dim;
        Tensor::host_from(values[from * cols..to * cols].to_vec(), cols)
    };
    let rope = Rope::new(RopePairing::Halves, case.head_dim, case.head_dim, 1e4);
    let (mut q, mut k) = (rows(&values[0], N_HEADS), rows(&values[1], N_KV_HEADS));
    let v = rows(&values[2], N_KV_HEADS);
    cpu.rope_kv_write(kv, 1, (&mut q, &mut k, &v), &rope, &batch).unwrap();
    let mut out = Tensor::host_zeros(to - from, N_HEADS * case.head_dim);
    cpu.attention(&mut out, &q, (kv, 1), &AttentionRule::causal(0.3), &batch).unwrap();
    [&q, &k, &out].map(|tensor| tensor.host().unwrap().to_vec())
}

/// Softmax attention of one row and head in f64.
fn attend_f64(case: &Case, [q, k, v]: [&[f32]; 3], (row, head): (usize, usize)) -> Vec<f64> {
    let dim = case.head_dim;
    let at = |rows: &[f32], row: usize, heads: usize, head: usize| -> Vec<f64> {
        rows[(row * heads + head) * dim..][..dim].iter().map(|x| f64::from(*x)).collect()
    };
    let (q, kv_head) = (at(q, row, N_HEADS, head), head / (N_HEADS / N_KV_HEADS));
    let score = |j| -> f64 {
        let k = at(k, j, N_KV_HEADS, kv_head);
        q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * 0.3
    };
    let weights: Vec<f64> = (0..=row).map(|j| score(j).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut out = vec![0.0; dim];
    for (j, weight) in weights.iter().enumerate() {
        for (out, v) in out.iter_mut().zip(at(v, j, N_KV_HEADS, kv_head)) {
            *out += weight * v / total;
        }
    }
    out
}

pub(super) fn check(case: &Case) {
    let mut random = Random(SEED + 4);
    let values = [N_HEADS, N_KV_HEADS, N_KV_HEADS].map(|n| random.values(LEN * n * case.head_dim));
    for (cpu, is_prefill) in backends().iter().flat_map(|cpu| [(cpu, false), (cpu, true)]) {
        let rounds = is_prefill && cpu.variant() == Variant::Amx && case.format != KvFormat::Q8_0;
        // Two roundings to bf16 in each product of a score, and of probabilities and values.
        let tolerance = if rounds { case.tolerance.max(2e-2) } else { case.tolerance };
        let layout = KvLayout {
            n_layers: 2,
            n_kv_heads: N_KV_HEADS,
            head_dim_k: case.head_dim,
            head_dim_v: case.head_dim,
            page_len: case.page_len,
            page_count: LEN.div_ceil(case.page_len) + 2,
            format: case.format,
        };
        let mut kv = cpu.alloc_kv(&layout).unwrap();
        let [q, k, all] = attend(cpu, (&mut kv, case), (&values, is_prefill), (0, LEN));
        for row in [0, 1, 15, 16, 63, 64, 300, 511, 512, 599] {
            for head in 0..N_HEADS {
                let want = attend_f64(case, [&q, &k, &values[2]], (row, head));
                let got = &all[(row * N_HEADS + head) * case.head_dim..];
                for (want, got) in want.iter().zip(got) {
                    let error = (want - f64::from(*got)).abs();
                    assert!(error < tolerance, "row {row} head {head}: {error}");
                }
            }
        }
        let mut kv = cpu.alloc_kv(&layout).unwrap();
        let mut from = 0;
        for to in [1, 2, 3, 10, 17, 300, 301, 555, 598, 599, 600] {
            let [_, _, part] = attend(cpu, (&mut kv, case), (&values, is_prefill), (from, to));
            let same = &all[from * N_HEADS * case.head_dim..][..part.len()];
            assert_eq!(bits(&part), bits(same), "chunk {from}..{to}");
            from = to;
        }
    }
}

#[test]
fn what_a_window_hides_is_not_visited() {
    // Where a window of 70 from row 1000 on does not reach there is only NaN, and a zero
    // probability would not hide that.
    let (len, first, dim) = (1010, 1000, 32);
    let mut random = Random(SEED + 11);
    let [mut k, mut v] = [(); 2].map(|()| random.values(len * dim));
    let q = random.values(len * dim);
    let seen = (first + 1 - 70) / 64 * 64;
    k[..seen * dim].fill(f32::NAN);
    v[..seen * dim].fill(f32::NAN);
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim_k: dim,
        head_dim_v: dim,
        page_len: 16,
        page_count: len.div_ceil(16),
        format: KvFormat::F32,
    };
    let pages: Vec<u32> = (0..layout.page_count as u32).collect();
    let rope = Rope::new(RopePairing::Halves, dim, 0, 1e4);
    let rule = AttentionRule { window: Some(70), ..AttentionRule::causal(0.2) };
    for cpu in backends() {
        let mut kv = cpu.alloc_kv(&layout).unwrap();
        for rows in [0..first, first..len] {
            let part =
                |x: &[f32]| Tensor::host_from(x[rows.start * dim..rows.end * dim].to_vec(), dim);
            let (mut q, mut k, v) = (part(&q), part(&k), part(&v));
            let spans =
                [Span { rows: rows.len(), first_position: rows.start, pages: &pages, state: 0 }];
            let tokens = vec![0; rows.len()];
            let batch = Batch::prefill(&tokens, &spans);
            cpu.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), &rope, &batch).unwrap();
            if rows.start == first {
                let mut out = Tensor::host_zeros(rows.len(), dim);
                cpu.attention(&mut out, &q, (&kv, 0), &rule, &batch).unwrap();
                assert!(out.host().unwrap().iter().all(|value| value.is_finite()));
            }
        }
    }
}
