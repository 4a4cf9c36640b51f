//! Causal attention over the paged cache.

use super::kv::{self, KvLayer};
use super::matmul::dot;
use super::spread::spread;
use super::{fit, shape};
use crate::{Batch, KvCache, KvLayout, Result, Span, Tensor};

/// `out[r][h] = sum over p of softmax(scale * q[r][h] . k[p][g])[p] * v[p][g]` over the positions
/// `p <= position of r` of the row's own sequence; `g = h / (n_heads / n_kv_heads)`.
/// Source: Vaswani et al. 2017, arXiv 1706.03762, equation 1; Ainslie et al. 2023 (groups),
/// arXiv 2305.13245.
pub(super) fn attention(
    threads: usize,
    out: &mut Tensor,
    (q, scale): (&Tensor, f32),
    (kv, layer): (&KvCache, usize),
    batch: &Batch<'_>,
) -> Result<()> {
    kv::check(kv, layer, batch)?;
    let layout = &kv.layout;
    let (n_kv_heads, dim_k, dim_v) = (layout.n_kv_heads, layout.head_dim_k, layout.head_dim_v);
    let n_heads = q.cols() / dim_k;
    let fits = q.rows() == batch.tokens.len()
        && q.cols() == n_heads * dim_k
        && n_heads > 0
        && n_heads.is_multiple_of(n_kv_heads)
        && out.cols() == n_heads * dim_v;
    fit(fits, || format!("q is {:?}, out {:?}, cache {layout:?}", shape(q), shape(out)))?;
    out.set_rows(q.rows())?;
    let layer = kv::layer(kv, layer)?;
    let group = n_heads / n_kv_heads;
    let rows: Vec<(&Span<'_>, usize)> = batch.rows().collect();
    let q = q.host()?;
    let longest = rows.iter().map(|(_, position)| position + 1).max().unwrap_or(0);
    let chunk_work = longest * group * (dim_k + dim_v);
    spread(threads, out.host_mut()?, (group * dim_v, chunk_work), |first, share| {
        for (i, out) in share.chunks_exact_mut(group * dim_v).enumerate() {
            let (row, kv_head) = ((first + i) / n_kv_heads, (first + i) % n_kv_heads);
            let q = &q[(row * n_kv_heads + kv_head) * group * dim_k..][..group * dim_k];
            let (span, position) = rows[row];
            let heads = Heads { layer, layout, kv_head, span, positions: position + 1, scale };
            heads.attend(out, q);
        }
    });
    Ok(())
}

/// What the query heads of one row that share a KV head read.
struct Heads<'a> {
    layer: &'a KvLayer,
    layout: &'a KvLayout,
    kv_head: usize,
    span: &'a Span<'a>,
    /// Positions visible: all before the row's own, and that.
    positions: usize,
    scale: f32,
}

impl Heads<'_> {
    /// `out [group, head_dim_v]` of `q [group, head_dim_k]`.
    fn attend(&self, out: &mut [f32], q: &[f32]) {
        let (dim_k, dim_v) = (self.layout.head_dim_k, self.layout.head_dim_v);
        let q: Vec<f64> = q.iter().copied().map(f64::from).collect();
        let group = q.len() / dim_k;
        let mut probabilities = vec![0.0_f64; group * self.positions];
        let mut key = vec![0.0_f32; dim_k];
        for p in 0..self.positions {
            self.layer.keys.read(self.index(p), &mut key);
            for (h, q) in q.chunks_exact(dim_k).enumerate() {
                probabilities[h * self.positions + p] = f64::from(self.scale) * dot(q, &key);
            }
        }
        probabilities.chunks_exact_mut(self.positions).for_each(softmax);
        let mut sums = vec![0.0_f64; group * dim_v];
        let mut value = vec![0.0_f32; dim_v];
        for p in 0..self.positions {
            self.layer.values.read(self.index(p), &mut value);
            for (h, sums) in sums.chunks_exact_mut(dim_v).enumerate() {
                let probability = probabilities[h * self.positions + p];
                for (sum, value) in sums.iter_mut().zip(&value) {
                    *sum += probability * f64::from(*value);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }

    /// Where the cache keeps this head of position `p`.
    fn index(&self, p: usize) -> usize {
        self.span.slot(p, self.layout.page_len) * self.layout.n_kv_heads + self.kv_head
    }
}

/// `x[i] = exp(x[i]) / sum(exp(x))`, with the maximum taken off first so that none overflows.
fn softmax(x: &mut [f64]) {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for x in x.iter_mut() {
        *x = (*x - max).exp();
    }
    let sum: f64 = x.iter().sum();
    for x in x {
        *x /= sum;
    }
}
