//! Times of this machine's kernels: layers of a real model's shapes, as a step of a model goes
//! through them, few enough for the caches and more than they hold, with one row and with many.
//!
//! Layers of two shapes tell what bytes and operations take from what every layer takes besides
//! ([`apart`]).

mod apart;
mod layers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::{Kernels, ReadRate};
use quant::FormatId;
use tensor::{Backend, KvFormat};

use crate::{Result, memory};
use layers::{Caches, DEPTH, KV_LAYERS, LARGE, Layers, PROMPT_ROWS, SMALL, Shape, WIDE, Work};

/// Bytes of walks, from what caches hold to more than any does; close together where the caches of
/// large processors end, as a walk through a little more than they hold finds nearly nothing there.
const WALKS_MIB: [u64; 6] = [64, 128, 192, 256, 384, 1024];
/// A walk that takes as long as this is the last: what is so slow does not wait for memory. Nor are
/// wide layers timed where large ones take as long.
const ROUND_TIME: Duration = Duration::from_millis(150);
/// Rows of a short prompt.
const FEW_ROWS: usize = PROMPT_ROWS / 4;
/// Rounds at least, and the time after which there are no more.
const ROUNDS_MIN: usize = 7;
const ROUNDS_TIME: Duration = Duration::from_millis(100);

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
    progress("attention");
    let mut large = Bench::new(&**backend, (&LARGE, DEPTH), read)?;
    let attention = attention(&mut large)?;
    let mut small = Bench::new(&**backend, (&SMALL, PROMPT_ROWS), read)?;
    let mut wide = Bench::new(&**backend, (&WIDE, PROMPT_ROWS), read)?;
    let mut format = Vec::new();
    for (index, id) in FORMATS.iter().enumerate() {
        if index >= FORMATS_MIN && Instant::now() >= until {
            break;
        }
        progress(&format!("layers in {}", id.name()));
        let (large, small) =
            (large.times(*id, attention.flop_s)?, small.times(*id, attention.flop_s)?);
        // What takes so long does not wait for activations.
        let wide_s = match large.many_s >= ROUND_TIME.as_secs_f64() {
            true => None,
            false => Some(wide.wide_s(*id, attention.flop_s)?),
        };
        let head = layers::head(&**backend, *id)?;
        format.push(apart::of(id.name(), (&large, &small), wide_s, head));
    }
    let rate = |(bytes, rate): &(u64, f64)| ReadRate { bytes: *bytes as f64, rate: *rate };
    Ok(Kernels {
        kv_byte_s: attention.kv_byte_s,
        attention_flop_s: attention.flop_s,
        read: read.iter().map(rate).collect(),
        format,
    })
}

/// What attention takes for itself.
struct Attention {
    kv_byte_s: f64,
    flop_s: f64,
}

fn attention(bench: &mut Bench<'_>) -> Result<Attention> {
    let (backend, shape) = (bench.backend, bench.shape);
    let mut attend = |rows: usize, first: usize| -> Result<f64> {
        let mut work = Work::new(backend, shape, rows)?;
        let seconds = usual(|| bench.caches.attend(backend, &mut work, first))?;
        Ok(seconds / KV_LAYERS as f64)
    };
    let (shallow_s, deep_s) = (attend(1, 0)?, attend(1, DEPTH - 1)?);
    let prompt_s = attend(PROMPT_ROWS, DEPTH - PROMPT_ROWS)?;
    let kv_bytes = (DEPTH * 2 * KvFormat::F16.head_bytes(shape.kv_width)) as f64;
    Ok(Attention {
        kv_byte_s: (deep_s - shallow_s).max(1e-15) / kv_bytes,
        flop_s: prompt_s / shape.attention_flops(PROMPT_ROWS, DEPTH - PROMPT_ROWS),
    })
}

/// Layers of one shape, in one format after another.
struct Bench<'a> {
    backend: &'a dyn Backend,
    shape: &'static Shape,
    caches: Caches,
    /// Bytes of the walks.
    sizes: Vec<u64>,
}

