//! Loads a model and has it do what a plan promised of it.

use std::collections::HashSet;

use engine::sampling::{Sampler, SamplingParams};
use gguf::GgufFile;
use tokenizer::Specials;

use super::{Loaded, PlannedModel, SPECULATED_ROWS};
use crate::loaded::Parts;
use crate::{App, BenchCase, Error, ErrorKind, LoadOptions, Result, bench, loaded, memory, open};

/// Tokens that are written and read to verify a plan, and how often.
const VERIFY_TOKENS: u32 = 32;
const VERIFY_PROMPT: u32 = 512;
const VERIFY_REPETITIONS: u32 = 3;

/// What a model did, for comparison with its plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reality {
    /// Memory of this process with the context full, where the system says it.
    pub resident_bytes: Option<u64>,
    /// Tokens per second that each conversation got at the end of its context.
    pub decode_tps: f64,
    /// Tokens of a prompt per second, at the end of the context.
    pub prefill_tps: f64,
}

impl App {
    /// Loads a model that is here, fills the options' context and measures what a plan promised.
    ///
    /// # Errors
    /// As [`App::load`]; when the model is not here.
    pub fn verify(&self, model: &PlannedModel, options: &LoadOptions) -> Result<Reality> {
        let Some(here) = &model.here else {
            let message = format!("{} is not here: pull it, then verify", model.subject.facts.name);
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let file = open::stretched(GgufFile::open(&here.path)?, options)?;
        let mut parts = loaded::load_parts(&here.name, &file, options, &mut |_, _| {})?;
        let (context, users) = (parts.context_len, parts.sequences_max);
        // An engine holds these as long as it lives.
        let mut logits = largest_step(&mut parts.model, context, users)?;
        let samplers = drawn(&parts, &mut logits);
        let written = VERIFY_TOKENS.min(context / 2).max(1);
        let read = context.saturating_sub(written);
        let case =
            |n_prompt, n_gen, n_depth| BenchCase { n_prompt, n_gen, n_depth, n_sequences: users };
        let best = |result: crate::BenchResult| result.samples_ts.into_iter().fold(0.0, f64::max);
        let mut measured =
            |case| bench::run(&mut parts.model, &mut logits, case, VERIFY_REPETITIONS);
        let decode = measured(case(0, written, read))?;
        let resident_bytes = memory::resident_bytes();
        drop(samplers);
        let few = read.clamp(1, VERIFY_PROMPT);
        let before = read.saturating_sub(few);
        let prefill = measured(case(few, 0, before))?;
        let total = best(decode);
        if let Some(bytes) = resident_bytes {
            self.note_load(here, options, (Loaded::Everything, bytes))?;
        }
        Ok(Reality {
            resident_bytes,
            decode_tps: total / f64::from(users),
            prefill_tps: best(prefill),
        })
    }
}

/// Runs the largest step that so many conversations can ask for, with as many logits as a draft
/// asks for, so that all its rows are touched. Gives the logits.
fn largest_step(model: &mut model::Model, context: u32, users: u32) -> Result<Vec<f32>> {
    let page_len = model.kv_layout().page_len;
    let context = context as usize;
    let pages_each = context.div_ceil(page_len);
    let mut free = 0_u32..;
    let pages: Vec<Vec<u32>> =
        (0..users).map(|_| free.by_ref().take(pages_each).collect()).collect();
    let mut left = loaded::STEP_TOKENS_MAX as usize;
    let mut spans = Vec::new();
    for (state, pages) in pages.iter().enumerate() {
        let rows = context.min(left);
        left -= rows;
        if rows > 0 {
            spans.push(tensor::Span { rows, first_position: 0, pages, state });
        }
    }
    let tokens = vec![0; loaded::STEP_TOKENS_MAX as usize - left];
    let rows = tokens.len().min(spans.len().max(SPECULATED_ROWS));
    let rows: Vec<u32> = (0_u32..).take(rows).collect();
    let batch = tensor::Batch::prefill(&tokens, &spans);
    let mut logits = Vec::new();
    model::WindowTables::new(model).forward(model, &batch, (&rows, &mut logits))?;
    Ok(logits)
}

/// A sampler of each conversation that has drawn among all tokens and told how likely its choice
/// was, after the tokenizer has read a text: a running engine keeps what both work in.
fn drawn(parts: &Parts, logits: &mut [f32]) -> Vec<Sampler> {
    drop(parts.tokenizer.encode("a", Specials::Plain));
    let any = SamplingParams::default();
    let params = SamplingParams { top_k: 0, seed: Some(0), logprobs: Some(0), ..any };
    let vocab = parts.model.spec().vocab;
    let rows = (logits.len() / vocab).max(1);
    let sampler = |conversation: usize| {
        let mut sampler = Sampler::new(&params, HashSet::new());
        if let Some(logits) = logits.chunks_exact_mut(vocab).nth(conversation % rows) {
            sampler.sample(logits, &[], None);
        }
        sampler
    };
    (0..parts.sequences_max as usize).map(sampler).collect()
}
