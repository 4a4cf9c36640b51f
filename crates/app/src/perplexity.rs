//! Perplexity as llama.cpp defines it: chunks of the context's length, the second half scored.

use model::Model;
use tensor::{Batch, Span};

use crate::{Error, ErrorKind, PerplexityReport, Result};

/// Sums over the tokens scored so far.
#[derive(Default)]
struct Sums {
    negative_log_likelihood: f64,
    squares: f64,
    count: usize,
}

/// Scores `tokens` in chunks of `chunk_len`; a start token replaces each chunk's first when the
/// model wants one. `progress(chunk, of, running perplexity)`.
pub(crate) fn run(
    model: &mut Model,
    tokens: &[u32],
    chunk_len: usize,
    bos: Option<u32>,
    progress: &mut dyn FnMut(usize, usize, f64),
) -> Result<PerplexityReport> {
    let chunks = tokens.len() / chunk_len;
    if chunks < 2 {
        let message = format!(
            "the text has {} tokens and two chunks of {chunk_len} are the least: give more text or \
             a smaller -c",
            tokens.len()
        );
        return Err(Error::new(ErrorKind::BadRequest, message));
    }
    let mut sums = Sums::default();
    for chunk in 0..chunks {
        let mut part = tokens[chunk * chunk_len..(chunk + 1) * chunk_len].to_vec();
        if let Some(bos) = bos {
            part[0] = bos;
        }
        score_chunk(model, &part, &mut sums)?;
        progress(chunk + 1, chunks, (sums.negative_log_likelihood / sums.count as f64).exp());
    }
    let mean = sums.negative_log_likelihood / sums.count as f64;
    let variance = (sums.squares / sums.count as f64 - mean * mean).max(0.0);
    let perplexity = mean.exp();
    let error = (variance / (sums.count as f64 - 1.0)).sqrt() * perplexity;
    Ok(PerplexityReport { perplexity, error, chunks, tokens_scored: sums.count })
}

fn score_chunk(model: &mut Model, tokens: &[u32], sums: &mut Sums) -> Result<()> {
    let first = tokens.len() / 2;
    let mut logits = Vec::new();
    let vocab_len = model.spec().vocab;
    let page_len = model.kv_layout().page_len;
    let pages: Vec<u32> = (0..).take(tokens.len().div_ceil(page_len)).collect();
    for start in (0..tokens.len()).step_by(model.rows_max()) {
        let end = tokens.len().min(start + model.rows_max());
        // Row j predicts token j + 1; the last row of the chunk has nothing to predict.
        let scored: Vec<usize> = (start.max(first)..end.min(tokens.len() - 1)).collect();
        let rows: Vec<u32> =
            scored.iter().map(|j| u32::try_from(j - start).expect("a step is short")).collect();
        let spans = [Span { rows: end - start, first_position: start, pages: &pages, state: 0 }];
        let batch = Batch { tokens: &tokens[start..end], spans: &spans };
        model.forward(&batch, &rows, &mut logits)?;
        for (row, j) in logits.chunks_exact(vocab_len).zip(scored) {
            let loss = -log_softmax(row, tokens[j + 1] as usize);
            sums.negative_log_likelihood += loss;
            sums.squares += loss * loss;
            sums.count += 1;
        }
    }
    Ok(())
}

/// Natural logarithm of the probability of `token`.
pub(crate) fn log_softmax(logits: &[f32], token: usize) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    f64::from(logits[token] - max) - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::log_softmax;

    #[test]
    fn log_softmax_of_known_odds() {
        let logits = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        assert!((log_softmax(&logits, 1) - 0.75_f64.ln()).abs() < 1e-7);
        assert!((log_softmax(&logits, 0) - 0.25_f64.ln()).abs() < 1e-7);
    }
}
