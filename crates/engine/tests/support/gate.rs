//! A backend that waits before each step until it is let through, so that a test decides what has
//! arrived by then; and that notes how many sequences shared a step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use tensor::{
    Activation, AttentionRule, Backend, Batch, DeltaInputs, DeltaNet, Experts, HeadColumns,
    KvCache, KvLayout, Result, Rope, StateCache, StateLayout, Tensor, Weight, WeightSource,
};

/// What a test holds of the gate. Dropping it opens the gate, so that a failed test still ends.
pub(crate) struct Gate(Arc<State>);

#[derive(Default)]
struct State {
    is_open: Mutex<bool>,
    opened: Condvar,
    begun: Condvar,
    steps: AtomicUsize,
    sequences_most: AtomicUsize,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.is_open.lock().expect("nobody panics with this lock") = true;
        self.0.opened.notify_all();
    }

    /// Until a step waits, or has gone through.
    pub(crate) fn wait_for_a_step(&self) {
        let none = |_: &mut bool| self.0.steps.load(Ordering::Relaxed) == 0;
        let is_open = self.0.is_open.lock().expect("nobody panics with this lock");
        drop(self.0.begun.wait_while(is_open, none));
    }

    /// Steps that were begun.
    pub(crate) fn steps(&self) -> usize {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Most sequences that one step computed.
    pub(crate) fn sequences_most(&self) -> usize {
        self.0.sequences_most.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

pub(crate) struct Gated {
    inner: Arc<dyn Backend>,
    state: Arc<State>,
}

/// `inner` behind a closed gate.
pub(crate) fn gated(inner: Arc<dyn Backend>) -> (Arc<dyn Backend>, Gate) {
    let state = Arc::new(State::default());
    (Arc::new(Gated { inner, state: Arc::clone(&state) }), Gate(state))
}

impl Backend for Gated {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn description(&self) -> String {
        self.inner.description()
    }

    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor> {
        self.inner.alloc(rows, cols)
    }

    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache> {
        self.inner.alloc_kv(layout)
    }

    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize {
        self.inner.prepared_bytes(source)
    }

    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight> {
        self.inner.prepare(source)
    }

    fn upload(&self, out: &mut Tensor, values: &[f32]) -> Result<()> {
        self.inner.upload(out, values)
    }

    fn download(&self, out: &mut Vec<f32>, x: &Tensor) -> Result<()> {
        self.inner.download(out, x)
    }

    /// The first operation of a step: here is the gate.
    fn embed(&self, out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()> {
        let is_open = self.state.is_open.lock().expect("nobody panics with this lock");
        self.state.steps.fetch_add(1, Ordering::Relaxed);
        self.state.begun.notify_all();
        drop(self.state.opened.wait_while(is_open, |is_open| !*is_open));
        self.inner.embed(out, table, tokens)
    }

    fn rms_norm(&self, out: &mut Tensor, x: &Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        self.inner.rms_norm(out, x, scale, eps)
    }

    fn add_rms_norm(
        &self,
        out: &mut Tensor,
        residual: &mut Tensor,
        delta: &Tensor,
        norm: (&Tensor, f32),
    ) -> Result<()> {
        self.inner.add_rms_norm(out, residual, delta, norm)
    }

    fn layer_norm(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scale_bias: (&Tensor, &Tensor),
        eps: f32,
    ) -> Result<()> {
        self.inner.layer_norm(out, x, scale_bias, eps)
    }
    fn activate(&self, x: &mut Tensor, activation: Activation) -> Result<()> {
        self.inner.activate(x, activation)
    }
    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()> {
        self.inner.add(residual, delta)
    }

    fn add_rows(&self, out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()> {
        self.inner.add_rows(out, delta, factors)
    }

    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()> {
        self.inner.add_bias(x, bias)
    }

    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()> {
        self.inner.matmul(outs, x, weights)
    }

    fn rms_norm_heads(&self, x: &mut Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        self.inner.rms_norm_heads(x, scale, eps)
    }
    fn scale(&self, x: &mut Tensor, factor: f32) -> Result<()> {
        self.inner.scale(x, factor)
    }
    fn soft_cap(&self, x: &mut Tensor, cap: f32) -> Result<()> {
        self.inner.soft_cap(x, cap)
    }
    fn gate(&self, gate: &mut Tensor, up: &Tensor, activation: Activation) -> Result<()> {
        self.inner.gate(gate, up, activation)
    }

    fn gated(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        gate_up: (&Weight, &Weight),
        activation: Activation,
    ) -> Result<()> {
        self.inner.gated(out, x, gate_up, activation)
    }
    fn experts(&self, out: &mut Tensor, x: &Tensor, scores: &Tensor, of: &Experts) -> Result<()> {
        self.inner.experts(out, x, scores, of)
    }
    fn matmul_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        weights: &[Weight],
    ) -> Result<()> {
        self.inner.matmul_heads(out, x, weights)
    }
    fn copy_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        n_heads: usize,
    ) -> Result<()> {
        self.inner.copy_heads(out, x, n_heads)
    }

    fn rope_kv_write(
        &self,
        kv: &mut KvCache,
        layer: usize,
        qkv: (&mut Tensor, &mut Tensor, &Tensor),
        rope: &Rope,
        batch: &Batch<'_>,
    ) -> Result<()> {
        self.inner.rope_kv_write(kv, layer, qkv, rope, batch)
    }

    fn attention(
        &self,
        out: &mut Tensor,
        q: &Tensor,
        kv: (&KvCache, usize),
        rule: &AttentionRule<'_>,
        batch: &Batch<'_>,
    ) -> Result<()> {
        self.state.sequences_most.fetch_max(batch.spans.len(), Ordering::Relaxed);
        self.inner.attention(out, q, kv, rule, batch)
    }

    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()> {
        self.inner.sigmoid_gate(x, gate)
    }
    fn alloc_states(&self, layout: &StateLayout) -> Result<StateCache> {
        self.inner.alloc_states(layout)
    }
    fn delta_net(
        &self,
        out: &mut Tensor,
        inputs: DeltaInputs<'_>,
        state: (&mut StateCache, usize),
        net: &DeltaNet,
        batch: &Batch<'_>,
    ) -> Result<()> {
        self.inner.delta_net(out, inputs, state, net, batch)
    }
    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
        self.inner.gather_rows(out, x, rows)
    }
}
