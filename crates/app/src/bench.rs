//! Speed as llama-bench defines it: prompt tokens in steps, then tokens one by one, at a depth; and
//! the most that this machine allows for the same steps.

use std::time::Instant;

use gguf::GgufFile;
use kernels_cpu::limits::{Arithmetic, BEYOND_CACHES_BYTES, ReadBuffer, arithmetic_rate};
use kernels_cpu::{Pool, variants};
use model::{CostModel, Model, StepCost, WindowTables};
use tensor::{Batch, Span};

use crate::loaded::STEP_TOKENS_MAX;
use crate::{BenchCase, BenchLimit, BenchResult, LoadOptions, Result, backends, loaded, memory};

/// Runs one case `repetitions` times after a warm-up that does not count. Each step's logits go to
/// `logits`.
pub(crate) fn run(
    model: &mut Model,
    logits: &mut Vec<f32>,
    case: BenchCase,
    repetitions: u32,
) -> Result<BenchResult> {
    let mut bench = Bench::new((model, logits), case);
    // The context before the measurement is the same every time, so it is computed once: each
    // repetition writes over the positions behind it.
    bench.steps(&reading(case, 0, case.n_depth))?;
    bench.steps(&warm_up(case))?;
    let measured = measured(case);
    let mut samples_s = Vec::new();
    for _ in 0..repetitions {
        let started = Instant::now();
        bench.steps(&measured)?;
        samples_s.push(started.elapsed().as_secs_f64());
    }
    let samples_ts = samples_s.iter().map(|seconds| tokens(case) / seconds).collect();
    Ok(BenchResult { case, samples_ts, samples_s })
}

/// For each case the rate that no program can pass on this machine: every step's weights and
/// context are read once at the rate that memory gives for as many bytes, or its operations are
/// done at the peak, whichever takes longer.
pub(crate) fn limits(
    file: &GgufFile,
    options: &LoadOptions,
    cases: &[BenchCase],
) -> Result<Vec<BenchLimit>> {
    let backend = backends::choose(options.backend.as_deref(), Some(1))?;
    let kv_format = loaded::kv_format(options.kv.as_deref(), backend.name())?;
    let cost = CostModel::new(file, kv_format)?;
    let machine = Machine::new(options.threads)?;
    let priced = |step: &Step| Priced {
        is_prompt: step.is_prompt,
        cost: cost.step(&step.spans(), step.output_rows.len()),
    };
    let costs_of = |case: &BenchCase| measured(*case).iter().map(priced).collect();
    let costs: Vec<Vec<Priced>> = cases.iter().map(costs_of).collect();
    let read_most = |steps: &Vec<Priced>| steps.iter().map(|step| step.cost.read_bytes).max();
    let sizes: Vec<u64> = costs.iter().map(|steps| read_most(steps).unwrap_or(0)).collect();
    let read_rates = machine.read_rates(&sizes)?;
    let limit = |((case, steps), read_rate): ((&BenchCase, &Vec<Priced>), &f64)| {
        let int8_rate = machine.int8_rate;
        let float_rate_of =
            |prompt: bool| if prompt { machine.prefill_rate } else { machine.float_rate };
        let seconds = steps.iter().map(|Priced { is_prompt, cost: step }| {
            let float_rate = float_rate_of(*is_prompt);
            let arithmetic = step.int8_ops as f64 / int8_rate + step.float_ops as f64 / float_rate;
            arithmetic.max(step.read_bytes as f64 / read_rate)
        });
        let limit_ts = tokens(*case) / seconds.sum::<f64>();
        let float_rate = float_rate_of(case.n_gen == 0);
        BenchLimit { limit_ts, read_rate: *read_rate, int8_rate, float_rate }
    };
    Ok(cases.iter().zip(&costs).zip(&read_rates).map(limit).collect())
}

/// A step and what it costs at least.
struct Priced {
    is_prompt: bool,
    cost: StepCost,
}

/// Sizes at which reads are timed, each half of the next: from 16 MiB to beyond the caches.
const READ_SIZES: u32 = 7;

