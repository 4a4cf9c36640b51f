//! The operations of [`Backend`]: shapes are checked here, kernels are called from here.

use std::ops::Range;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quant::FormatId;
use tensor::{
    AttentionRule, Backend, Batch, DeltaInputs, DeltaNet, Error, Experts, HeadColumns, KvCache,
    KvLayout, Result, Rope, StateCache, StateLayout, Tensor, Weight, WeightSource,
};

use crate::activation::{Activation, Rows};
use crate::attention::{Heads, attention};
use crate::formats::{is_blockwise, is_quantised, offset_shift};
use crate::isa::{Isa, Variant, variants};
use crate::kv::{self, Geometry, Kv};
use crate::matmul::{self, Matrix, Place, Product, Unit};
use crate::packed::{Packed, packed_bytes};
use crate::prefill;
use crate::rope::Angles;
use crate::threads::{Parts, Pool};
use crate::{delta_net, experts, gate, heads, norm, rope};

/// This machine's CPU.
pub struct CpuBackend {
    variant: Variant,
    isa: Isa,
    pool: Pool,
    scratch: Mutex<Scratch>,
}

/// What operations need for a moment and the next can use again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) activation: Activation,
    angles: Angles,
    /// Of experts: gated values, and ups where they are not multiplied with their gates.
    pub(crate) hidden: [Vec<f32>; 2],
    /// After a delta net's convolution.
    mixed: Vec<f32>,
}

impl CpuBackend {
    /// The best variant this machine has, on `threads` threads or all that it offers.
    #[must_use]
    pub fn detect(threads: Option<usize>) -> CpuBackend {
        let offered = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.unwrap_or_else(offered);
        let best = variants().first().copied().unwrap_or(Variant::Portable);
        CpuBackend::with_variant(best, threads).expect("`variants` lists what can run")
    }

    /// One particular variant.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when this machine does not have it.
    pub fn with_variant(variant: Variant, threads: usize) -> Result<CpuBackend> {
        let lacks = || Error::Unsupported(format!("this machine has no {}", variant.name()));
        let isa = Isa::find(variant).ok_or_else(lacks)?;
        Ok(CpuBackend { variant, isa, pool: Pool::new(threads), scratch: Mutex::default() })
    }

    /// The variant in use.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The pool that operations run on.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn on(&self) -> (Isa, &Pool) {
        (self.isa, &self.pool)
    }

    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        // Every use overwrites what it reads, so a panic in between leaves nothing bad; but angles
        // may be half made.
        self.scratch.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut scratch: MutexGuard<'_, Scratch> = poisoned.into_inner();
            *scratch = Scratch::default();
            self.scratch.clear_poison();
            scratch
        })
    }

    /// The products of all rows of `x` with all weights, those of prefill rows apart; row `i` of
    /// those by weight `j` goes to row `i` of `outs[j]`.
    fn multiply_rows(
        &self,
        activation: &mut Activation,
        ((k, values), kinds): ((usize, &[f32]), &Kinds),
        (outs, weights): (&[Parts<'_, f32>], &[Matrix<'_>]),
    ) {
        let row = |i: usize| &values[i * k..][..k];
        let products = |rows: &Range<usize>, apart: bool| {
            let mut products = Vec::with_capacity(weights.len());
            for (out, weight) in outs.iter().zip(weights) {
                if !rows.is_empty() && prefill::takes(self.isa, weight.format) == apart {
                    let place = Place { out, first: rows.start * weight.n, stride: weight.n };
                    let (weight, rows) = (*weight, rows.clone());
                    products.push(Product { weight, rows, bias: None, place });
                }
            }
            products
        };
        let all = 0..kinds.prefill.end;
        for (rows, apart) in [(&kinds.decode, true), (&all, false)] {
            let x = Rows { k, runs: slice::from_ref(rows), row: &row };
            self.multiply(activation, &x, products(rows, apart));
        }
        let prefill = products(&kinds.prefill, true);
        if !prefill.is_empty() {
            let x = Rows { k, runs: slice::from_ref(&kinds.prefill), row: &row };
            activation.fill_prefill(self.on(), &x);
            matmul::products(self.on(), activation, &prefill);
        }
    }

    /// All products of `x`, those together that want it prepared alike.
    pub(crate) fn multiply(
        &self,
        activation: &mut Activation,
        x: &Rows<'_>,
        mut left: Vec<Product<'_>>,
    ) {
        while !left.is_empty() {
            let shift = left.iter().find_map(|product| offset_shift(product.weight.format));
            let fits = |product: &Product<'_>| {
                offset_shift(product.weight.format).is_none_or(|wanted| Some(wanted) == shift)
            };
            let (now, later): (Vec<_>, _) = left.into_iter().partition(fits);
            let weights: Vec<_> = now.iter().map(|product| product.weight).collect();
            self.prepare_activation(activation, x, &weights);
            matmul::products(self.on(), activation, &now);
            left = later;
        }
    }

    /// Prepares `x` for weights whose codes have one offset.
    pub(crate) fn prepare_activation(
        &self,
        activation: &mut Activation,
        x: &Rows<'_>,
        weights: &[Matrix<'_>],
    ) {
        if weights.iter().any(|weight| is_quantised(weight.format)) {
            let precise = weights.iter().any(|weight| weight.packed.precise);
            let shift = weights.iter().find_map(|weight| offset_shift(weight.format));
            activation.quantise(self.on(), x, (shift.unwrap_or(0), precise));
        }
        if weights.iter().any(|weight| !is_quantised(weight.format)) {
            activation.interleave(self.on(), x);
        }
    }
}

