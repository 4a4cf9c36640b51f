//! What an engine counts: what it has done since it started, what it holds now, how long requests
//! took, and which ended last. Numbers only: no tokens and no text.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use scheduler::FinishReason;

use crate::Usage;

/// Upper ends of the buckets of every histogram, seconds, from a millisecond to twenty minutes.
pub const BUCKET_ENDS_S: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0, 250.0, 500.0, 1000.0,
];

/// Requests that ended last and are still known.
pub const RECENT_MAX: usize = 32;

/// How an engine is and was, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests that wait.
    pub waiting: u32,
    /// Requests that run.
    pub running: u32,
    /// Pages of the KV cache that running requests hold.
    pub pages_used: u32,
    /// Pages that nobody holds and that keep a prefix for whoever asks for it again.
    pub pages_cached: u32,
    /// Pages that hold nothing.
    pub pages_free: u32,
    /// How long the first in the queue has waited.
    pub oldest_wait: Duration,
    /// What was counted since the start.
    pub counts: Counts,
    /// Requests that ended last, oldest first; at most [`RECENT_MAX`].
    pub recent: Vec<Ended>,
}

/// Counted since the engine started.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Forward passes.
    pub steps: u64,
    /// Rows computed that read a prompt, or read it again after a preemption.
    pub prefill_rows: u64,
    /// Rows computed that continue an answer.
    pub decode_rows: u64,
    /// Tokens of the prompts of requests that started.
    pub prompt_tokens: u64,
    /// Of these, taken from the prefix cache.
    pub cached_tokens: u64,
    /// Tokens made.
    pub made_tokens: u64,
    /// Tokens drafted and computed.
    pub draft_tokens: u64,
    /// Of these, accepted.
    pub accepted_tokens: u64,
    /// The part of a draft model.
    pub drafting: Drafting,
    /// Times that a running request gave its pages up.
    pub preemptions: u64,
    /// Requests refused because the queue was full.
    pub refused_busy: u64,
    /// Time that the step thread computed, a draft model's too.
    pub busy: Duration,
    /// Requests that ended, by reason.
    pub ended: EndCounts,
    /// From submission to the first step, of requests that started.
    pub queued: Histogram,
    /// From submission to the first token.
    pub first_token: Histogram,
    /// From a token to the next of the same request.
    pub inter_token: Histogram,
    /// From submission to the end, of all that ended for whatever reason.
    pub end_to_end: Histogram,
}

/// What a draft model did; nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafting {
    /// Its forward passes.
    pub steps: u64,
    /// Rows it computed.
    pub rows: u64,
    /// Time it took; in [`Counts::busy`] too.
    pub busy: Duration,
    /// Of [`Counts::draft_tokens`], those it made.
    pub draft_tokens: u64,
    /// Of these, accepted.
    pub accepted_tokens: u64,
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// The model ended the answer.
    pub end_of_text: u64,
    /// A stop text was met.
    pub stop: u64,
    /// As many tokens as were asked for.
    pub length: u64,
    /// The context, or all of the cache, is full.
    pub context: u64,
    /// The caller gave it up.
    pub cancelled: u64,
    /// A step failed.
    pub failed: u64,
}

impl EndCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let EndCounts { end_of_text, stop, length, context, cancelled, failed } = *self;
        end_of_text + stop + length + context + cancelled + failed
    }

    fn of(&mut self, reason: FinishReason) -> &mut u64 {
        match reason {
            FinishReason::EndOfText => &mut self.end_of_text,
            FinishReason::Stop => &mut self.stop,
            FinishReason::Length => &mut self.length,
            FinishReason::Context => &mut self.context,
            FinishReason::Cancelled => &mut self.cancelled,
            FinishReason::Failed => &mut self.failed,
        }
    }
}

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its place among all that ended, from 1.
    pub number: u64,
    /// Why.
    pub reason: FinishReason,
    /// Counts and times.
    pub usage: Usage,
    /// When.
    pub at: Instant,
}

/// How often a time fell between the ends of [`BUCKET_ENDS_S`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BUCKET_ENDS_S.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub(crate) fn record(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        // What is longer than the last end is in the count alone.
        if let Some(bucket) = BUCKET_ENDS_S.iter().position(|end| seconds <= *end) {
            self.counts[bucket] += 1;
        }
        self.count += 1;
        self.sum += time;
    }

    /// `(end in seconds, times at most as long)`, from the shortest on.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let counts = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        BUCKET_ENDS_S.iter().copied().zip(counts)
    }

    /// Times recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

/// What the step thread writes and [`crate::Engine::stats`] reads.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) counts: Counts,
    pub(crate) recent: VecDeque<Ended>,
}

impl Ledger {
    /// Takes in the end of a request that was submitted `whole` ago.
    pub(crate) fn end(&mut self, reason: FinishReason, usage: Usage, whole: Duration) {
        *self.counts.ended.of(reason) += 1;
        self.counts.end_to_end.record(whole);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let number = self.counts.ended.total();
        self.recent.push_back(Ended { number, reason, usage, at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKET_ENDS_S, Histogram, Ledger, RECENT_MAX};
    use crate::{FinishReason, Usage};
    use std::time::Duration;

    #[test]
    fn buckets_hold_their_own_end_and_are_cumulative() {
        assert!(BUCKET_ENDS_S.is_sorted_by(|a, b| a < b));
        let mut histogram = Histogram::default();
        for ms in [1, 2, 1000, 1001, 2_000_000] {
            histogram.record(Duration::from_millis(ms));
        }
        let below = |end: f64| histogram.cumulative().find(|(of, _)| *of == end).unwrap().1;
        assert_eq!([0.001, 0.0025, 0.5, 1.0, 2.5, 1000.0].map(below), [1, 2, 2, 3, 4, 4]);
        assert_eq!((histogram.count(), histogram.sum()), (5, Duration::from_millis(2_002_004)));
    }

    #[test]
    fn only_the_last_requests_are_kept_and_all_are_counted() {
        let mut ledger = Ledger::default();
        for _ in 0..RECENT_MAX + 3 {
            ledger.end(FinishReason::Length, Usage::default(), Duration::ZERO);
        }
        ledger.end(FinishReason::Cancelled, Usage::default(), Duration::ZERO);
        assert_eq!(ledger.recent.len(), RECENT_MAX);
        assert_eq!(ledger.recent.back().unwrap().number, RECENT_MAX as u64 + 4);
        assert_eq!((ledger.counts.ended.length, ledger.counts.ended.cancelled), (35, 1));
        assert_eq!(ledger.counts.end_to_end.count(), ledger.counts.ended.total());
    }
}