/// What this machine can do at most, on all its threads.
pub(crate) struct MachineRates {
    pub(crate) threads: usize,
    /// Bytes that are read again and again, and how many per second then; the last is beyond any
    /// cache.
    pub(crate) read_rates: Vec<(u64, f64)>,
    /// Operations per second on bytes and on 32-bit floats.
    pub(crate) int8_rate: f64,
    pub(crate) float_rate: f64,
}

pub(crate) fn machine_rates() -> Result<MachineRates> {
    let machine = Machine::new(None)?;
    let sizes: Vec<u64> =
        (0..READ_SIZES).rev().map(|halvings| BEYOND_CACHES_BYTES as u64 >> halvings).collect();
    let read_rates = sizes.iter().copied().zip(machine.read_rates(&sizes)?).collect();
    let (int8_rate, float_rate) = (machine.int8_rate, machine.float_rate);
    Ok(MachineRates { threads: machine.pool.threads(), read_rates, int8_rate, float_rate })
}

/// What was measured of this machine, with the threads of the benchmark.
struct Machine {
    pool: Pool,
    variant: kernels_cpu::Variant,
    started: Instant,
    int8_rate: f64,
    float_rate: f64,
    /// Of floats of rows of prompts.
    prefill_rate: f64,
}

impl Machine {
    fn new(threads: Option<usize>) -> Result<Machine> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = Pool::new(threads.unwrap_or_else(cores));
        let variant = *variants().first().expect("there is always a portable variant");
        let started = Instant::now();
        let clock = || started.elapsed().as_secs_f64();
        let rate = |arithmetic| {
            arithmetic_rate(arithmetic, variant, &pool, &clock).expect("a variant listed runs")
        };
        let (int8_rate, float_rate) = (rate(Arithmetic::Int8), rate(Arithmetic::Float32));
        let prefill_rate = rate(Arithmetic::PrefillFloat);
        Ok(Machine { pool, variant, started, int8_rate, float_rate, prefill_rate })
    }

    /// Bytes per second when so many are read again and again.
    fn read_rates(&self, sizes: &[u64]) -> Result<Vec<f64>> {
        // A model that just fits must not be pushed out by what it is compared with.
        let most = memory::available_bytes().map_or(u64::MAX, |bytes| bytes / 4);
        let most = most.min(BEYOND_CACHES_BYTES as u64).max(1);
        let len = |size: u64| usize::try_from(size.min(most)).expect("at most a gibibyte");
        let largest = sizes.iter().copied().max().unwrap_or(0);
        let buffer = ReadBuffer::new(len(largest), &self.pool).map_err(model::Error::from)?;
        let clock = || self.started.elapsed().as_secs_f64();
        let rate = |size: &u64| {
            let rate = buffer.read_rate(len(*size), self.variant, &self.pool, &clock);
            rate.expect("a variant listed runs")
        };
        Ok(sizes.iter().map(rate).collect())
    }
}

/// Tokens that a case counts.
fn tokens(case: BenchCase) -> f64 {
    f64::from(case.n_sequences) * (f64::from(case.n_prompt) + f64::from(case.n_gen))
}

/// One forward step of a benchmark.
struct Step {
    /// `(sequence, first position, rows)`.
    parts: Vec<(usize, usize, usize)>,
    output_rows: Vec<u32>,
    is_prompt: bool,
}

impl Step {
    /// `(first position, rows)`.
    fn spans(&self) -> Vec<(usize, usize)> {
        self.parts.iter().map(|(_, first, rows)| (*first, *rows)).collect()
    }
}

/// What each repetition does: the prompts, then the tokens.
fn measured(case: BenchCase) -> Vec<Step> {
    let mut steps = reading(case, case.n_depth, case.n_prompt);
    steps.extend(making(case, case.n_depth + case.n_prompt, case.n_gen));
    steps
}

fn warm_up(case: BenchCase) -> Vec<Step> {
    let mut steps = reading(case, case.n_depth, case.n_prompt);
    steps.extend(making(case, case.n_depth, case.n_gen.min(1)));
    steps
}

