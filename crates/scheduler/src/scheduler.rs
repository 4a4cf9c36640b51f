//! The scheduler's state and its doors, but for the two that are long: `plan.rs` and `commit.rs`.

use crate::commit::{Event, FinishReason};
use crate::fairness::Fairness;
use crate::limits::{DRAFT_TOKENS_MAX, Limits};
use crate::pages::Pool;
use crate::prefix::chain_hash;
use crate::sequence::Sequence;
use crate::{Admission, Refusal, Request, RequestId, Tick, TokenId};

/// Requests, pages, and whose turn it is.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) limits: Limits,
    pub(crate) pool: Pool,
    pub(crate) fairness: Fairness,
    /// Hold no pages; in order of arrival.
    pub(crate) waiting: Vec<Sequence>,
    /// In order of arrival.
    pub(crate) running: Vec<Sequence>,
    /// Spans of the plan that is being computed: name and tokens.
    pub(crate) in_flight: Vec<(RequestId, usize)>,
    pub(crate) events: Vec<Event>,
    /// Plans made.
    pub(crate) step: u64,
    arrivals: u64,
    now: Tick,
}

/// How busy a scheduler is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that wait to start, or to start again.
    pub waiting: u32,
    /// Requests that run.
    pub running: u32,
    /// Pages that hold nothing.
    pub pages_free: u32,
    /// Pages that nobody uses and that hold a prefix; they are given out like free ones.
    pub pages_cached: u32,
    /// Pages in use.
    pub pages_used: u32,
    /// Pages in use of layers that see only a window.
    pub window_pages_used: u32,
    /// How long the first in the queue has waited, in ms.
    pub oldest_wait_ms: u64,
}

impl Scheduler {
    /// An idle scheduler with all pages free.
    ///
    /// # Panics
    /// When a limit is 0 with which nothing could ever run.
    #[must_use]
    pub fn new(limits: Limits) -> Scheduler {
        limits.assert_usable();
        Scheduler {
            limits,
            pool: Pool::new(&limits, chain_hash),
            fairness: Fairness::default(),
            waiting: Vec::new(),
            running: Vec::new(),
            in_flight: Vec::new(),
            events: Vec::new(),
            step: 0,
            arrivals: 0,
            now: Tick(0),
        }
    }

    /// Takes a request into the queue, or says why not.
    ///
    /// # Panics
    /// When the id is that of a request still here.
    pub fn admit(&mut self, request: Request, now: Tick) -> Admission {
        self.advance_clock(now);
        assert!(self.find(request.id).is_none(), "{:?} is here already", request.id);
        if let Some(refusal) = self.refusal(&request) {
            return Admission::Refused(refusal);
        }
        self.fairness.request_comes(request.user);
        let position = self.position_of_next(request.user);
        self.waiting.push(Sequence::new(request, self.arrivals, self.now));
        self.arrivals += 1;
        Admission::Queued { position }
    }

    /// Ends a request; false when there is none of that name. One that waits ends at once, one
    /// that runs at the step boundary: its pages stay leased until the step in flight is
    /// committed. `Finished` follows from [`Scheduler::take_events`] or [`Scheduler::commit`].
    pub fn cancel(&mut self, id: RequestId) -> bool {
        if let Some(place) = self.waiting.iter().position(|sequence| sequence.id == id) {
            let sequence = self.waiting.remove(place);
            self.finish(sequence, FinishReason::Cancelled);
            return true;
        }
        let Some(sequence) = self.running.iter_mut().find(|sequence| sequence.id == id) else {
            return false;
        };
        sequence.is_cancelled = true;
        true
    }

    /// Draft tokens: what may follow the tokens of a sequence that answers. The next plan computes
    /// as many of these as cost no page, and the caller says how many it accepted; they are for one
    /// plan. False when no such sequence runs.
    pub fn speculate(&mut self, id: RequestId, tokens: &[TokenId]) -> bool {
        let found = self.running.iter_mut().find(|sequence| sequence.id == id);
        let Some(sequence) = found.filter(|sequence| sequence.is_decoding()) else { return false };
        sequence.speculate(&tokens[..tokens.len().min(DRAFT_TOKENS_MAX)]);
        true
    }

    /// Draft tokens that the next plan has a place for, were there nobody else: as many as cost the
    /// sequence no page, and at most [`DRAFT_TOKENS_MAX`]. 0 when no such sequence answers.
    #[must_use]
    pub fn draft_room(&self, id: RequestId) -> usize {
        let found = self.running.iter().find(|sequence| sequence.id == id);
        let found = found.filter(|sequence| sequence.is_decoding());
        found.map_or(0, |sequence| sequence.draft_room(&self.limits).min(DRAFT_TOKENS_MAX))
    }