/// Rows of a step.
struct Kinds {
    decode: Range<usize>,
    prefill: Range<usize>,
}

impl Kinds {
    fn of(x: &Tensor) -> Kinds {
        let prefill = x.prefill_rows();
        Kinds { decode: 0..prefill.start, prefill }
    }
}

/// `weight` for rows of `cols`.
pub(crate) fn matrix(weight: &Weight, cols: usize) -> Result<Matrix<'_>> {
    let Weight { format, n, k, factor, .. } = *weight;
    fit(k == cols, || format!("x has {cols} columns, weight [{n}, {k}]"))?;
    Ok(Matrix { packed: Packed::of(weight)?, format, n, k, factor })
}

/// Whether both multiply the same preparation of an activation in the same way.
pub(crate) fn alike(a: FormatId, b: FormatId) -> bool {
    let shifts = offset_shift(a).zip(offset_shift(b));
    let kind = |format: FormatId| (is_quantised(format), is_blockwise(format));
    kind(a) == kind(b) && shifts.is_none_or(|(a, b)| a == b)
}

/// A shape error that is only worded when it happens.
pub(crate) fn fit(fits: bool, wording: impl FnOnce() -> String) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Shape(wording())) }
}

pub(crate) fn shape(tensor: &Tensor) -> (usize, usize) {
    (tensor.rows(), tensor.cols())
}

fn same_shape(a: &Tensor, b: &Tensor) -> Result<()> {
    fit(shape(a) == shape(b), || format!("{:?} and {:?}", shape(a), shape(b)))
}

fn vector(name: &str, tensor: &Tensor, cols: usize) -> Result<()> {
    let fits = tensor.rows() == 1 && tensor.cols() == cols && cols > 0;
    fit(fits, || format!("{name} is {:?}, not (1, {cols})", shape(tensor)))
}

