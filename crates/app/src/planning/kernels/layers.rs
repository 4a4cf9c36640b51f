//! Layers that are timed: their matrices, keys and values, and one step through them as a model of
//! attention and gated feed-forward blocks makes it.

use std::ops::Range;

use quant::FormatId;
use tensor::{
    Activation, AttentionRule, Backend, Batch, KvCache, KvFormat, KvLayout, Rope, RopePairing,
    Span, Tensor, Weight, WeightSource,
};

use super::usual;
use crate::Result;
use crate::loaded::{PAGE_LEN, STEP_TOKENS_MAX};

/// What a layer is made of.
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) kv_width: usize,
    pub(super) feed_forward: usize,
}

/// TinyLlama-1.1B's.
pub(super) const LARGE: Shape = Shape { width: 2048, kv_width: 256, feed_forward: 5632 };
/// About that of models of a hundred million weights, in whole blocks of every format.
pub(super) const SMALL: Shape = Shape { width: 512, kv_width: 256, feed_forward: 1536 };

/// Llama-3.1-8B's.
pub(super) const WIDE: Shape = Shape { width: 4096, kv_width: 1024, feed_forward: 14_336 };

const HEAD_DIM: usize = 64;
/// Rows of a head that is timed with more and with less precision.
const HEAD_ROWS: usize = 16_384;
/// Rows of a step that reads a prompt.
pub(super) const PROMPT_ROWS: usize = STEP_TOKENS_MAX as usize;
/// Positions of a deep context, and layers that keep it: walks go through these again and again.
pub(super) const DEPTH: usize = 4096;
pub(super) const KV_LAYERS: usize = 8;

/// Rows that are quantised; a matrix repeats them.
const ROWS_MADE: usize = 16;
/// Weights are small, so that nothing grows from layer to layer.
const WEIGHT: f32 = 0.02;
/// Norms are not zero, so that nothing is left out.
const EPS: f32 = 1e-5;

impl Shape {
    pub(super) fn weights(&self) -> usize {
        let attention = 2 * self.width * self.width + 2 * self.width * self.kv_width;
        attention + 3 * self.width * self.feed_forward
    }

    /// Of a layer's matrices, as a file has them.
    pub(super) fn bytes(&self, format: FormatId) -> f64 {
        self.weights() as f64 * format.block_bytes() as f64 / format.block_len() as f64
    }

    /// Operations of a layer's attention for so many rows, the first so many positions deep: a
    /// product and a sum for each value of a query and of what comes out.
    pub(super) fn attention_flops(&self, rows: usize, first: usize) -> f64 {
        let positions = rows * first + rows * rows / 2;
        4.0 * self.width as f64 * positions as f64
    }
}

