//! What is said to be needed is what is allocated.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{LoadOptions, MemoryNeed, Model};
use support::{file, options};
use tensor::reference::Reference;
use tensor::{
    Backend, Batch, KvCache, KvFormat, KvLayout, Result, Rope, Tensor, Weight, WeightSource,
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

#[test]
fn load_allocates_what_memory_need_says_and_forward_nothing() {
    for (tied, kv_format, rows_max) in
        [(false, KvFormat::F32, 64), (true, KvFormat::F16, 5), (true, KvFormat::F32, 1)]
    {
        let file = file(&TinyModel { tied, ..TinyModel::default() }.writer());
        let options = LoadOptions { kv_format, rows_max, ..options() };
        let backend = Arc::new(Counting {
            inner: Reference::new(),
            activations: AtomicU64::new(0),
            weights: AtomicU64::new(0),
            kv: AtomicU64::new(0),
        });
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
        let MemoryNeed { weights_bytes, kv_bytes, workspace_bytes } = need;
        let expected = (weights_bytes - norms, kv_bytes, workspace_bytes + norms);
        assert_eq!(found(), expected);
        support::step(&mut model, &[7], 0, &[0]);
        assert_eq!(found(), expected);
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
    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()> {
        self.inner.add(residual, delta)
    }
    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()> {
        self.inner.add_bias(x, bias)
    }
    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()> {
        self.inner.matmul(outs, x, weights)
    }
    fn swiglu(&self, out: &mut Tensor, x: &Tensor, gate: &Weight, up: &Weight) -> Result<()> {
        self.inner.swiglu(out, x, gate, up)
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
        scale: f32,
        batch: &Batch<'_>,
    ) -> Result<()> {
        self.inner.attention(out, q, kv, scale, batch)
    }
    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
        self.inner.gather_rows(out, x, rows)
    }
}
