//! Speed as llama-bench defines it: prompt tokens in steps, then tokens one by one, at a depth.

use std::time::Instant;

use model::Model;
use tensor::{Batch, Span};

use crate::{BenchCase, BenchResult, Result};

/// Runs one case `repetitions` times after a warm-up that does not count.
pub(crate) fn run(model: &mut Model, case: BenchCase, repetitions: u32) -> Result<BenchResult> {
    let mut bench = Bench::new(model, case);
    // The context before the measurement is the same every time, so it is computed once: each
    // repetition writes over the positions behind it.
    bench.read(0, case.n_depth as usize)?;
    bench.warm_up()?;
    let mut samples_s = Vec::new();
    for _ in 0..repetitions {
        let started = Instant::now();
        bench.read(case.n_depth as usize, case.n_prompt as usize)?;
        bench.make((case.n_depth + case.n_prompt) as usize, case.n_gen as usize)?;
        samples_s.push(started.elapsed().as_secs_f64());
    }
    let tokens = f64::from(case.n_prompt + case.n_gen);
    let samples_ts = samples_s.iter().map(|seconds| tokens / seconds).collect();
    Ok(BenchResult { case, samples_ts, samples_s })
}

struct Bench<'a> {
    model: &'a mut Model,
    case: BenchCase,
    pages: Vec<u32>,
    logits: Vec<f32>,
}

impl Bench<'_> {
    fn new(model: &mut Model, case: BenchCase) -> Bench<'_> {
        let tokens = (case.n_depth + case.n_prompt + case.n_gen) as usize;
        let pages = (0..).take(tokens.div_ceil(model.kv_layout().page_len)).collect();
        Bench { model, case, pages, logits: Vec::new() }
    }

    fn warm_up(&mut self) -> Result<()> {
        let depth = self.case.n_depth as usize;
        if self.case.n_prompt > 0 {
            self.read(depth, self.case.n_prompt as usize)?;
        }
        self.make(depth, self.case.n_gen.min(1) as usize)
    }

    /// Reads `count` tokens from position `first` on, in steps, with the last one's logits.
    fn read(&mut self, first: usize, count: usize) -> Result<()> {
        let rows_max = self.model.rows_max();
        for start in (0..count).step_by(rows_max) {
            let rows = rows_max.min(count - start);
            let last = u32::try_from(rows - 1).expect("a step is short");
            let is_end = start + rows == count;
            self.step(first + start, rows, &[last][..usize::from(is_end)])?;
        }
        Ok(())
    }

    /// Makes `count` tokens one by one.
    fn make(&mut self, first: usize, count: usize) -> Result<()> {
        (0..count).try_for_each(|i| self.step(first + i, 1, &[0]))
    }

    fn step(&mut self, first: usize, rows: usize, output_rows: &[u32]) -> Result<()> {
        let vocab_len = self.model.spec().vocab;
        // Any tokens will do; these are spread over the vocabulary and the same every time.
        let tokens: Vec<u32> = (first..first + rows)
            .map(|position| u32::try_from(position * 7919 % vocab_len).expect("a token id"))
            .collect();
        let spans = [Span { rows, first_position: first, pages: &self.pages }];
        let batch = Batch { tokens: &tokens, spans: &spans };
        self.model.forward(&batch, output_rows, &mut self.logits)?;
        Ok(())
    }
}
