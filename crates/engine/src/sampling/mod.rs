//! From logits to a token: the parameters a caller may set and the chain that applies them.
//!
//! The order is llama.cpp's: bias, penalties, DRY; then the grammar's mask, and top-k, typical,
//! top-p, min-p, XTC and temperature, or temperature and Mirostat; then the draw. What is chosen
//! depends on the parameters, the seed, the logits and the history, and on nothing else.

mod candidates;
mod dry;
mod filters;
mod logprobs;
mod mirostat;
mod params;
mod penalties;
mod rng;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::HashSet;

use candidates::Candidates;
use grammar::Mask;
use logprobs::RawLogits;
use rng::Rng;

pub use logprobs::TokenLogprob;
pub use params::{Dry, Mirostat, SamplingParams};
pub use validate::ParamsError;

/// Chooses the tokens of one request.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    breakers: HashSet<u32>,
    rng: Rng,
    surprise_limit: mirostat::Limit,
    candidates: Candidates,
    raw: RawLogits,
}

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// When the parameters ask for it.
    pub logprob: Option<TokenLogprob>,
}

impl Sampler {
    /// A sampler with valid parameters (see [`SamplingParams::validate`]). `breakers` are the
    /// tokens whose text holds one of DRY's sequence breakers.
    #[must_use]
    pub fn new(params: &SamplingParams, breakers: HashSet<u32>) -> Sampler {
        Sampler {
            params: params.clone(),
            breakers,
            rng: Rng::new(params.seed),
            surprise_limit: mirostat::Limit::new(params),
            candidates: Candidates::default(),
            raw: RawLogits::default(),
        }
    }

    /// Chooses the token after `history` (prompt and answer so far) by `logits` of shape
    /// `[vocab]`, which serve as scratch space.
    ///
    /// A NaN counts as negative infinity: the token is not chosen. When all are, the answer is
    /// token 0: a model so broken is for its caller to notice, not for the sampler to crash on.
    ///
    /// What the `mask` does not allow is taken out before anything is chosen. Token 0 is the answer
    /// too where the logits leave nothing of it.
    pub fn sample(&mut self, logits: &mut [f32], history: &[u32], mask: Option<&Mask>) -> Sampled {
        let top = self.params.logprobs;
        if top.is_some() {
            self.raw.keep(logits);
        }
        self.adjust(logits, history);
        if let Some(mask) = mask {
            mask.apply(logits);
        }
        let token = self.choose(logits);
        Sampled { token, logprob: top.map(|top| self.raw.of(token, top as usize)) }
    }

    /// The likeliest token after `history` once bias and penalties are in `logits`; nothing is
    /// drawn, and no later draw depends on it.
    #[must_use]
    pub fn guess(&self, logits: &mut [f32], history: &[u32]) -> u32 {
        self.adjust(logits, history);
        candidates::most_likely(logits)
    }

    fn adjust(&self, logits: &mut [f32], history: &[u32]) {
        penalties::bias(logits, &self.params.logit_bias);
        penalties::penalize(logits, history, &self.params);
        dry::dry(logits, history, &self.params.dry, &self.breakers);
    }

    fn choose(&mut self, logits: &[f32]) -> u32 {
        let params = &self.params;
        if params.temperature <= 0.0 {
            return candidates::most_likely(logits);
        }
        let candidates = &mut self.candidates;
        if params.mirostat != Mirostat::Off {
            candidates.fill(logits, 0);
            candidates.heat(params.temperature);
            let limit = &mut self.surprise_limit;
            return limit.choose(candidates, params, logits.len(), &mut self.rng).unwrap_or(0);
        }
        candidates.fill(logits, params.top_k as usize);
        filters::typical(candidates, params.typical_p);
        filters::top_p(candidates, params.top_p);
        filters::min_p(candidates, params.min_p);
        filters::xtc(candidates, params.xtc_probability, params.xtc_threshold, &mut self.rng);
        candidates.heat(params.temperature);
        let place = candidates.draw(&mut self.rng);
        place.map_or(0, |place| candidates.items()[place].id)
    }
}