/// Each sequence reads `count` tokens from position `first` on, with the last one's logits.
fn reading(case: BenchCase, first: u32, count: u32) -> Vec<Step> {
    let (first, count, rows_max) = (first as usize, count as usize, STEP_TOKENS_MAX as usize);
    let read = |sequence: usize| {
        (0..count).step_by(rows_max).map(move |start| {
            let rows = rows_max.min(count - start);
            let last = u32::try_from(rows - 1).expect("a step is short");
            let is_end = start + rows == count;
            let output_rows = if is_end { vec![last] } else { Vec::new() };
            Step { parts: vec![(sequence, first + start, rows)], output_rows, is_prompt: true }
        })
    };
    (0..case.n_sequences as usize).flat_map(read).collect()
}

/// All sequences make `count` tokens from position `first` on, one of each in a step.
fn making(case: BenchCase, first: u32, count: u32) -> Vec<Step> {
    let (first, count, n_sequences) = (first as usize, count as usize, case.n_sequences);
    let make = |i: usize| Step {
        parts: (0..n_sequences as usize).map(|sequence| (sequence, first + i, 1)).collect(),
        output_rows: (0..n_sequences).collect(),
        is_prompt: false,
    };
    (0..count).map(make).collect()
}

struct Bench<'a> {
    model: &'a mut Model,
    /// Of each sequence.
    pages: Vec<Vec<u32>>,
    windows: WindowTables,
    logits: &'a mut Vec<f32>,
}

impl<'a> Bench<'a> {
    fn new((model, logits): (&'a mut Model, &'a mut Vec<f32>), case: BenchCase) -> Bench<'a> {
        let positions = (case.n_depth + case.n_prompt + case.n_gen) as usize;
        let count = positions.div_ceil(model.kv_layout().page_len);
        let mut free = 0..;
        let pages = (0..case.n_sequences).map(|_| free.by_ref().take(count).collect()).collect();
        let windows = WindowTables::new(model);
        Bench { model, pages, windows, logits }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let vocab_len = self.model.spec().vocab;
        // Any tokens will do; these are spread over the vocabulary and the same every time.
        let token = |sequence: usize, position: usize| {
            let spread = (position * 7919 + sequence * 104_729) % vocab_len;
            u32::try_from(spread).expect("a token id")
        };
        let tokens = step.parts.iter().flat_map(|(sequence, first, rows)| {
            (*first..first + rows).map(|position| token(*sequence, position))
        });
        let tokens: Vec<u32> = tokens.collect();
        let span = |(sequence, first_position, rows): &(usize, usize, usize)| Span {
            rows: *rows,
            first_position: *first_position,
            pages: &self.pages[*sequence],
            state: *sequence,
        };
        let spans: Vec<Span<'_>> = step.parts.iter().map(span).collect();
        let of_kind = if step.is_prompt { Batch::prefill } else { Batch::decode };
        let batch = of_kind(&tokens, &spans);
        let out = (&*step.output_rows, &mut *self.logits);
        self.windows.forward(self.model, &batch, out)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{measured, reading, tokens};
    use crate::BenchCase;

    #[test]
    fn sequences_read_one_after_the_other_and_make_together() {
        let case = BenchCase { n_prompt: 513, n_gen: 2, n_depth: 7, n_sequences: 2 };
        let steps = measured(case);
        let parts: Vec<_> = steps.iter().map(|step| &*step.parts).collect();
        let read = [(0, 7, 512), (0, 519, 1), (1, 7, 512), (1, 519, 1)];
        let made = [[(0, 520, 1), (1, 520, 1)], [(0, 521, 1), (1, 521, 1)]];
        let expected = read.iter().map(std::slice::from_ref).chain(made.iter().map(|m| &m[..]));
        assert_eq!(parts, expected.collect::<Vec<_>>());
        let outputs: Vec<_> = steps.iter().map(|step| &*step.output_rows).collect();
        assert_eq!(outputs, [&[][..], &[0], &[], &[0], &[0, 1], &[0, 1]]);
        assert_eq!((tokens(case), reading(case, 0, 0).len()), (1030.0, 0));
    }
}
