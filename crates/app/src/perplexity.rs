//! Perplexity as llama.cpp defines it: chunks of the context's length, the second half scored.

use model::{Model, WindowTables};
use tensor::{Batch, Span};

use crate::{Error, ErrorKind, KlReport, PerplexityReport, Result};

/// Rows computed at once: few, because each that is scored has logits as wide as the vocabulary.
const ROWS: usize = 64;

/// What is scored, and how it is cut.
pub(crate) struct Text<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) chunk_len: usize,
    /// Replaces each chunk's first token, when the model wants one.
    pub(crate) bos: Option<u32>,
}

/// Sums over the tokens scored so far.
#[derive(Default)]
struct Sums {
    negative_log_likelihood: f64,
    squares: f64,
    count: usize,
}

/// What is collected beside a base.
#[derive(Default)]
struct Distance {
    base: Sums,
    /// Of each token scored.
    divergences: Vec<f64>,
    agreed: usize,
}

/// Scores the text, and where there is a `base` the distance from it too.
/// `progress(chunk, of, running perplexity)`.
pub(crate) fn run(
    model: &mut Model,
    mut base: Option<&mut Model>,
    text: &Text<'_>,
    progress: &mut dyn FnMut(usize, usize, f64),
) -> Result<PerplexityReport> {
    let chunks = text.tokens.len() / text.chunk_len;
    if chunks < 2 {
        let message = format!(
            "the text has {} tokens and two chunks of {} are the least: give more text or a \
             smaller -c",
            text.tokens.len(),
            text.chunk_len
        );
        return Err(Error::new(ErrorKind::BadRequest, message));
    }
    let (mut sums, mut distance) = (Sums::default(), Distance::default());
    for (chunk, part) in text.tokens.chunks_exact(text.chunk_len).enumerate() {
        let mut part = part.to_vec();
        if let Some(bos) = text.bos {
            part[0] = bos;
        }
        score_chunk(model, base.as_deref_mut(), &part, (&mut sums, &mut distance))?;
        progress(chunk + 1, chunks, sums.perplexity().0);
    }
    let (perplexity, error) = sums.perplexity();
    let kl = base.map(|_| distance.report());
    Ok(PerplexityReport { perplexity, error, chunks, tokens_scored: sums.count, kl })
}

fn score_chunk(
    model: &mut Model,
    mut base: Option<&mut Model>,
    tokens: &[u32],
    (sums, distance): (&mut Sums, &mut Distance),
) -> Result<()> {
    let half = tokens.len() / 2;
    let (mut logits, mut base_logits) = (Vec::new(), Vec::new());
    let vocab_len = model.spec().vocab;
    let mut tables = WindowTables::new(model);
    let mut base_tables = base.as_deref().map(WindowTables::new);
    for first in (0..tokens.len()).step_by(ROWS) {
        let end = tokens.len().min(first + ROWS);
        // Row j predicts token j + 1; the last row of the chunk has nothing to predict.
        let scored: Vec<usize> = (first.max(half)..end.min(tokens.len() - 1)).collect();
        step((model, &mut tables), &tokens[first..end], (first, &scored), &mut logits)?;
        if let Some(base) = base.as_deref_mut().zip(base_tables.as_mut()) {
            step(base, &tokens[first..end], (first, &scored), &mut base_logits)?;
        }
        for (i, j) in scored.into_iter().enumerate() {
            let row = &logits[i * vocab_len..][..vocab_len];
            let token = tokens[j + 1] as usize;
            sums.add(-log_softmax(row, token));
            if base.is_some() {
                distance.add(&base_logits[i * vocab_len..][..vocab_len], row, token);
            }
        }
    }
    Ok(())
}

/// Logits of the rows `scored` of a chunk, of which these tokens begin at `first`.
fn step(
    (model, tables): (&mut Model, &mut WindowTables),
    tokens: &[u32],
    (first, scored): (usize, &[usize]),
    logits: &mut Vec<f32>,
) -> Result<()> {
    let page_len = model.kv_layout().page_len;
    let pages: Vec<u32> = (0..).take((first + tokens.len()).div_ceil(page_len)).collect();
    let row = |j: &usize| u32::try_from(j - first).expect("a step is short");
    let rows: Vec<u32> = scored.iter().map(row).collect();
    let spans = [Span { rows: tokens.len(), first_position: first, pages: &pages, state: 0 }];
    tables.forward(model, &Batch::prefill(tokens, &spans), (&rows, logits))?;
    Ok(())
}