/// Values that are the same every time and look like activations.
fn values(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn activation(backend: &dyn Backend, rows: usize, cols: usize) -> Result<Tensor> {
    let mut tensor = backend.alloc(rows, cols).map_err(model::Error::from)?;
    backend.upload(&mut tensor, &values(rows * cols)).map_err(model::Error::from)?;
    // One row is a token of an answer, several are of a prompt.
    tensor.set_decode_rows(usize::from(rows == 1));
    Ok(tensor)
}

/// `n` rows of `k` weights, a few of them again and again.
fn rows(format: FormatId, (n, k): (usize, usize)) -> Vec<u8> {
    let row_bytes = format.row_bytes(k).expect("whole blocks");
    let mut rows = vec![0; ROWS_MADE * row_bytes];
    if format.can_quantize() {
        let values: Vec<f32> = values(ROWS_MADE * k).iter().map(|value| WEIGHT * value).collect();
        for (row, values) in rows.chunks_exact_mut(row_bytes).zip(values.chunks_exact(k)) {
            format.quantize_row(values, row);
        }
    } else {
        // Any codes will do, with scales that are small numbers: an f16 of such bytes is below
        // 0.01.
        for (byte, value) in rows.iter_mut().zip(values(ROWS_MADE * row_bytes)) {
            *byte = (value.abs() * 32.0) as u8 & 0x1f;
        }
    }
    rows.repeat(n / ROWS_MADE)
}

fn matrix(
    backend: &dyn Backend,
    format: FormatId,
    ((n, k), rows): ((usize, usize), &[u8]),
    precise: bool,
) -> Result<Weight> {
    let row_bytes = format.row_bytes(k).expect("whole blocks");
    let (name, bytes) = ("calibration", &rows[..n * row_bytes]);
    let source = WeightSource { name, format, n, k, bytes, precise, factor: 1.0 };
    Ok(backend.prepare(&source).map_err(model::Error::from)?)
}

/// Time of a matrix that keeps all precision over one that does not.
pub(super) fn head(backend: &dyn Backend, format: FormatId) -> Result<f64> {
    let shape = (HEAD_ROWS, LARGE.width);
    let rows = rows(format, shape);
    let x = activation(backend, 1, LARGE.width)?;
    let mut out = activation(backend, 1, HEAD_ROWS)?;
    let mut time = |precise: bool| -> Result<f64> {
        let weight = matrix(backend, format, (shape, &rows), precise)?;
        usual(|| {
            let outs = &mut [&mut out];
            Ok(backend.matmul(outs, &x, &[&weight]).map_err(model::Error::from)?)
        })
    };
    Ok(time(true)? / time(false)?)
}

/// The matrices of a layer.
struct Layer {
    query: Weight,
    key: Weight,
    value: Weight,
    output: Weight,
    gate: Weight,
    up: Weight,
    down: Weight,
}

/// Layers of one shape and format, each with matrices of its own.
pub(super) struct Layers<'a> {
    backend: &'a dyn Backend,
    shape: &'static Shape,
    format: FormatId,
    /// Rows of the model's width, and of the feed-forward's.
    rows: [Vec<u8>; 2],
    layers: Vec<Layer>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        backend: &'a dyn Backend,
        shape: &'static Shape,
        format: FormatId,
    ) -> Layers<'a> {
        // The largest matrix of its width; others are its first rows.
        let wide = rows(format, (shape.feed_forward, shape.width));
        let deep = rows(format, (shape.width, shape.feed_forward));
        Layers { backend, shape, format, rows: [wide, deep], layers: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.layers.len()
    }

    /// Makes layers until there are so many.
    pub(super) fn grow(&mut self, count: usize) -> Result<()> {
        while self.layers.len() < count {
            self.layers.push(self.layer()?);
        }
        Ok(())
    }

    fn layer(&self) -> Result<Layer> {
        let Shape { width, kv_width, feed_forward } = *self.shape;
        let [wide, deep] = &self.rows;
        let make = |n, k, rows| matrix(self.backend, self.format, ((n, k), rows), false);
        Ok(Layer {
            query: make(width, width, wide)?,
            key: make(kv_width, width, wide)?,
            value: make(kv_width, width, wide)?,
            output: make(width, width, wide)?,
            gate: make(feed_forward, width, wide)?,
            up: make(feed_forward, width, wide)?,
            down: make(width, feed_forward, deep)?,
        })
    }

    /// A step of rows at the first positions through some of the layers.
    pub(super) fn pass(
        &self,
        caches: &mut Caches,
        work: &mut Work,
        layers: Range<usize>,
    ) -> Result<()> {
        let tokens = vec![0; work.rows];
        let Caches { kv, rope, rule, pages } = caches;
        let spans = [Span { rows: work.rows, first_position: 0, pages, state: 0 }];
        let batch = batch(&tokens, &spans);
        let backend = self.backend;
        let mut pass = || -> tensor::Result<()> {
            for (index, layer) in layers.clone().enumerate() {
                let (layer, own) = (&self.layers[layer], index % KV_LAYERS);
                let mut outs = [&mut work.query, &mut work.key, &mut work.value];
                let inputs = [&layer.query, &layer.key, &layer.value];
                backend.matmul(&mut outs, &work.normed, &inputs)?;
                let parts = (&mut work.query, &mut work.key, &work.value);
                backend.rope_kv_write(kv, own, parts, rope, &batch)?;
                let seen = (&*kv, own);
                backend.attention(&mut work.attended, &work.query, seen, rule, &batch)?;
                backend.matmul(&mut [&mut work.delta], &work.attended, &[&layer.output])?;
                work.add_norm(backend)?;
                let gate_up = (&layer.gate, &layer.up);
                backend.gated(&mut work.gated, &work.normed, gate_up, Activation::Silu)?;
                backend.matmul(&mut [&mut work.delta], &work.gated, &[&layer.down])?;
                work.add_norm(backend)?;
            }
            Ok(())
        };
        Ok(pass().map_err(model::Error::from)?)
    }
}

