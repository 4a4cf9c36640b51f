//! A step is done: tokens are appended, full pages published, ended sequences let go.

use crate::plan::PlanSpan;
use crate::scheduler::Scheduler;
use crate::sequence::Sequence;
use crate::{RequestId, TokenId};

/// What became of each span of a plan, once each, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Results by request.
    pub results: Vec<(RequestId, StepResult)>,
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// Its tokens are computed; no token was wanted.
    Prefilled,
    /// Its tokens are computed and this one follows; the sequence goes on unless it is full.
    Token(Made),
    /// Its tokens are computed and the sequence ends, with this last token.
    Finish(Made, FinishReason),
    /// Its pages hold nothing of use; the sequence ends.
    Failed,
}

/// What a span made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Draft tokens that were accepted, from the first on.
    pub accepted: u32,
    /// The token after them.
    pub token: TokenId,
}

impl Made {
    /// A token without accepted ones before it.
    #[must_use]
    pub fn token(token: TokenId) -> Made {
        Made { accepted: 0, token }
    }
}

/// News of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It runs; told again after a preemption.
    Started {
        /// Name.
        id: RequestId,
        /// Tokens that need not be computed.
        cached_len: usize,
    },
    /// It gave its pages up and waits to start again; its tokens are kept.
    Preempted {
        /// Name.
        id: RequestId,
    },
    /// It is gone. The last event of every request.
    Finished {
        /// Name.
        id: RequestId,
        /// Why.
        reason: FinishReason,
    },
}

/// Why a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its answer.
    EndOfText,
    /// A stop text was met.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// The context, or all of the cache, is full.
    Context,
    /// The caller gave it up.
    Cancelled,
    /// A step failed.
    Failed,
}

impl Scheduler {
    /// Takes in what became of the last plan, and tells all that happened since events were last
    /// taken.
    ///
    /// # Panics
    /// When the results are not those of the last plan: one for each span, `Token` where a token
    /// was wanted and `Prefilled` where none was, and no more accepted than were computed.
    pub fn commit(&mut self, outcome: &Outcome) -> Vec<Event> {
        let in_flight = std::mem::take(&mut self.in_flight);
        assert_eq!(outcome.results.len(), in_flight.len(), "one result for each span");
        for (id, len) in in_flight {
            let mut of_span = outcome.results.iter().filter(|(other, _)| *other == id);
            let (_, result) = of_span.next().expect("every span has a result");
            assert!(of_span.next().is_none(), "a span has one result");
            self.commit_span(id, len, *result);
        }
        self.reap_cancelled();
        if cfg!(debug_assertions) {
            self.assert_consistent();
        }
        self.take_events()
    }

    fn commit_span(&mut self, id: RequestId, len: usize, result: StepResult) {
        let place = self.running.iter().position(|sequence| sequence.id == id);
        let place = place.expect("a planned sequence runs until its commit");
        let sequence = &mut self.running[place];
        let accepted = match result {
            StepResult::Token(made) | StepResult::Finish(made, _) => made.accepted as usize,
            StepResult::Prefilled | StepResult::Failed => 0,
        };
        sequence.accept(accepted);
        let len = len + accepted;
        if result != StepResult::Failed {
            let fresh = sequence.advance(len, &self.pool, &self.limits);
            self.fairness.charge(sequence.user, fresh);
        }
        if let Some(reason) = self.apply(place, result) {
            let sequence = self.running.remove(place);
            self.finish(sequence, reason);
        }
    }

    /// Appends the token, if there is one, and tells whether the sequence ends.
    fn apply(&mut self, place: usize, result: StepResult) -> Option<FinishReason> {
        let limits = self.limits;
        let sequence = &mut self.running[place];
        match result {
            StepResult::Failed => Some(FinishReason::Failed),
            StepResult::Prefilled => {
                assert!(sequence.remaining() > 0, "a token was wanted of {:?}", sequence.id);
                None
            }
            StepResult::Finish(made, reason) => {
                sequence.append(made.token);
                Some(reason)
            }
            StepResult::Token(made) => {
                sequence.append(made.token);
                if sequence.generated_len() >= sequence.tokens_max {
                    return Some(FinishReason::Length);
                }
                let is_full = sequence.tokens.len() >= limits.sequence_len_max();
                is_full.then_some(FinishReason::Context)
            }
        }
    }

    pub(crate) fn reap_cancelled(&mut self) {
        assert!(self.in_flight.is_empty(), "pages of a step in flight are never freed");
        while let Some(place) = self.running.iter().position(|sequence| sequence.is_cancelled) {
            let sequence = self.running.remove(place);
            self.finish(sequence, FinishReason::Cancelled);
        }
    }
}

impl Sequence {
    fn append(&mut self, token: TokenId) {
        assert_eq!(self.remaining(), 0, "no token was wanted of {:?}", self.id);
        self.tokens.push(token);
    }
}

impl PlanSpan {
    /// Position after the last token of the span.
    #[must_use]
    pub fn end_position(&self) -> usize {
        self.first_position + self.tokens.len()
    }
}
