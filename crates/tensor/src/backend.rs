//! The contract between a model and the hardware that runs it: about thirty coarse operations.
//!
//! Fusion is part of the contract ("one activation, several weights", "gate, up and SwiGLU",
//! "residual and norm", "RoPE and KV write"), because fast backends need it. Out-parameters come
//! first; shapes are row-major and named in each comment.

use crate::{
    Activation, AttentionRule, Batch, DeltaInputs, DeltaNet, Experts, HeadColumns, KvCache,
    KvLayout, Result, Rope, StateCache, StateLayout, Tensor, Weight, WeightSource,
};

/// One kind of hardware. `rows` is the number of tokens in the step, `d` the model width.
///
/// All activations are f32 `[rows, cols]`. A backend may quantise an activation inside an
/// operation; it must then do so per row, so that a row's result does not depend on its
/// neighbours.
pub trait Backend: Send + Sync {
    /// Short name, as in `--backend`: `reference`, `cpu`.
    fn name(&self) -> &'static str;

    /// One line for people: what was found and is being used, e.g. `AVX-512 VNNI, 2 threads`.
    fn description(&self) -> String;

    /// A zeroed activation `[rows, cols]`; `rows` is also its capacity, see [`Tensor::set_rows`].
    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor>;

    /// A paged KV cache for every layer, zeroed.
    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache>;

    /// Bytes that [`Backend::prepare`] will hold for this matrix in this backend's own layout.
    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize;

    /// Takes a matrix `[n, k]` in any file format into this backend's own layout, once, at load.
    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight>;

    /// Host values `[rows, cols]` into `out`, whose rows become `values.len() / cols`.
    fn upload(&self, out: &mut Tensor, values: &[f32]) -> Result<()>;

    /// `x [rows, cols]` back to the host; `out` is resized.
    fn download(&self, out: &mut Vec<f32>, x: &Tensor) -> Result<()>;

    /// `out[i] = table[tokens[i]]`; `table [vocab, d]`, `out [rows, d]`.
    fn embed(&self, out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()>;

    /// `out = x / sqrt(mean(x^2) + eps) * scale`, row by row; `scale [1, d]`.
    fn rms_norm(&self, out: &mut Tensor, x: &Tensor, scale: &Tensor, eps: f32) -> Result<()>;

    /// `residual += delta`, then `out = rms_norm(residual)`.
    fn add_rms_norm(
        &self,
        out: &mut Tensor,
        residual: &mut Tensor,
        delta: &Tensor,
        norm: (&Tensor, f32),
    ) -> Result<()>;

    /// `out = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * scale + bias`, row by row;
    /// `scale`, `bias` `[1, d]`.
    fn layer_norm(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scale_bias: (&Tensor, &Tensor),
        eps: f32,
    ) -> Result<()>;

    /// In place, for each run of `len` columns of a row apart:
    /// `x = x / sqrt(mean(x^2) + eps) * scale`; `scale [1, len]`, `x [rows, cols]`, `cols` a
    /// multiple of `len`.
    fn rms_norm_heads(&self, x: &mut Tensor, scale: &Tensor, eps: f32) -> Result<()>;

    /// `residual += delta`, `[rows, d]` both.
    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()>;

    /// `out[r] += factors[r] * delta[r]`, product and sum each rounded; `[rows, cols]` both. A row
    /// whose factor is 0 stays as it is, whatever `delta` has there.
    fn add_rows(&self, out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()>;

    /// `x[i] += bias` for every row; `bias [1, cols]`.
    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()>;

    /// `x *= factor`.
    fn scale(&self, x: &mut Tensor, factor: f32) -> Result<()>;

    /// `x = cap * tanh(x / cap)`.
    fn soft_cap(&self, x: &mut Tensor, cap: f32) -> Result<()>;

    /// `outs[j] = x * weights[j]^T`; `x [rows, k]`, `weights[j] [n_j, k]`, `outs[j] [rows, n_j]`.
    /// The activation is read (and quantised, where the backend does so) once for all weights.
    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()>;

    /// `out = activation(x * gate^T, x * up^T)`; `gate`, `up` `[n, k]`, `out [rows, n]`. The same
    /// bits as [`Backend::matmul`] and then [`Backend::gate`].
    fn gated(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        gate_up: (&Weight, &Weight),
        activation: Activation,
    ) -> Result<()>;

    /// `gate = activation(gate, up)`, `[rows, n]` both.
    fn gate(&self, gate: &mut Tensor, up: &Tensor, activation: Activation) -> Result<()>;

    /// `x = activation(x, 1)`: blocks without gates.
    fn activate(&self, x: &mut Tensor, activation: Activation) -> Result<()>;

    /// `out[r] = sum of weight * down_e(activation(gate_e(x[r]), up_e(x[r])))` over the experts `e`
    /// that [`crate::Routing::choose`] gives row `r`, in their order; `x`, `out` `[rows, d]`,
    /// `scores [rows, count]`.
    fn experts(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scores: &Tensor,
        experts: &Experts,
    ) -> Result<()>;

    /// `out` of head `h` `= x` of head `h * weights[h]^T`; a weight for each head,
    /// `[to.len, from.len]`. Other columns of `out` stay.
    fn matmul_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        weights: &[Weight],
    ) -> Result<()>;

    /// `out` of head `h` `= x` of head `h`, for `n_heads` heads of one length. Other columns of
    /// `out` stay; `out` takes the rows of `x`.
    fn copy_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        n_heads: usize,
    ) -> Result<()>;

    /// Rotates `q [rows, n_heads * head_dim]` in place, rotates `k [rows, n_kv_heads * head_dim]`
    /// and writes it with `v` into `kv` of `layer` at the batch's slots.
    #[expect(clippy::too_many_arguments, reason = "one operation; a struct would hide its parts")]
    fn rope_kv_write(
        &self,
        kv: &mut KvCache,
        layer: usize,
        qkv: (&mut Tensor, &mut Tensor, &Tensor),
        rope: &Rope,
        batch: &Batch<'_>,
    ) -> Result<()>;

    /// Attention of each row of `q [rows, n_heads * head_dim_k]` over its own sequence's cached
    /// positions up to the row's own, or what else the rule says; `out [rows, n_heads *
    /// head_dim_v]`. Query head `h` reads KV head `h / (n_heads / n_kv_heads)`.
    #[expect(clippy::too_many_arguments, reason = "one operation; a struct would hide its parts")]
    fn attention(
        &self,
        out: &mut Tensor,
        q: &Tensor,
        kv: (&KvCache, usize),
        rule: &AttentionRule<'_>,
        batch: &Batch<'_>,
    ) -> Result<()>;

    /// `x *= 1 / (1 + exp(-gate))`; `gate` as wide as `x`, or one for each row.
    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()>;

    /// States of recurrent layers for every slot, zeroed.
    fn alloc_states(&self, layout: &StateLayout) -> Result<StateCache>;

    /// `out [rows, n_v_heads * head_dim_v]` of a gated delta net, whose formulas are with
    /// [`DeltaNet`] and the reference. Each span moves its own state on, which is zeros before
    /// position 0.
    #[expect(clippy::too_many_arguments, reason = "one operation; a struct would hide its parts")]
    fn delta_net(
        &self,
        out: &mut Tensor,
        inputs: DeltaInputs<'_>,
        state: (&mut StateCache, usize),
        net: &DeltaNet,
        batch: &Batch<'_>,
    ) -> Result<()>;

    /// `out[i] = x[rows[i]]`.
    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()>;
}