    /// Events that no commit returned: of cancelled requests, and of what `plan` started and
    /// preempted. In order; each event is told once.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether nothing waits and nothing runs. Events may still be there to take.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// How busy it is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let pages = self.pool.stats();
        let count = |len: usize| u32::try_from(len).expect("bounded by a limit that is a u32");
        let oldest = self.waiting.first().map_or(self.now, |sequence| sequence.arrived);
        Stats {
            waiting: count(self.waiting.len()),
            running: count(self.running.len()),
            pages_free: pages.free,
            pages_cached: pages.cached,
            pages_used: pages.leased,
            window_pages_used: pages.window_leased,
            oldest_wait_ms: self.now.0 - oldest.0,
        }
    }

    /// Tokens of the prompt of a request that waits or runs.
    #[must_use]
    pub fn prompt_len_of(&self, id: RequestId) -> Option<usize> {
        self.find(id).map(|sequence| sequence.prompt_len)
    }

    /// Prompt and answer so far of a request that waits or runs.
    #[must_use]
    pub fn tokens_of(&self, id: RequestId) -> Option<&[TokenId]> {
        self.find(id).map(|sequence| &*sequence.tokens)
    }

    /// Checks every invariant between steps.
    ///
    /// # Panics
    /// When one does not hold, or a step is in flight.
    pub fn assert_consistent(&self) {
        assert!(self.in_flight.is_empty(), "between steps only");
        self.pool.assert_consistent();
        let mut leases = 0;
        for sequence in &self.running {
            sequence.assert_consistent(&self.pool, &self.limits);
            leases += sequence.page_count();
        }
        for sequence in &self.waiting {
            assert_eq!(sequence.page_count(), 0, "who waits holds no page");
            assert!(!sequence.is_cancelled, "a waiting request is cancelled at once");
        }
        let used = self.pool.stats().leased as usize;
        assert!(used <= leases, "a page is leased by nobody that runs");
        assert!(self.running.len() <= self.limits.sequences_max as usize, "seats are kept");
        let mut seats: Vec<u32> = self.running.iter().map(|sequence| sequence.seat).collect();
        seats.sort_unstable();
        seats.dedup();
        assert_eq!(seats.len(), self.running.len(), "each sits alone");
        assert!(seats.last().is_none_or(|last| *last < self.limits.sequences_max));
        assert!(self.running.is_sorted_by_key(|sequence| sequence.arrival), "in order");
        assert!(self.waiting.is_sorted_by_key(|sequence| sequence.arrival), "in order");
        assert!(self.fairness.present_count() <= self.running.len() + self.waiting.len());
    }

    pub(crate) fn finish(&mut self, mut sequence: Sequence, reason: FinishReason) {
        sequence.release_pages();
        self.fairness.request_goes(sequence.user);
        self.events.push(Event::Finished { id: sequence.id, reason });
    }

    pub(crate) fn advance_clock(&mut self, now: Tick) {
        self.now = self.now.max(now);
    }

    fn find(&self, id: RequestId) -> Option<&Sequence> {
        self.running.iter().chain(&self.waiting).find(|sequence| sequence.id == id)
    }

    fn refusal(&self, request: &Request) -> Option<Refusal> {
        let Limits { context_len_max, page_count, .. } = self.limits;
        if request.prompt.is_empty() {
            return Some(Refusal::PromptEmpty);
        }
        if request.tokens_max == 0 {
            return Some(Refusal::TokensMaxZero);
        }
        let prompt_len = request.prompt.len() as u64;
        if prompt_len >= context_len_max {
            return Some(Refusal::PromptTooLong { prompt_len, context_len_max });
        }
        let pages_needed = prompt_len.div_ceil(u64::from(self.limits.page_len));
        if pages_needed > u64::from(page_count) {
            return Some(Refusal::NeverFits { pages_needed, page_count });
        }
        let fresh = self.waiting.iter().filter(|sequence| sequence.preemptions == 0).count();
        let len = u32::try_from(fresh).expect("bounded by queue_len_max");
        (len >= self.limits.queue_len_max).then_some(Refusal::QueueFull { len })
    }

    /// How many start before the next request of `user`, were all requests alike and users
    /// served in turn.
    fn position_of_next(&self, user: u64) -> u32 {
        let mut waiting_of = std::collections::BTreeMap::new();
        for sequence in &self.waiting {
            *waiting_of.entry(sequence.user).or_insert(0_usize) += 1;
        }
        let own = waiting_of.remove(&user).unwrap_or(0);
        let use_of_user = self.use_of(user);
        let ahead = waiting_of.iter().map(|(other, count)| {
            let goes_first = self.use_of(*other) <= use_of_user;
            (*count).min(own + usize::from(goes_first))
        });
        u32::try_from(own + ahead.sum::<usize>()).expect("bounded by queue_len_max")
    }

    /// Tokens computed for a user and those that the running prompts are about to cost: without
    /// the latter one user's whole queue would start in one step.
    pub(crate) fn use_of(&self, user: u64) -> u64 {
        let own = self.running.iter().filter(|sequence| sequence.user == user);
        self.fairness.served(user) + own.map(Sequence::uncharged).sum::<u64>()
    }
}
