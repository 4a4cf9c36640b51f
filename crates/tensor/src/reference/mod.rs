//! The definition of every operation in plain loops: what each backend must agree with.
//!
//! Sums are f64; weights stay in their file format and are dequantised row by row. One file per
//! family of operations, with the same names as in the fast backends. Threads share out whole
//! outputs and never part of a sum, so their number cannot be seen in a result.

mod attention;
mod delta_net;
mod embed;
mod experts;
mod heads;
mod kv;
mod matmul;
mod norm;
mod rope;
mod spread;
mod store;
#[cfg(test)]
mod tests;

use crate::{
    Activation, AttentionRule, Backend, Batch, DeltaInputs, DeltaNet, Error, Experts, HeadColumns,
    HostBuffer, KvCache, KvLayout, Result, Rope, StateCache, StateLayout, Tensor, Weight,
    WeightSource,
};

/// The reference backend.
pub struct Reference {
    threads: usize,
}

impl Reference {
    /// On as many threads as the machine offers.
    #[must_use]
    pub fn new() -> Reference {
        Reference { threads: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Default for Reference {
    fn default() -> Reference {
        Reference::new()
    }
}

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn description(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("plain loops with f64 sums, {} thread{plural}", self.threads)
    }

    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor> {
        let values = store::zeroed(rows.checked_mul(cols), "an activation")?;
        Ok(Tensor::new(rows, cols, Box::new(HostBuffer(values))))
    }

    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache> {
        kv::alloc(layout)
    }

    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize {
        source.n * source.format.row_bytes(source.k).unwrap_or(0)
    }

    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight> {
        store::prepare(source)
    }

    fn upload(&self, out: &mut Tensor, values: &[f32]) -> Result<()> {
        let cols = out.cols();
        fit(cols > 0 && values.len().is_multiple_of(cols), || {
            format!("{} values for rows of {cols}", values.len())
        })?;
        out.set_rows(values.len() / cols)?;
        out.host_mut()?.copy_from_slice(values);
        Ok(())
    }

    fn download(&self, out: &mut Vec<f32>, x: &Tensor) -> Result<()> {
        let values = x.host()?;
        out.clear();
        out.extend_from_slice(values);
        Ok(())
    }

    fn embed(&self, out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()> {
        embed::embed(out, table, tokens)
    }

    fn rms_norm(&self, out: &mut Tensor, x: &Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        norm::rms_norm(out, x, (scale, eps))
    }

    fn add_rms_norm(
        &self,
        out: &mut Tensor,
        residual: &mut Tensor,
        delta: &Tensor,
        norm: (&Tensor, f32),
    ) -> Result<()> {
        norm::add(residual, delta)?;
        norm::rms_norm(out, residual, norm)
    }

    fn layer_norm(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scale_bias: (&Tensor, &Tensor),
        eps: f32,
    ) -> Result<()> {
        norm::layer_norm(out, x, scale_bias, eps)
    }

    fn rms_norm_heads(&self, x: &mut Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        norm::rms_norm_heads(x, (scale, eps))
    }

    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()> {
        norm::add(residual, delta)
    }

    fn add_rows(&self, out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()> {
        norm::add_rows(out, delta, factors)
    }

    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()> {
        norm::add_bias(x, bias)
    }

    fn scale(&self, x: &mut Tensor, factor: f32) -> Result<()> {
        x.host_mut()?.iter_mut().for_each(|x| *x *= factor);
        Ok(())
    }

    fn soft_cap(&self, x: &mut Tensor, cap: f32) -> Result<()> {
        x.host_mut()?.iter_mut().for_each(|x| *x = norm::soft_cap(f64::from(*x), cap) as f32);
        Ok(())
    }

    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()> {
        matmul::matmul(self.threads, outs, x, weights)
    }

    fn gated(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        gate_up: (&Weight, &Weight),
        activation: Activation,
    ) -> Result<()> {
        matmul::gated(self.threads, out, x, (gate_up, activation))
    }

    fn gate(&self, gate: &mut Tensor, up: &Tensor, activation: Activation) -> Result<()> {
        matmul::gate(gate, up, activation)
    }

    fn activate(&self, x: &mut Tensor, activation: Activation) -> Result<()> {
        let activated = |x: &f32| activation.of(f64::from(*x), 1.0) as f32;
        x.host_mut()?.iter_mut().for_each(|x| *x = activated(x));
        Ok(())
    }

    fn experts(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scores: &Tensor,
        experts: &Experts,
    ) -> Result<()> {
        experts::experts(out, (x, scores), experts)
    }

    fn matmul_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        weights: &[Weight],
    ) -> Result<()> {
        heads::matmul_heads(out, x, weights)
    }

    fn copy_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        n_heads: usize,
    ) -> Result<()> {
        heads::copy_heads(out, x, n_heads)
    }

    fn rope_kv_write(
        &self,
        kv: &mut KvCache,
        layer: usize,
        qkv: (&mut Tensor, &mut Tensor, &Tensor),
        rope: &Rope,
        batch: &Batch<'_>,
    ) -> Result<()> {
        rope::rope_kv_write((kv, layer), qkv, rope, batch)
    }

    fn attention(
        &self,
        out: &mut Tensor,
        q: &Tensor,
        kv: (&KvCache, usize),
        rule: &AttentionRule<'_>,
        batch: &Batch<'_>,
    ) -> Result<()> {
        attention::attention(self.threads, out, (q, rule), kv, batch)
    }

    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()> {
        norm::sigmoid_gate(x, gate)
    }

    fn alloc_states(&self, layout: &StateLayout) -> Result<StateCache> {
        delta_net::alloc(layout)
    }

    fn delta_net(
        &self,
        out: &mut Tensor,
        inputs: DeltaInputs<'_>,
        state: (&mut StateCache, usize),
        net: &DeltaNet,
        batch: &Batch<'_>,
    ) -> Result<()> {
        delta_net::delta_net(out, inputs, state, net, batch)
    }

    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
        embed::gather_rows(out, x, rows)
    }
}

/// A shape error that is only worded when it happens.
fn fit(fits: bool, wording: impl FnOnce() -> String) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Shape(wording())) }
}

fn shape(tensor: &Tensor) -> (usize, usize) {
    (tensor.rows(), tensor.cols())
}
