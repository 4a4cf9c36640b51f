//! Log-probabilities of the model itself: before bias, penalties and temperature, as OpenAI and
//! vLLM tell them.

use super::candidates::{Candidates, weight};

/// Log-probability of a chosen token, and the most likely ones.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Natural logarithm; negative infinity when the model ruled the token out.
    pub logprob: f32,
    /// The most likely tokens and their log-probabilities, best first.
    pub top: Vec<(u32, f32)>,
}

/// The logits as the model gave them, kept while the chain works on its own.
#[derive(Debug, Default)]
pub(crate) struct RawLogits {
    logits: Vec<f32>,
    best: Candidates,
}

impl RawLogits {
    pub(crate) fn keep(&mut self, logits: &[f32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
    }

    pub(crate) fn of(&mut self, token: u32, top: usize) -> TokenLogprob {
        self.best.fill(&self.logits, top.max(1));
        let max = self.best.logit_max();
        let open = self.logits.iter().filter(|logit| **logit > f32::NEG_INFINITY);
        let total: f64 = open.map(|logit| weight(logit.min(f32::MAX), max)).sum();
        let log_total = f64::from(max) + total.ln();
        let logprob = |logit: f32| (f64::from(logit) - log_total) as f32;
        let chosen = self.logits.get(token as usize).copied();
        let chosen = chosen.filter(|logit| *logit > f32::NEG_INFINITY);
        let best = self.best.best(top).iter();
        TokenLogprob {
            logprob: chosen.map_or(f32::NEG_INFINITY, |logit| logprob(logit.min(f32::MAX))),
            top: best.map(|candidate| (candidate.id, logprob(candidate.logit))).collect(),
        }
    }
}