impl Backend for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn description(&self) -> String {
        let threads = self.pool.threads();
        let plural = if threads == 1 { "" } else { "s" };
        format!("{}, {threads} thread{plural}", self.variant.name())
    }

    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor> {
        let len = rows.checked_mul(cols).ok_or_else(|| Error::OutOfMemory {
            needed_bytes: usize::MAX,
            purpose: format!("an activation [{rows}, {cols}]"),
        })?;
        let values = crate::memory::zeroed(len, "an activation")?;
        Ok(Tensor::new(rows, cols, Box::new(tensor::HostBuffer(values))))
    }

    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache> {
        kv::alloc(layout)
    }

    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize {
        packed_bytes(source)
    }

    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight> {
        let packed = Packed::new((self.isa, &self.pool), source)?;
        let WeightSource { format, n, k, factor, .. } = *source;
        let held_bytes = packed.held_bytes();
        Ok(Weight { format, n, k, factor, held_bytes, store: Box::new(packed) })
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
        let (n, k) = (table.n, table.k);
        let packed = Packed::of(table)?;
        fit(out.cols() == k, || format!("out has {} columns, the table {k}", out.cols()))?;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= n) {
            return Err(Error::Batch(format!("token {token} of {n}")));
        }
        out.set_rows(tokens.len())?;
        let out = out.host_mut()?;
        let part_len = norm::part_len(k);
        self.pool.run_parts(out, part_len, |part, out| {
            let tokens = &tokens[part * (part_len / k)..];
            for (out, token) in out.chunks_exact_mut(k).zip(tokens) {
                packed.row(table.format, *token as usize, out);
                if table.factor != 1.0 {
                    out.iter_mut().for_each(|value| *value *= table.factor);
                }
            }
        });
        Ok(())
    }

    fn rms_norm(&self, out: &mut Tensor, x: &Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        vector("scale", scale, x.cols())?;
        out.set_rows_as(x)?;
        same_shape(out, x)?;
        norm::rms_norm(self.on(), out.host_mut()?, x.host()?, (scale.host()?, eps));
        Ok(())
    }

    fn layer_norm(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        (scale, bias): (&Tensor, &Tensor),
        eps: f32,
    ) -> Result<()> {
        vector("scale", scale, x.cols())?;
        vector("bias", bias, x.cols())?;
        out.set_rows_as(x)?;
        same_shape(out, x)?;
        let by = (scale.host()?, bias.host()?, eps);
        norm::layer_norm(self.on(), out.host_mut()?, x.host()?, by);
        Ok(())
    }

    fn add_rms_norm(
        &self,
        out: &mut Tensor,
        residual: &mut Tensor,
        delta: &Tensor,
        norm: (&Tensor, f32),
    ) -> Result<()> {
        vector("scale", norm.0, residual.cols())?;
        same_shape(residual, delta)?;
        out.set_rows_as(residual)?;
        same_shape(out, residual)?;
        let sum = (residual.host_mut()?, delta.host()?);
        norm::add_rms_norm(self.on(), out.host_mut()?, sum, (norm.0.host()?, norm.1));
        Ok(())
    }

    fn rms_norm_heads(&self, x: &mut Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        let (cols, len) = (x.cols(), scale.cols());
        vector("scale", scale, len)?;
        fit(cols.is_multiple_of(len), || format!("x has {cols} columns, the scale {len}"))?;
        norm::rms_norm_heads(self.on(), (x.host_mut()?, cols), (scale.host()?, eps));
        Ok(())
    }

    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()> {
        same_shape(residual, delta)?;
        norm::add(&self.pool, residual.host_mut()?, delta.host()?);
        Ok(())
    }

    fn add_rows(&self, out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()> {
        same_shape(out, delta)?;
        let (rows, cols) = shape(out);
        fit(factors.len() == rows && cols > 0, || {
            format!("{} factors for rows {:?}", factors.len(), (rows, cols))
        })?;
        norm::add_rows(&self.pool, (out.host_mut()?, cols), delta.host()?, factors);
        Ok(())
    }

    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()> {
        vector("bias", bias, x.cols())?;
        norm::add_bias(&self.pool, x.host_mut()?, bias.host()?);
        Ok(())
    }

    fn scale(&self, x: &mut Tensor, factor: f32) -> Result<()> {
        norm::scale(&self.pool, x.host_mut()?, factor);
        Ok(())
    }

    fn soft_cap(&self, x: &mut Tensor, cap: f32) -> Result<()> {
        norm::soft_cap(self.on(), x.host_mut()?, cap);
        Ok(())
    }

    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()> {
        fit(outs.len() == weights.len(), || {
            format!("{} outputs of {} weights", outs.len(), weights.len())
        })?;
        for (out, weight) in outs.iter_mut().zip(weights) {
            out.set_rows_as(x)?;
            let (cols, n) = (out.cols(), weight.n);
            fit(cols == n, || format!("out has {cols} columns, the weight {n} rows"))?;
        }
        let (kinds, k, values) = (Kinds::of(x), x.cols(), x.host()?);
        let mut parts = Vec::with_capacity(outs.len());
        for out in outs.iter_mut() {
            parts.push(Parts::new(out.host_mut()?));
        }
        let weights = weights.iter().map(|weight| matrix(weight, k)).collect::<Result<Vec<_>>>()?;
        let activation = &mut self.scratch().activation;
        self.multiply_rows(activation, ((k, values), &kinds), (&parts, &weights));
        Ok(())
    }

    fn gated(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        (gate, up): (&Weight, &Weight),
        activation: tensor::Activation,
    ) -> Result<()> {
        let n = gate.n;
        fit(up.n == n && out.cols() == n, || {
            format!("gate has {n} rows, up {}, out {} columns", up.n, out.cols())
        })?;
        out.set_rows_as(x)?;
        let (k, mut kinds, values) = (x.cols(), Kinds::of(x), x.host()?);
        let (gate, up) = (matrix(gate, k)?, matrix(up, k)?);
        let row = |i: usize| &values[i * k..][..k];
        let prepared = &mut self.scratch().activation;
        let out = out.host_mut()?;
        if !alike(gate.format, up.format) {
            let mut ups = vec![0.0; out.len()];
            let parts = [Parts::new(out), Parts::new(&mut ups)];
            self.multiply_rows(prepared, ((k, values), &kinds), (&parts, &[gate, up]));
            gate::gate(self.on(), out, &ups, activation);
            return Ok(());
        }
        if !prefill::takes(self.isa, gate.format) || !prefill::takes(self.isa, up.format) {
            kinds = Kinds { decode: 0..x.rows(), prefill: x.rows()..x.rows() };
        }
        let out = &Parts::new(out);
        for (rows, is_prefill) in [(&kinds.decode, false), (&kinds.prefill, true)] {
            if rows.is_empty() {
                continue;
            }
            let x = Rows { k, runs: slice::from_ref(rows), row: &row };
            if is_prefill {
                prepared.fill_prefill(self.on(), &x);
            } else {
                self.prepare_activation(prepared, &x, &[gate, up]);
            }
            let place = Place { out, first: rows.start * n, stride: n };
            let unit = Unit { gate, up, rows: rows.clone(), biases: None, place };
            matmul::gated(self.on(), prepared, (&[unit], activation));
        }
        Ok(())
    }

    fn gate(&self, gate: &mut Tensor, up: &Tensor, activation: tensor::Activation) -> Result<()> {
        same_shape(gate, up)?;
        gate::gate(self.on(), gate.host_mut()?, up.host()?, activation);
        Ok(())
    }

    fn activate(&self, x: &mut Tensor, activation: tensor::Activation) -> Result<()> {
        gate::activate(self.on(), x.host_mut()?, activation);
        Ok(())
    }

    fn experts(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        scores: &Tensor,
        experts: &Experts,
    ) -> Result<()> {
        experts::experts(self, out, (x, scores), experts)
    }

    fn matmul_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        weights: &[Weight],
    ) -> Result<()> {
        heads::matmul_heads(self, out, x, weights)
    }

    fn copy_heads(
        &self,
        out: (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        n_heads: usize,
    ) -> Result<()> {
        heads::copy_heads(&self.pool, out, x, n_heads)
    }

    fn rope_kv_write(
        &self,
        kv: &mut KvCache,
        layer: usize,
        (q, k, v): (&mut Tensor, &mut Tensor, &Tensor),
        rope: &Rope,
        batch: &Batch<'_>,
    ) -> Result<()> {
        let geometry = check_kv(kv, layer, batch)?;
        check_rope(rope, geometry.head_dim_k)?;
        let rows = batch.tokens.len();
        let k_cols = geometry.n_kv_heads * geometry.head_dim_k;
        let v_cols = geometry.n_kv_heads * geometry.head_dim_v;
        let fits = q.rows() == rows
            && q.cols().is_multiple_of(rope.head_dim)
            && shape(k) == (rows, k_cols)
            && shape(v) == (rows, v_cols);
        fit(fits, || {
            let shapes = (shape(q), shape(k), shape(v));
            format!("q, k, v are {shapes:?} for {rows} rows of a cache of {k_cols} and {v_cols}")
        })?;
        let mut scratch = self.scratch();
        scratch.angles.update(&self.pool, rope, batch);
        let q_cols = q.cols();
        rope::rotate(&self.pool, q.host_mut()?, q_cols, (rope, &scratch.angles));
        rope::rotate(&self.pool, k.host_mut()?, k_cols, (rope, &scratch.angles));
        let rows = (k.host()?, v.host()?);
        let store = kv.store.as_any_mut().downcast_mut().ok_or(Error::ForeignBuffer)?;
        match store {
            Kv::F32(layers) => rope::write(self.on(), &mut layers[layer], geometry, rows, batch),
            Kv::F16(layers) => rope::write(self.on(), &mut layers[layer], geometry, rows, batch),
            Kv::BF16(layers) => rope::write(self.on(), &mut layers[layer], geometry, rows, batch),
            Kv::Q8_0(layers) => rope::write(self.on(), &mut layers[layer], geometry, rows, batch),
        }
        Ok(())
    }

    fn attention(
        &self,
        out: &mut Tensor,
        q: &Tensor,
        (kv, layer): (&KvCache, usize),
        rule: &AttentionRule<'_>,
        batch: &Batch<'_>,
    ) -> Result<()> {
        let geometry = check_kv(kv, layer, batch)?;
        let n_heads = q.cols() / geometry.head_dim_k;
        out.set_rows_as(q)?;
        let fits = q.rows() == batch.tokens.len()
            && q.cols() == n_heads * geometry.head_dim_k
            && n_heads >= 1
            && n_heads.is_multiple_of(geometry.n_kv_heads)
            && out.cols() == n_heads * geometry.head_dim_v;
        fit(fits, || format!("q is {:?}, out {:?}, {geometry:?}", shape(q), shape(out)))?;
        let window = rule.window.unwrap_or(usize::MAX);
        fit(window > 0, || "a window of no position".to_owned())?;
        let whole = batch.spans.iter().all(|span| span.first_position == 0);
        fit(!rule.bidirectional || (whole && rule.window.is_none()), || {
            "attention both ways wants spans from position 0 and no window".to_owned()
        })?;
        if let Some(sinks) = rule.sinks {
            vector("sinks", sinks, n_heads)?;
        }
        let AttentionRule { scale, soft_cap, bidirectional, .. } = *rule;
        let sinks = rule.sinks.map(Tensor::host).transpose()?;
        let q = q.host()?;
        let heads = Heads { geometry, n_heads, scale, soft_cap, window, sinks, bidirectional, q };
        let out = out.host_mut()?;
        match kv.store.as_any().downcast_ref().ok_or(Error::ForeignBuffer)? {
            Kv::F32(layers) => attention(self.on(), out, heads, &layers[layer], batch),
            Kv::F16(layers) => attention(self.on(), out, heads, &layers[layer], batch),
            Kv::BF16(layers) => attention(self.on(), out, heads, &layers[layer], batch),
            Kv::Q8_0(layers) => attention(self.on(), out, heads, &layers[layer], batch),
        }
        Ok(())
    }

    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()> {
        let (cols, wide) = (x.cols(), gate.cols());
        let fits = x.rows() == gate.rows() && (wide == cols || wide == 1) && cols > 0;
        fit(fits, || format!("{:?} gated by {:?}", shape(x), shape(gate)))?;
        norm::sigmoid_gate(&self.pool, (x.host_mut()?, cols), gate.host()?);
        Ok(())
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
        let mixed = &mut self.scratch().mixed;
        let on = (self.isa, &self.pool, mixed);
        delta_net::delta_net(on, out, (inputs, batch), state, net)
    }

    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
        let cols = x.cols();
        fit(out.cols() == cols, || format!("out has {} columns, x {cols}", out.cols()))?;
        if let Some(row) = rows.iter().find(|row| **row as usize >= x.rows()) {
            return Err(Error::Shape(format!("row {row} of {}", x.rows())));
        }
        out.set_rows(rows.len())?;
        let x = x.host()?;
        for (out, row) in out.host_mut()?.chunks_exact_mut(cols.max(1)).zip(rows) {
            out.copy_from_slice(&x[*row as usize * cols..][..cols]);
        }
        Ok(())
    }
}

fn check_kv(kv: &KvCache, layer: usize, batch: &Batch<'_>) -> Result<Geometry> {
    let layers = kv.layout.n_layers;
    fit(layer < layers, || format!("layer {layer} of {layers}"))?;
    batch.check(kv.layout.page_len, kv.layout.page_count)?;
    Ok(Geometry::of(&kv.layout))
}

fn check_rope(rope: &Rope, head_dim_k: usize) -> Result<()> {
    let turned = 2 * rope.inverse_frequencies.len();
    let fits = rope.head_dim == head_dim_k && turned <= rope.head_dim;
    fit(fits, || format!("rope turns {turned} of {} in heads of {head_dim_k}", rope.head_dim))
}
