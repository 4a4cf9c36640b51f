//! What is said to be needed is what is allocated.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{LoadOptions, MemoryNeed, Model};
use support::{file, options};
use tensor::reference::Reference;
use tensor::{
    Activation, AttentionRule, Backend, Batch, DeltaInputs, DeltaNet, Experts, HeadColumns,
    KvCache, KvFormat, KvLayout, Result, Rope, StateCache, StateLayout, Tensor, Weight,
    WeightSource,
};
use testkit::TinyModel;

/// The reference, counting the bytes that are asked of it.
struct Counting {
    inner: Reference,
    /// Of activations and of prepared weights.
    activations: AtomicU64,
    weights: AtomicU64,
    kv: AtomicU64,
}

impl Counting {
    fn new() -> Counting {
        Counting {
            inner: Reference::new(),
            activations: AtomicU64::new(0),
            weights: AtomicU64::new(0),
            kv: AtomicU64::new(0),
        }
    }
}

#[test]
fn load_allocates_what_memory_need_says_and_forward_nothing() {
    for (tied, kv_format, rows_max) in
        [(false, KvFormat::F32, 64), (true, KvFormat::F16, 5), (true, KvFormat::F32, 1)]
    {
        let file = file(&TinyModel { tied, ..TinyModel::default() }.writer());
        let options = LoadOptions { kv_format, rows_max, ..options() };
        let backend = Arc::new(Counting::new());
        let need = model::memory_need(&file, &options, &*backend).unwrap();
        let mut told = Vec::new();
        let progress = &mut |done, of| told.push((done, of));
        let mut model = Model::load(&file, Arc::clone(&backend) as _, &options, progress).unwrap();
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 == pair[1].1));
        let (done, of) = *told.last().unwrap();
        let tensors: u64 = file.tensors().iter().map(|tensor| tensor.size_bytes).sum();
        assert_eq!((done, of), (tensors, tensors));
        let found = || {
            let bytes = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (bytes(&backend.weights), bytes(&backend.kv), bytes(&backend.activations))
        };
        // Norms are activations to a backend and weights to a reader: two a layer and the last.
        let norms = 5 * 64 * 4;
        let MemoryNeed { weights_bytes, kv_bytes, workspace_bytes, state_bytes } = need;
        assert_eq!(state_bytes, 0);
        let expected = (weights_bytes - norms, kv_bytes, workspace_bytes + norms);
        assert_eq!(found(), expected);
        support::step(&mut model, &[7], 0, &[0]);
        assert_eq!(found(), expected);
    }
}

#[test]
fn every_architecture_takes_what_memory_need_says() {
    for model in [testkit::reference_models(), testkit::retrieval_models()].concat() {
        let file = file(&model.writer(quant::FormatId::F32));
        let backend = Arc::new(Counting::new());
        let options = LoadOptions { context_len: 32, ..options() };
        let need = model::memory_need(&file, &options, &*backend).unwrap();
        Model::load(&file, Arc::clone(&backend) as _, &options, &mut |_, _| ()).unwrap();
        let bytes = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let found = bytes(&backend.weights) + bytes(&backend.activations);
        // These stay with the host.
        let selection = file.tensors().iter().filter(|tensor| tensor.name.contains("probs_b"));
        let host: u64 = selection.map(|tensor| tensor.size_bytes).sum();
        let name = &model.name;
        assert_eq!(bytes(&backend.kv), need.kv_bytes + need.state_bytes, "{name}");
        assert_eq!(found + host, need.weights_bytes + need.workspace_bytes, "{name}");
    }
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn description(&self) -> String {
        self.inner.description()
    }
    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor> {
        add(&self.activations, rows * cols * 4);
        self.inner.alloc(rows, cols)
    }
    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache> {
        add(&self.kv, layout.total_bytes());
        self.inner.alloc_kv(layout)
    }
    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize {
        self.inner.prepared_bytes(source)
    }
    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight> {
        let weight = self.inner.prepare(source)?;
        add(&self.weights, weight.held_bytes);
        Ok(weight)
    }
    fn upload(&self, out: &mut Tensor, values: &[f32]) -> Result<()> {
        self.inner.upload(out, values)
    }
    fn download(&self, out: &mut Vec<f32>, x: &Tensor) -> Result<()> {
        self.inner.download(out, x)
    }
    fn embed(&self, out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()> {
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
        self.inner.attention(out, q, kv, rule, batch)
    }
    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()> {
        self.inner.sigmoid_gate(x, gate)
    }
    fn alloc_states(&self, layout: &StateLayout) -> Result<StateCache> {
        add(&self.kv, layout.total_bytes());
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
