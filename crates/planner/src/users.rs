//! How many people a machine serves at once: a simulation of requests that come at random moments,
//! as they do (an open loop), and are computed in the steps that hob's scheduler makes.
//!
//! Entry point: [`most`]. The costs of a step come from [`crate::Predictor`]; lengths of requests
//! are those of people who talked with a service ([`trace`]). Everything is drawn from one seed.
//! Nothing is simulated step by step but prompts: as long as nobody comes or ends, steps are alike.

mod simulation;
mod trace;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::machine::Machine;
use crate::memory::STEP_ROWS;
use crate::plan::{INTERACTIVE_TPS, Knowledge, Wish, memory};
use crate::speed::{Demand, Predictor};
use crate::subject::Subject;

pub use simulation::simulate;

/// The first token comes within this, of 95 in 100 requests, seconds.
pub const FIRST_TOKEN_S: f64 = 5.0;

/// From one request of a person to the next, on average, seconds: an answer of the trace, 211
/// tokens, is read in 40 s (238 words a minute, M. Brysbaert 2019, and 0.75 words a token), and the
/// next question takes a while to think and type.
pub const REQUEST_GAP_S: f64 = 60.0;

/// People that are tried at most.
pub const USERS_MAX: u32 = 64;

/// What steps cost on a machine, each conversation as deep as its context.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// Seconds of a step that writes a token of one conversation, of two, and so on.
    pub steps_s: Vec<f64>,
    /// Seconds of one more token of a prompt in a step; 0 where that is not known.
    pub prompt_s: f64,
    /// Positions of each conversation.
    pub context: u64,
}

/// How long people wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Waits {
    /// From sending a request to its first token, seconds.
    pub first_token_s: Percentiles,
    /// From one token to the next, seconds: longer while somebody else's prompt is read.
    pub between_s: Percentiles,
    /// The same, as the mean of each answer.
    pub answer_s: Percentiles,
    /// Requests that were answered, per second.
    pub requests_per_s: f64,
}

/// Of many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are shorter.
    pub p50: f64,
    /// 95 of 100 are shorter.
    pub p95: f64,
}

/// What keeps one more person out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// There is no memory for another conversation.
    Memory,
    /// The first token would come late.
    FirstToken,
    /// Answers would be written slower than they are read.
    Rate,
    /// No more are tried.
    Tried,
}

/// People at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtOnce {
    /// How many; each has a conversation in memory and asks every [`REQUEST_GAP_S`] seconds.
    pub users: u32,
    /// Why no more.
    pub limit: Limit,
    /// How long they wait; none of nobody.
    pub waits: Option<Waits>,
}

impl Costs {
    /// Of a model on a machine.
    #[must_use]
    pub fn new(predictor: &Predictor<'_>, demand: &Demand, context: u64) -> Costs {
        let step_s = |users| 1.0 / predictor.decode(demand, context, users).tps;
        let prompt = predictor.prefill(demand, context, 0);
        Costs {
            steps_s: (1..=USERS_MAX).map(step_s).collect(),
            prompt_s: prompt.map_or(0.0, |estimate| 1.0 / estimate.tps),
            context,
        }
    }

    /// Seconds of a step that writes for so many and reads so many tokens of prompts.
    fn step_s(&self, writing: usize, reading: u64) -> f64 {
        let read_s = reading as f64 * self.prompt_s;
        match writing.checked_sub(1) {
            Some(at) => self.steps_s[at] + read_s,
            // Weights are read once, however short the prompt.
            None => read_s.max(self.steps_s[0]),
        }
    }
}

impl Waits {
    /// What of the target is missed.
    fn missed(&self) -> Option<Limit> {
        if self.first_token_s.p95 > FIRST_TOKEN_S {
            Some(Limit::FirstToken)
        } else if self.answer_s.p95 > 1.0 / INTERACTIVE_TPS {
            Some(Limit::Rate)
        } else {
            None
        }
    }
}

/// The most people for whom the first token comes within [`FIRST_TOKEN_S`] and answers are written
/// at [`INTERACTIVE_TPS`] and more, 95 times in 100; with one more of them, one of that fails or
/// `fits` says that the memory does not hold so many conversations.
#[must_use]
pub fn most(costs: &Costs, fits: impl Fn(u32) -> bool) -> AtOnce {
    let tried = u32::try_from(costs.steps_s.len()).unwrap_or(USERS_MAX).min(USERS_MAX);
    let mut answer = AtOnce { users: 0, limit: Limit::Tried, waits: None };
    let mut most = tried;
    while answer.users < most {
        let middle = (answer.users + most).div_ceil(2);
        let missed = if fits(middle) {
            let waits = simulate(costs, middle);
            let missed = waits.missed();
            if missed.is_none() {
                answer = AtOnce { users: middle, waits: Some(waits), ..answer };
            }
            missed
        } else {
            Some(Limit::Memory)
        };
        if let Some(limit) = missed {
            most = middle - 1;
            answer.limit = limit;
        }
    }
    answer
}

/// People whom a model serves on a machine with contexts, keys and values as wished for. About a
/// millisecond: for a verdict that is shown, not for each of thousands that are compared.
#[must_use]
pub fn at_once(
    subject: &Subject,
    machine: &Machine,
    wish: &Wish,
    knowledge: &Knowledge<'_>,
) -> AtOnce {
    let weights = subject.weights(wish.quantisation);
    let demand = Demand::new(&subject.facts, &weights, wish.kv);
    let predictor = Predictor::new(knowledge.coefficients, machine, wish.engine)
        .calibrated(knowledge.calibration.clone());
    most(&Costs::new(&predictor, &demand, wish.context), |users| {
        let load = (u64::from(users), wish.context, wish.kv);
        let memory = memory(subject, &weights, machine, load);
        memory.total_bytes <= memory.available_bytes
    })
}

/// Tokens of prompts that a step has room for beside so many that write.
fn room(writing: usize) -> u64 {
    STEP_ROWS.saturating_sub(writing as u64).max(1)
}
