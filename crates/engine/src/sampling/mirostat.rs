//! Mirostat (Basu et al. 2020, arXiv 2007.14966): keeps the surprise of what is chosen near a
//! target, in bits, by moving the limit on surprise after each token.

use super::candidates::Candidates;
use super::params::{Mirostat, SamplingParams};
use super::rng::Rng;

/// Tokens that version 1 estimates the Zipf exponent from.
const ZIPF_TOKENS: usize = 100;

/// The limit on surprise, in bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(f64);

impl Limit {
    pub(crate) fn new(params: &SamplingParams) -> Limit {
        Limit(2.0 * f64::from(params.mirostat_tau))
    }

    /// Narrows the choice, chooses, and learns. None when there is nothing to choose.
    pub(crate) fn choose(
        &mut self,
        candidates: &mut Candidates,
        params: &SamplingParams,
        vocab_len: usize,
        rng: &mut Rng,
    ) -> Option<u32> {
        match params.mirostat {
            Mirostat::V1 => {
                let kept = self.kept_by_rank(candidates, vocab_len);
                candidates.truncate(kept);
            }
            Mirostat::Off | Mirostat::V2 => self.drop_surprising(candidates),
        }
        let place = candidates.draw(rng)?;
        let observed = -candidates.probabilities()[place].log2();
        let error = observed - f64::from(params.mirostat_tau);
        self.0 -= f64::from(params.mirostat_eta) * error;
        Some(candidates.items()[place].id)
    }

    /// Version 1: how many tokens have at most this surprise if ranks follow Zipf's law with the
    /// exponent that fits the best tokens.
    fn kept_by_rank(self, candidates: &mut Candidates, vocab_len: usize) -> usize {
        let best = candidates.best(ZIPF_TOKENS);
        let (mut products, mut squares) = (0.0, 0.0);
        for (rank, pair) in (1_u32..).zip(best.windows(2)) {
            let rank_ratio = (f64::from(rank + 1) / f64::from(rank)).ln();
            products += rank_ratio * (f64::from(pair[0].logit) - f64::from(pair[1].logit));
            squares += rank_ratio * rank_ratio;
        }
        if squares == 0.0 {
            return best.len().max(1);
        }
        let exponent = products / squares;
        let excess = exponent - 1.0;
        let spread = 1.0 - (vocab_len as f64).powf(-excess);
        let kept = (excess * self.0.exp2() / spread).powf(exponent.recip()).round();
        // At an exponent of 1 or 0 the formula has no value: then nothing is dropped.
        if kept.is_nan() { candidates.len() } else { (kept as usize).max(1) }
    }

    /// Version 2: drops what is more surprising than the limit.
    fn drop_surprising(self, candidates: &mut Candidates) {
        if candidates.is_empty() {
            return;
        }
        // -log2(p) <= limit, in logits: logit >= max + ln(total) - limit * ln(2).
        let max = candidates.logit_max();
        let least = candidates.weight_total().ln() - self.0 * std::f64::consts::LN_2;
        let logit_min = f64::from(max) + least;
        // Even when all are too surprising, the most likely stays.
        candidates.keep_from(if least >= 0.0 { max } else { logit_min as f32 });
    }
}
