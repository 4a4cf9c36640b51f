//! The activations of a step, allocated once at load for the largest step.

use tensor::{Backend, Tensor};

use crate::limits::LOGIT_ROWS_MAX;
use crate::{ModelSpec, Result};

/// One step's activations; `rows` is at most the `rows_max` of the load options.
pub(crate) struct Workspace {
    /// Residual stream, `[rows, d]`.
    pub(crate) residual: Tensor,
    /// What a block reads, `[rows, d]`.
    pub(crate) normed: Tensor,
    /// What a block gives, `[rows, d]`.
    pub(crate) delta: Tensor,
    /// `[rows, n_heads * head_dim_k]`.
    pub(crate) q: Tensor,
    /// `[rows, n_kv_heads * head_dim_k]`.
    pub(crate) k: Tensor,
    /// `[rows, n_kv_heads * head_dim_v]`.
    pub(crate) v: Tensor,
    /// `[rows, n_heads * head_dim_v]`.
    pub(crate) attended: Tensor,
    /// `[rows, ffn]`.
    pub(crate) gated: Tensor,
    /// The residuals whose logits are wanted, `[logit rows, d]`.
    pub(crate) output: Tensor,
    /// Those, normed, `[logit rows, d]`.
    pub(crate) output_normed: Tensor,
    /// `[logit rows, vocab]`.
    pub(crate) logits: Tensor,
}

impl Workspace {
    pub(crate) fn new(
        spec: &ModelSpec,
        rows_max: usize,
        backend: &dyn Backend,
    ) -> Result<Workspace> {
        let [residual, normed, delta, q, k, v, attended, gated, output, output_normed, logits] =
            shapes(spec, rows_max).map(|(rows, cols)| backend.alloc(rows, cols));
        Ok(Workspace {
            residual: residual?,
            normed: normed?,
            delta: delta?,
            q: q?,
            k: k?,
            v: v?,
            attended: attended?,
            gated: gated?,
            output: output?,
            output_normed: output_normed?,
            logits: logits?,
        })
    }

    /// What [`Workspace::new`] allocates.
    pub(crate) fn bytes(spec: &ModelSpec, rows_max: usize) -> u64 {
        let values = |(rows, cols)| rows as u64 * cols as u64;
        shapes(spec, rows_max).into_iter().map(values).sum::<u64>() * size_of::<f32>() as u64
    }
}

/// `(rows, cols)` of all fields, in their order.
fn shapes(spec: &ModelSpec, rows: usize) -> [(usize, usize); 11] {
    let logit_rows = rows.min(LOGIT_ROWS_MAX);
    [
        (rows, spec.d),
        (rows, spec.d),
        (rows, spec.d),
        (rows, spec.n_heads * spec.head_dim_k),
        (rows, spec.n_kv_heads * spec.head_dim_k),
        (rows, spec.n_kv_heads * spec.head_dim_v),
        (rows, spec.n_heads * spec.head_dim_v),
        (rows, spec.ffn),
        (logit_rows, spec.d),
        (logit_rows, spec.d),
        (logit_rows, spec.vocab),
    ]
}