/// What layers of a shape take in a format.
struct Times {
    shape: &'static Shape,
    /// Bytes of one.
    layer_bytes: f64,
    /// One row: about the bytes of a walk, and seconds of each of its layers.
    walk: Vec<(f64, f64)>,
    /// Few rows of a prompt and many, attention left out: seconds of a layer.
    few_s: f64,
    many_s: f64,
}

impl<'a> Bench<'a> {
    fn new(
        backend: &'a dyn Backend,
        (shape, positions): (&'static Shape, usize),
        read: &[(u64, f64)],
    ) -> Result<Bench<'a>> {
        let caches = Caches::new(backend, shape, positions)?;
        Ok(Bench { backend, shape, caches, sizes: sizes(read) })
    }

    fn times(&mut self, format: FormatId, attention_flop_s: f64) -> Result<Times> {
        let mut layers = Layers::new(self.backend, self.shape, format);
        let layer_bytes = self.shape.bytes(format);
        let mut one = Work::new(self.backend, self.shape, 1)?;
        let mut walk: Vec<(f64, f64)> = Vec::new();
        for size in &self.sizes {
            let count = (*size as f64 / layer_bytes).round().max(1.0) as usize;
            let seconds = match walk.last() {
                // Layers are too large for the next walk to be another.
                Some((_, layer_s)) if count == layers.len() => layer_s * count as f64,
                _ => {
                    layers.grow(count)?;
                    usual(|| layers.pass(&mut self.caches, &mut one, 0..count))?
                }
            };
            walk.push((*size as f64, seconds / count as f64));
            if seconds >= ROUND_TIME.as_secs_f64() {
                break;
            }
        }
        let few_s = self.rows_s(&layers, FEW_ROWS, attention_flop_s)?;
        let many_s = self.rows_s(&layers, PROMPT_ROWS, attention_flop_s)?;
        Ok(Times { shape: self.shape, layer_bytes, walk, few_s, many_s })
    }

    /// Seconds of a layer with many rows of a prompt, attention left out, of two layers in turn.
    fn wide_s(&mut self, format: FormatId, attention_flop_s: f64) -> Result<f64> {
        let mut layers = Layers::new(self.backend, self.shape, format);
        layers.grow(2)?;
        self.rows_s(&layers, PROMPT_ROWS, attention_flop_s)
    }

    /// The same with so many rows. Each round has another layer, as a model has.
    fn rows_s(&mut self, layers: &Layers<'_>, rows: usize, attention_flop_s: f64) -> Result<f64> {
        let mut work = Work::new(self.backend, self.shape, rows)?;
        let mut next = (0..layers.len()).cycle();
        let seconds = usual(|| {
            let layer = next.next().expect("a cycle");
            layers.pass(&mut self.caches, &mut work, layer..layer + 1)
        })?;
        let attention_s = attention_flop_s * self.shape.attention_flops(rows, 0);
        // Attention to next to nothing before is never all that a layer does.
        Ok((seconds - attention_s).max(0.5 * seconds))
    }
}

/// Never more than reads were timed with, nor than a quarter of what is free, but for the first.
fn sizes(read: &[(u64, f64)]) -> Vec<u64> {
    let most = read.last().map_or(0, |(bytes, _)| *bytes);
    let most = memory::available_bytes().map_or(most, |bytes| most.min(bytes / 4));
    let bytes = WALKS_MIB.map(|mib| mib << 20);
    bytes.into_iter().filter(|size| *size <= most.max(bytes[0])).collect()
}

/// How long a round usually takes, seconds: a quarter of them are shorter. Other work on the
/// machine only ever makes them longer.
fn usual(mut round: impl FnMut() -> Result<()>) -> Result<f64> {
    // The first one wakes threads and makes room for what is needed.
    round()?;
    let started = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS_MIN || started.elapsed() < ROUNDS_TIME {
        let began = Instant::now();
        round()?;
        rounds.push(began.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    // A clock too coarse to see a round must not make an endless rate.
    Ok(rounds[rounds.len() / 4].max(1e-9))
}
