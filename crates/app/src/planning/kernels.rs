//! Times of this machine's kernels, with matrices of a real model's shapes: in the caches and
//! beyond them, for one row and for as many as a step of a prompt has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::{ByteTime, FormatTimes, Kernels, ReadRate};
use quant::FormatId;
use tensor::{
    Activation, AttentionRule, Backend, Batch, KvCache, KvFormat, KvLayout, Rope, RopePairing,
    Span, Tensor, Weight, WeightSource,
};

use crate::loaded::{PAGE_LEN, STEP_TOKENS_MAX};
use crate::{Result, memory};

/// Shapes of TinyLlama-1.1B: width, keys and values, feed-forward, heads and their width.
const WIDTH: usize = 2048;
const KV_WIDTH: usize = 256;
const FEED_FORWARD: usize = 5632;
const HEADS: usize = 32;
const HEAD_DIM: usize = WIDTH / HEADS;
/// Rows of a head that is timed with more and with less precision.
const HEAD_ROWS: usize = 16_384;
/// Rows of a step that reads a prompt.
const PROMPT_ROWS: usize = STEP_TOKENS_MAX as usize;
/// Positions of a deep context, and layers that keep it.
const DEPTH: usize = 4096;
const KV_LAYERS: usize = 8;

/// Matrices that caches may hold, bytes.
const NEAR_BYTES: u64 = 48 << 20;
/// Rows that are quantised; a matrix repeats them.
const ROWS_MADE: usize = 16;
/// Rounds at least, and the time after which there are no more.
const ROUNDS_MIN: usize = 3;
const ROUNDS_TIME: Duration = Duration::from_millis(120);
/// Norms are not zero, so that nothing is left out.
const EPS: f32 = 1e-5;

/// What is timed, the most usual first: of these some always, with one of each kind among them,
/// others while there is time.
const FORMATS: &[FormatId] = &[
    FormatId::Q4K,
    FormatId::Q6K,
    FormatId::Q8_0,
    FormatId::F16,
    FormatId::IQ3S,
    FormatId::Q5K,
    FormatId::Q4_0,
    FormatId::MXFP4,
    FormatId::BF16,
    FormatId::IQ4XS,
    FormatId::Q3K,
];
const FORMATS_MIN: usize = 5;

/// Measures; formats are begun until `until`. `progress` hears what is measured next.
pub(super) fn measure(
    backend: &Arc<dyn Backend>,
    read: &[(u64, f64)],
    until: Instant,
    progress: &mut dyn FnMut(&str),
) -> Result<Kernels> {
    progress("attention and norms");
    let rest = Rest::measure(&**backend)?;
    let far_bytes = far_bytes(read);
    let mut format = Vec::new();
    for (index, id) in FORMATS.iter().enumerate() {
        if index >= FORMATS_MIN && Instant::now() >= until {
            break;
        }
        progress(&format!("matrices in {}", id.name()));
        format.push(Bench { backend: &**backend, format: *id }.times(far_bytes)?);
    }
    let rate = |(bytes, rate): &(u64, f64)| ReadRate { bytes: *bytes as f64, rate: *rate };
    Ok(Kernels {
        layer_s: rest.layer_s,
        layer_row_s: rest.layer_row_s,
        kv_byte_s: rest.kv_byte_s,
        attention_flop_s: rest.attention_flop_s,
        read: read.iter().map(rate).collect(),
        format,
    })
}

/// As many bytes as reads were timed with at most, and never more than a quarter of what is free.
fn far_bytes(read: &[(u64, f64)]) -> u64 {
    let read_most = read.last().map_or(NEAR_BYTES, |(bytes, _)| *bytes);
    memory::available_bytes().map_or(read_most, |bytes| read_most.min(bytes / 4))
}