/// Activations between layers.
pub(super) struct Work {
    rows: usize,
    residual: Tensor,
    normed: Tensor,
    scale: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attended: Tensor,
    gated: Tensor,
    delta: Tensor,
}

impl Work {
    pub(super) fn new(backend: &dyn Backend, shape: &Shape, rows: usize) -> Result<Work> {
        let Shape { width, kv_width, feed_forward } = *shape;
        let rows_of = |cols| activation(backend, rows, cols);
        Ok(Work {
            rows,
            residual: rows_of(width)?,
            normed: rows_of(width)?,
            scale: activation(backend, 1, width)?,
            query: rows_of(width)?,
            key: rows_of(kv_width)?,
            value: rows_of(kv_width)?,
            attended: rows_of(width)?,
            gated: rows_of(feed_forward)?,
            delta: rows_of(width)?,
        })
    }

    fn add_norm(&mut self, backend: &dyn Backend) -> tensor::Result<()> {
        let norm = (&self.scale, EPS);
        backend.add_rms_norm(&mut self.normed, &mut self.residual, &self.delta, norm)
    }
}

/// Keys and values, and the rules by which they are written and met.
pub(super) struct Caches {
    kv: KvCache,
    rope: Rope,
    rule: AttentionRule<'static>,
    pages: Vec<u32>,
}

impl Caches {
    /// Of so many positions, a multiple of a prompt's rows, all of them written.
    pub(super) fn new(backend: &dyn Backend, shape: &Shape, positions: usize) -> Result<Caches> {
        let page_len = PAGE_LEN as usize;
        let layout = KvLayout {
            n_layers: KV_LAYERS,
            n_kv_heads: shape.kv_width / HEAD_DIM,
            head_dim_k: HEAD_DIM,
            head_dim_v: HEAD_DIM,
            page_len,
            page_count: positions / page_len,
            format: KvFormat::F16,
        };
        let mut caches = Caches {
            kv: backend.alloc_kv(&layout).map_err(model::Error::from)?,
            rope: Rope::new(RopePairing::Interleaved, HEAD_DIM, HEAD_DIM, 10_000.0),
            rule: AttentionRule::causal(1.0 / (HEAD_DIM as f32).sqrt()),
            pages: (0..).take(positions / page_len).collect(),
        };
        let mut work = Work::new(backend, shape, PROMPT_ROWS)?;
        for first in (0..positions).step_by(PROMPT_ROWS) {
            caches.write(backend, &mut work, first)?;
        }
        Ok(caches)
    }

    /// Keys and values of all layers from this position on.
    fn write(&mut self, backend: &dyn Backend, work: &mut Work, first: usize) -> Result<()> {
        let tokens = vec![0; work.rows];
        let Caches { kv, rope, pages, .. } = self;
        let spans = [Span { rows: work.rows, first_position: first, pages, state: 0 }];
        let batch = batch(&tokens, &spans);
        for layer in 0..KV_LAYERS {
            let parts = (&mut work.query, &mut work.key, &work.value);
            let written = backend.rope_kv_write(kv, layer, parts, rope, &batch);
            written.map_err(model::Error::from)?;
        }
        Ok(())
    }

    /// Attention of all layers, from this position on.
    pub(super) fn attend(
        &mut self,
        backend: &dyn Backend,
        work: &mut Work,
        first: usize,
    ) -> Result<()> {
        let tokens = vec![0; work.rows];
        let spans = [Span { rows: work.rows, first_position: first, pages: &self.pages, state: 0 }];
        let batch = batch(&tokens, &spans);
        for layer in 0..KV_LAYERS {
            let (out, kv) = (&mut work.attended, (&self.kv, layer));
            let done = backend.attention(out, &work.query, kv, &self.rule, &batch);
            done.map_err(model::Error::from)?;
        }
        Ok(())
    }
}

/// One row is a token of an answer, several are of a prompt.
fn batch<'a>(tokens: &'a [u32], spans: &'a [Span<'a>]) -> Batch<'a> {
    if tokens.len() == 1 { Batch::decode(tokens, spans) } else { Batch::prefill(tokens, spans) }
}
