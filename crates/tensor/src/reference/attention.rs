//! Attention over the paged cache.

use std::ops::Range;

use super::kv::{self, KvLayer};
use super::matmul::dot;
use super::norm::soft_cap;
use super::spread::spread;
use super::{fit, shape};
use crate::{AttentionRule, Batch, KvCache, KvLayout, Result, Span, Tensor};

/// `out[r][h] = sum over p of softmax(scale * q[r][h] . k[p][g])[p] * v[p][g]` over the positions
/// `p <= position of r` of the row's own sequence, of these the last `window`, or over its whole
/// span where the rule looks both ways; `g = h / (n_heads / n_kv_heads)`. Soft caps and sinks are
/// with [`AttentionRule`]. Source: Vaswani et al. 2017, arXiv 1706.03762, equation 1; Ainslie et
/// al. 2023 (groups), arXiv 2305.13245.
pub(super) fn attention(
    threads: usize,
    out: &mut Tensor,
    (q, rule): (&Tensor, &AttentionRule<'_>),
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
    out.set_rows_as(q)?;
    let sinks = sinks(rule, n_heads)?;
    sees_whole(rule, batch)?;
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
            let end = if rule.bidirectional { span.rows } else { position + 1 };
            let visible = end.saturating_sub(rule.window.unwrap_or(end))..end;
            let sinks = sinks.map(|sinks| &sinks[kv_head * group..][..group]);
            Heads { layer, layout, kv_head, span, visible, rule, sinks }.attend(out, q);
        }
    });
    Ok(())
}

/// The rule's sinks, `[n_heads]`, once the rule is found sound.
fn sinks<'a>(rule: &AttentionRule<'a>, n_heads: usize) -> Result<Option<&'a [f32]>> {
    fit(rule.window != Some(0), || "a window of no position".to_owned())?;
    let Some(sinks) = rule.sinks else { return Ok(None) };
    fit(shape(sinks) == (1, n_heads), || {
        format!("sinks are {:?} for {n_heads} heads", shape(sinks))
    })?;
    sinks.host().map(Some)
}

/// Refuses to look both ways where a span is not its whole sequence.
fn sees_whole(rule: &AttentionRule<'_>, batch: &Batch<'_>) -> Result<()> {
    let whole = batch.spans.iter().all(|span| span.first_position == 0) && rule.window.is_none();
    fit(!rule.bidirectional || whole, || {
        "attention both ways wants spans from position 0 and no window".to_owned()
    })
}

/// What the query heads of one row that share a KV head read.
struct Heads<'a> {
    layer: &'a KvLayer,
    layout: &'a KvLayout,
    kv_head: usize,
    span: &'a Span<'a>,
    visible: Range<usize>,
    rule: &'a AttentionRule<'a>,
    /// `[group]`.
    sinks: Option<&'a [f32]>,
}

impl Heads<'_> {
    /// `out [group, head_dim_v]` of `q [group, head_dim_k]`.
    fn attend(&self, out: &mut [f32], q: &[f32]) {
        let (dim_k, dim_v) = (self.layout.head_dim_k, self.layout.head_dim_v);
        let q: Vec<f64> = q.iter().copied().map(f64::from).collect();
        let (group, positions) = (q.len() / dim_k, self.visible.len());
        let mut probabilities = vec![0.0_f64; group * positions];
        let mut key = vec![0.0_f32; dim_k];
        for (i, p) in self.visible.clone().enumerate() {
            self.layer.keys.read(self.index(p), &mut key);
            for (h, q) in q.chunks_exact(dim_k).enumerate() {
                probabilities[h * positions + i] = self.score(dot(q, &key));
            }
        }
        for (h, scores) in probabilities.chunks_exact_mut(positions).enumerate() {
            softmax(scores, self.sinks.map(|sinks| f64::from(sinks[h])));
        }
        let mut sums = vec![0.0_f64; group * dim_v];
        let mut value = vec![0.0_f32; dim_v];
        for (i, p) in self.visible.clone().enumerate() {
            self.layer.values.read(self.index(p), &mut value);
            for (h, sums) in sums.chunks_exact_mut(dim_v).enumerate() {
                let probability = probabilities[h * positions + i];
                for (sum, value) in sums.iter_mut().zip(&value) {
                    *sum += probability * f64::from(*value);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }

    fn score(&self, product: f64) -> f64 {
        let score = f64::from(self.rule.scale) * product;
        self.rule.soft_cap.map_or(score, |cap| soft_cap(score, cap))
    }

    /// Where the cache keeps this head of position `p`.
    fn index(&self, p: usize) -> usize {
        self.span.slot(p, self.layout.page_len) * self.layout.n_kv_heads + self.kv_head
    }
}

/// `x[i] = exp(x[i]) / (exp(sink) + sum(exp(x)))`, with the maximum taken off first so that none
/// overflows; without a sink its term is 0.
fn softmax(x: &mut [f64], sink: Option<f64>) {
    let max = x.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    for x in x.iter_mut() {
        *x = (*x - max).exp();
    }
    let sum = x.iter().sum::<f64>() + sink.map_or(0.0, |sink| (sink - max).exp());
    for x in x {
        *x /= sum;
    }
}