impl Sums {
    fn add(&mut self, loss: f64) {
        self.negative_log_likelihood += loss;
        self.squares += loss * loss;
        self.count += 1;
    }

    /// exp of the mean, and its standard error.
    fn perplexity(&self) -> (f64, f64) {
        let count = self.count as f64;
        let mean = self.negative_log_likelihood / count;
        let variance = (self.squares / count - mean * mean).max(0.0);
        (mean.exp(), (variance / (count - 1.0)).sqrt() * mean.exp())
    }
}

impl Distance {
    fn add(&mut self, base: &[f32], found: &[f32], token: usize) {
        self.base.add(-log_softmax(base, token));
        self.divergences.push(divergence(base, found));
        self.agreed += usize::from(best(base) == best(found));
    }

    fn report(mut self) -> KlReport {
        self.divergences.sort_by(f64::total_cmp);
        let count = self.divergences.len();
        let at = |share: f64| self.divergences[((count - 1) as f64 * share).round() as usize];
        KlReport {
            base_perplexity: self.base.perplexity().0,
            mean: self.divergences.iter().sum::<f64>() / count as f64,
            median: at(0.5),
            percentile_99: at(0.99),
            highest: at(1.0),
            top_1: self.agreed as f64 / count as f64,
        }
    }
}

/// `sum of p * ln(p / q)`, p of `base` and q of `found`, both logits.
/// Source: Kullback and Leibler 1951, doi 10.1214/aoms/1177729694.
fn divergence(base: &[f32], found: &[f32]) -> f64 {
    let (base_log, found_log) = (log_sum(base), log_sum(found));
    let term = |(base, found): (&f32, &f32)| {
        let log_p = f64::from(*base) - base_log;
        let p = log_p.exp();
        // What the base rules out adds nothing.
        if p > 0.0 { p * (log_p - (f64::from(*found) - found_log)) } else { 0.0 }
    };
    base.iter().zip(found).map(term).sum()
}

/// `ln(sum(exp(logits)))`.
fn log_sum(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + logits.iter().map(|logit| f64::from(logit - max).exp()).sum::<f64>().ln()
}

fn best(logits: &[f32]) -> usize {
    let better = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1);
    logits.iter().enumerate().max_by(better).map_or(0, |(index, _)| index)
}

/// Natural logarithm of the probability of `token`.
pub(crate) fn log_softmax(logits: &[f32], token: usize) -> f64 {
    f64::from(logits[token]) - log_sum(logits)
}

#[cfg(test)]
mod tests {
    use super::{Distance, divergence, log_softmax};

    #[test]
    fn log_softmax_of_known_odds() {
        let logits = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        assert!((log_softmax(&logits, 1) - 0.75_f64.ln()).abs() < 1e-7);
        assert!((log_softmax(&logits, 0) - 0.25_f64.ln()).abs() < 1e-7);
    }

    #[test]
    fn divergence_of_known_odds() {
        let (ln3, none) = (3.0_f32.ln(), f32::NEG_INFINITY);
        // p is 1/4 and 3/4, q is 1/2 and 1/2: ln 2 - (ln 4 - 3/4 ln 3).
        let wanted = 0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln();
        assert!((divergence(&[0.0, ln3, none], &[7.0, 7.0, none]) - wanted).abs() < 1e-7);
        // What the base rules out may be anything.
        assert!((divergence(&[0.0, none], &[0.0, 0.0]) - 2.0_f64.ln()).abs() < 1e-12);
        assert!(divergence(&[1.0, 2.0], &[11.0, 12.0]).abs() < 1e-12);
    }

    #[test]
    fn a_distance_is_counted_and_ordered() {
        let mut distance = Distance::default();
        let ln3 = 3.0_f32.ln();
        for found in [[0.0, ln3], [ln3, 0.0], [0.0, ln3], [0.0, ln3]] {
            distance.add(&[0.0, ln3], &found, 1);
        }
        let report = distance.report();
        let highest = 0.5 * 3.0_f64.ln();
        assert_eq!((report.top_1, report.median), (0.75, 0.0));
        assert!((report.highest - highest).abs() < 1e-7 && report.percentile_99 == report.highest);
        assert!((report.mean - highest / 4.0).abs() < 1e-7);
        assert!((report.base_perplexity - 4.0 / 3.0).abs() < 1e-7);
    }
}