/// The shortest of several rounds, seconds.
fn best(mut round: impl FnMut() -> Result<()>) -> Result<f64> {
    // The first one wakes threads and makes room for what is needed.
    round()?;
    let started = Instant::now();
    let mut best = f64::INFINITY;
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || started.elapsed() < ROUNDS_TIME {
        let began = Instant::now();
        round()?;
        best = best.min(began.elapsed().as_secs_f64());
        rounds += 1;
    }
    // A clock too coarse to see a round must not make an endless rate.
    Ok(best.max(1e-9))
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

/// Matrices of one format.
struct Bench<'a> {
    backend: &'a dyn Backend,
    format: FormatId,
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

/// Activations between them.
struct Work {
    x: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gated: Tensor,
    delta: Tensor,
}

impl Bench<'_> {
    fn times(&self, far_bytes: u64) -> Result<FormatTimes> {
        // The head is the largest matrix of its width; others are its first rows.
        let rows = [self.rows(HEAD_ROWS, WIDTH), self.rows(WIDTH, FEED_FORWARD)];
        let layer_bytes = self.bytes(layer_weights());
        let count = |bytes: u64| (bytes as f64 / layer_bytes).ceil().max(1.0) as usize;
        let layers: Vec<Layer> =
            (0..count(far_bytes)).map(|_| self.layer(&rows)).collect::<Result<_>>()?;
        let near = count(NEAR_BYTES).min(layers.len());
        let mut one = Work::new(self.backend, 1)?;
        let mut time = |layers: &[Layer]| -> Result<ByteTime> {
            let seconds = best(|| one.pass(self.backend, layers))?;
            let bytes = layer_bytes * layers.len() as f64;
            Ok(ByteTime { bytes, byte_s: seconds / bytes })
        };
        let (near, far) = (time(&layers[..near])?, time(&layers)?);
        let mut many = Work::new(self.backend, PROMPT_ROWS)?;
        let prompt_s = best(|| many.pass(self.backend, &layers[..1]))?;
        let flops = 2.0 * layer_weights() as f64 * PROMPT_ROWS as f64;
        Ok(FormatTimes {
            name: self.format.name().to_owned(),
            near,
            far,
            head: self.head(&rows[0])?,
            flop_s: prompt_s / flops,
        })
    }

    fn bytes(&self, weights: usize) -> f64 {
        weights as f64 * self.format.block_bytes() as f64 / self.format.block_len() as f64
    }

    /// `n` rows of `k` weights, a few of them again and again.
    fn rows(&self, n: usize, k: usize) -> Vec<u8> {
        let row_bytes = self.format.row_bytes(k).expect("whole blocks");
        let mut rows = vec![0; ROWS_MADE * row_bytes];
        if self.format.can_quantize() {
            let values = values(ROWS_MADE * k);
            for (row, values) in rows.chunks_exact_mut(row_bytes).zip(values.chunks_exact(k)) {
                self.format.quantize_row(values, row);
            }
        } else {
            // Any codes will do, with scales that are numbers: an f16 of such bytes is below 2.
            for (byte, value) in rows.iter_mut().zip(values(ROWS_MADE * row_bytes)) {
                *byte = (value.abs() * 64.0) as u8 & 0x3f;
            }
        }
        rows.repeat(n / ROWS_MADE)
    }

    fn matrix(&self, (n, k): (usize, usize), rows: &[u8], precise: bool) -> Result<Weight> {
        let row_bytes = self.format.row_bytes(k).expect("whole blocks");
        let (name, format, bytes) = ("calibration", self.format, &rows[..n * row_bytes]);
        let source = WeightSource { name, format, n, k, bytes, precise, factor: 1.0 };
        Ok(self.backend.prepare(&source).map_err(model::Error::from)?)
    }

    fn layer(&self, [wide, deep]: &[Vec<u8>; 2]) -> Result<Layer> {
        Ok(Layer {
            query: self.matrix((WIDTH, WIDTH), wide, false)?,
            key: self.matrix((KV_WIDTH, WIDTH), wide, false)?,
            value: self.matrix((KV_WIDTH, WIDTH), wide, false)?,
            output: self.matrix((WIDTH, WIDTH), wide, false)?,
            gate: self.matrix((FEED_FORWARD, WIDTH), wide, false)?,
            up: self.matrix((FEED_FORWARD, WIDTH), wide, false)?,
            down: self.matrix((WIDTH, FEED_FORWARD), deep, false)?,
        })
    }

    /// Time of a matrix that keeps all precision over one that does not.
    fn head(&self, rows: &[u8]) -> Result<f64> {
        let x = activation(self.backend, 1, WIDTH)?;
        let mut out = activation(self.backend, 1, HEAD_ROWS)?;
        let mut time = |precise: bool| -> Result<f64> {
            let weight = self.matrix((HEAD_ROWS, WIDTH), rows, precise)?;
            best(|| {
                let outs = &mut [&mut out];
                Ok(self.backend.matmul(outs, &x, &[&weight]).map_err(model::Error::from)?)
            })
        };
        Ok(time(true)? / time(false)?)
    }
}

const fn layer_weights() -> usize {
    2 * WIDTH * WIDTH + 2 * WIDTH * KV_WIDTH + 3 * WIDTH * FEED_FORWARD
}

impl Work {
    fn new(backend: &dyn Backend, rows: usize) -> Result<Work> {
        Ok(Work {
            x: activation(backend, rows, WIDTH)?,
            query: activation(backend, rows, WIDTH)?,
            key: activation(backend, rows, KV_WIDTH)?,
            value: activation(backend, rows, KV_WIDTH)?,
            gated: activation(backend, rows, FEED_FORWARD)?,
            delta: activation(backend, rows, WIDTH)?,
        })
    }

    /// All matrices of all layers, as a model's forward pass goes through them.
    fn pass(&mut self, backend: &dyn Backend, layers: &[Layer]) -> Result<()> {
        let mut pass = || -> tensor::Result<()> {
            for layer in layers {
                let mut outs = [&mut self.query, &mut self.key, &mut self.value];
                let inputs = [&layer.query, &layer.key, &layer.value];
                backend.matmul(&mut outs, &self.x, &inputs)?;
                backend.matmul(&mut [&mut self.delta], &self.query, &[&layer.output])?;
                let gate_up = (&layer.gate, &layer.up);
                backend.gated(&mut self.gated, &self.x, gate_up, Activation::Silu)?;
                backend.matmul(&mut [&mut self.delta], &self.gated, &[&layer.down])?;
            }
            Ok(())
        };
        Ok(pass().map_err(model::Error::from)?)
    }
}

