//! Speculative decoding: drafts of what an answer says next, and whether computing them pays.
//!
//! A draft is what stood in the conversation before: after the same few tokens the same may follow
//! (prompt lookup; Saxena 2023). It may also be what the asker predicts, or what a smaller model
//! says (Leviathan 2022). The model computes the known token and the draft in one step, and each
//! token is drawn as it would be without, so that answers are the same with and without.

mod choose;
mod drafter;
mod lookup;
mod pace;
mod prediction;
mod turn;

use scheduler::DRAFT_TOKENS_MAX;

pub(crate) use drafter::{Ahead, Drafter};
pub use drafter::{can_draft, draft_pages};
pub(crate) use turn::{Guesses, Speculator};

use lookup::Lookup;
use pace::Pace;
use prediction::Prediction;

/// Rows of a step up to which drafts are made: with more, the step's own rows use the machine.
const ROWS_MAX: usize = DRAFT_TOKENS_MAX + 1;

/// When drafts are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speculation {
    /// Never.
    Off,
    /// As long as they save time, by what steps were seen to take.
    #[default]
    Measured,
    /// Wherever there are some, so that what is computed does not depend on a clock.
    Always,
}

/// What a draft was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What stood in the conversation before.
    Lookup,
    /// What the asker believes that the answer is.
    Prediction,
    /// A draft model.
    Model,
}

/// How often the draft tokens of one request are accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Luck(f64);

/// What a draft token is worth before anything is known: a repeated phrase often goes on.
const LUCK_FIRST: f64 = 0.6;
/// Weight of the newest step.
const LUCK_WEIGHT: f64 = 0.15;
/// How fast a request without drafts is given another chance.
const LUCK_RETURN: f64 = 0.005;

impl Luck {
    pub(crate) fn new() -> Luck {
        Luck(LUCK_FIRST)
    }

    /// Of `drafted` tokens the first `accepted` were so.
    pub(crate) fn note(&mut self, drafted: usize, accepted: usize) {
        if drafted == 0 {
            self.0 += LUCK_RETURN * (LUCK_FIRST - self.0);
            return;
        }
        // Those behind a wrong one were never put to the test.
        let tested = drafted.min(accepted + 1);
        let share = accepted as f64 / tested as f64;
        self.0 += LUCK_WEIGHT * (share - self.0);
    }

    /// Tokens that a step is expected to make with so many draft tokens.
    fn tokens(self, drafted: usize) -> f64 {
        // 1 + p + p^2 + ...
        (0..=drafted).map(|place| self.0.powi(i32::try_from(place).unwrap_or(i32::MAX))).sum()
    }
}

/// Draft tokens that a step of `rows` rows has room for.
fn room(rows: usize) -> usize {
    if rows == 0 { 0 } else { ROWS_MAX.saturating_sub(rows) }
}

#[cfg(test)]
mod tests;
