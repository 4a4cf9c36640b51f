//! Rotary position embedding, and writing rotated keys and values into the cache.

use super::{fit, kv, shape};
use crate::{Batch, KvCache, Result, Rope, RopePairing, Tensor};

/// Rotates `q` and `k` in place, then stores `k` and `v` at the batch's slots.
pub(super) fn rope_kv_write(
    (kv, layer): (&mut KvCache, usize),
    (q, k, v): (&mut Tensor, &mut Tensor, &Tensor),
    rope: &Rope,
    batch: &Batch<'_>,
) -> Result<()> {
    kv::check(kv, layer, batch)?;
    let layout = kv.layout.clone();
    let (n_heads, dim_k, dim_v) = (layout.n_kv_heads, layout.head_dim_k, layout.head_dim_v);
    let turned = 2 * rope.inverse_frequencies.len();
    fit(rope.head_dim == dim_k && turned <= dim_k, || {
        format!("rope turns {turned} of {} in heads of {dim_k}", rope.head_dim)
    })?;
    let rows = batch.tokens.len();
    let fits = q.rows() == rows
        && q.cols().is_multiple_of(dim_k)
        && shape(k) == (rows, n_heads * dim_k)
        && shape(v) == (rows, n_heads * dim_v);
    fit(fits, || {
        let shapes = (shape(q), shape(k), shape(v));
        format!("q, k, v are {shapes:?} for {rows} rows of {n_heads} heads of {dim_k} and {dim_v}")
    })?;
    rotate(q, rope, batch)?;
    rotate(k, rope, batch)?;
    let layer = kv::layer_mut(kv, layer)?;
    let heads_k = k.host()?.chunks_exact(n_heads * dim_k);
    let heads_v = v.host()?.chunks_exact(n_heads * dim_v);
    for (((span, position), k), v) in batch.rows().zip(heads_k).zip(heads_v) {
        let slot = span.slot(position, layout.page_len);
        for (head, k) in k.chunks_exact(dim_k).enumerate() {
            layer.keys.write(slot * n_heads + head, k);
        }
        for (head, v) in v.chunks_exact(dim_v).enumerate() {
            layer.values.write(slot * n_heads + head, v);
        }
    }
    Ok(())
}

/// Rotates every head of each row to the row's position.
fn rotate(x: &mut Tensor, rope: &Rope, batch: &Batch<'_>) -> Result<()> {
    let cols = x.cols();
    for (x, (_, position)) in x.host_mut()?.chunks_exact_mut(cols.max(1)).zip(batch.rows()) {
        let turn = |frequency: &f32| (position as f64 * f64::from(*frequency)).sin_cos();
        let turns: Vec<(f64, f64)> = rope.inverse_frequencies.iter().map(turn).collect();
        for head in x.chunks_exact_mut(rope.head_dim) {
            rotate_head(head, rope, &turns);
        }
    }
    Ok(())
}

/// `(a, b) -> (a cos - b sin, a sin + b cos) * magnitude` for each pair; `turns` are (sin, cos).
fn rotate_head(head: &mut [f32], rope: &Rope, turns: &[(f64, f64)]) {
    for (i, (sin, cos)) in turns.iter().enumerate() {
        let (at_a, at_b) = match rope.pairing {
            RopePairing::Interleaved => (2 * i, 2 * i + 1),
            RopePairing::Halves => (i, i + turns.len()),
        };
        let (a, b) = (f64::from(head[at_a]), f64::from(head[at_b]));
        let magnitude = f64::from(rope.magnitude);
        head[at_a] = ((a * cos - b * sin) * magnitude) as f32;
        head[at_b] = ((a * sin + b * cos) * magnitude) as f32;
    }
}