/// What a layer does besides its matrices.
struct Rest {
    layer_s: f64,
    layer_row_s: f64,
    kv_byte_s: f64,
    attention_flop_s: f64,
}

/// A cache whose positions are all written, and what meets it.
struct Attention<'a> {
    backend: &'a dyn Backend,
    kv: KvCache,
    rope: Rope,
    pages: Vec<u32>,
}

impl Rest {
    fn measure(backend: &dyn Backend) -> Result<Rest> {
        let mut attention = Attention::new(backend)?;
        let layers = KV_LAYERS as f64;
        let attend = |attention: &mut Attention<'_>, rows: usize, first: usize| {
            let mut work = Work::new(backend, rows)?;
            best(|| attention.attend(&mut work, rows, first)).map(|seconds| seconds / layers)
        };
        let (shallow_s, deep_s) =
            (attend(&mut attention, 1, 0)?, attend(&mut attention, 1, DEPTH - 1)?);
        let prompt_s = attend(&mut attention, PROMPT_ROWS, DEPTH - PROMPT_ROWS)?;
        let mut besides = |rows: usize| -> Result<f64> {
            let mut work = Work::new(backend, rows)?;
            let mut normed = activation(backend, rows, WIDTH)?;
            let scale = activation(backend, 1, WIDTH)?;
            best(|| attention.besides(&mut work, (&mut normed, &scale), rows))
                .map(|seconds| seconds / layers)
        };
        let (one_s, many_s) = (besides(1)?, besides(PROMPT_ROWS)?);
        let kv_bytes = (DEPTH * 2 * KvFormat::F16.head_bytes(KV_WIDTH)) as f64;
        let positions = PROMPT_ROWS * DEPTH - PROMPT_ROWS * PROMPT_ROWS / 2;
        // A product and a sum for each value of a query and of what comes out.
        let flops = 4.0 * WIDTH as f64 * positions as f64;
        Ok(Rest {
            layer_s: one_s + shallow_s,
            layer_row_s: many_s / PROMPT_ROWS as f64,
            kv_byte_s: (deep_s - shallow_s).max(1e-15) / kv_bytes,
            attention_flop_s: prompt_s / flops,
        })
    }
}

impl<'a> Attention<'a> {
    fn new(backend: &'a dyn Backend) -> Result<Attention<'a>> {
        let page_len = PAGE_LEN as usize;
        let layout = KvLayout {
            n_layers: KV_LAYERS,
            n_kv_heads: KV_WIDTH / HEAD_DIM,
            head_dim_k: HEAD_DIM,
            head_dim_v: HEAD_DIM,
            page_len,
            page_count: DEPTH / page_len,
            format: KvFormat::F16,
        };
        let kv = backend.alloc_kv(&layout).map_err(model::Error::from)?;
        let rope = Rope::new(RopePairing::Interleaved, HEAD_DIM, HEAD_DIM, 10_000.0);
        let pages = (0..).take(DEPTH / page_len).collect();
        let mut attention = Attention { backend, kv, rope, pages };
        let mut work = Work::new(backend, PROMPT_ROWS)?;
        for first in (0..DEPTH).step_by(PROMPT_ROWS) {
            attention.write(&mut work, PROMPT_ROWS, first)?;
        }
        Ok(attention)
    }

    /// Keys and values of all layers at these positions.
    fn write(&mut self, work: &mut Work, rows: usize, first: usize) -> Result<()> {
        let tokens = vec![0; rows];
        let spans = [Span { rows, first_position: first, pages: &self.pages, state: 0 }];
        let batch = Batch::prefill(&tokens, &spans);
        for layer in 0..KV_LAYERS {
            let parts = (&mut work.query, &mut work.key, &work.value);
            let written =
                self.backend.rope_kv_write(&mut self.kv, layer, parts, &self.rope, &batch);
            written.map_err(model::Error::from)?;
        }
        Ok(())
    }

    fn attend(&mut self, work: &mut Work, rows: usize, first: usize) -> Result<()> {
        let tokens = vec![0; rows];
        let spans = [Span { rows, first_position: first, pages: &self.pages, state: 0 }];
        let batch = Batch::prefill(&tokens, &spans);
        let rule = AttentionRule::causal(1.0 / (HEAD_DIM as f32).sqrt());
        for layer in 0..KV_LAYERS {
            let kv = (&self.kv, layer);
            let done = self.backend.attention(&mut work.delta, &work.query, kv, &rule, &batch);
            done.map_err(model::Error::from)?;
        }
        Ok(())
    }

    /// Two norms and the rotation of each layer.
    fn besides(
        &mut self,
        work: &mut Work,
        (normed, scale): (&mut Tensor, &Tensor),
        rows: usize,
    ) -> Result<()> {
        self.write(work, rows, 0)?;
        for _ in 0..2 * KV_LAYERS {
            let norm = (scale, EPS);
            let done = self.backend.add_rms_norm(normed, &mut work.x, &work.delta, norm);
            done.map_err(model::Error::from)?;
        }
        Ok(())
    }
}
