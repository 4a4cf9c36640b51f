//! The scheduler against a fake model in tiny pools: thousands of seeded lives with arrivals,
//! cancellations, failing steps and preemptions.
//!
//! The fake cache holds in each slot a number made of *all* slots before it, read through the page
//! table, and the next token is made of all slots. So a page shared wrongly, freed early or
//! published before it was computed gives other tokens than the request gets alone. In half of the
//! lives there is a second cache of layers that see only a window, and every slot and token is made
//! of its last slots too.
//!
//! A failure prints one line; run it again with `HOB_SIM_SEED=<seed>`.

use std::collections::{BTreeMap, BTreeSet};

mod fake_model;

use fake_model::{Cache, END_OF_TEXT, Rng, State, alone, result_of, swap_tokens, swapped};
use scheduler::{
    Admission, Event, FinishReason, Limits, Outcome, Plan, PlanSpan, Refusal, Request, RequestId,
    Scheduler, StepResult, Tick, TokenId, WindowLimits,
};

const SEEDS: u64 = 10_000;
const CANARY_SEEDS: u64 = 300;

#[test]
fn ten_thousand_lives() {
    if let Some(seed) = seed_to_replay() {
        let life = Life::new(seed, None);
        println!("seed {seed}: {:?}, {} requests", life.limits, life.to_come);
        return life.run().map(|_| ()).expect("this life was to be replayed");
    }
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let life = std::panic::catch_unwind(|| Life::new(seed, None).run());
        let line = format!("HOB_SIM_SEED={seed} cargo nextest run -p scheduler ten_thousand_lives");
        match life {
            Ok(Ok(of_seed)) => seen.add(&of_seed),
            Ok(Err(what)) => panic!("{what}; replay: {line}"),
            Err(_) => panic!("an assert failed; replay: {line}"),
        }
    }
    // A net that never meets the hard cases proves nothing.
    assert!(seen.preempted > SEEDS / 4, "{seen:?}");
    assert!(seen.cached_starts > SEEDS / 4, "{seen:?}");
    assert!(seen.refused > SEEDS / 10, "{seen:?}");
    assert!(seen.cached_windows > SEEDS / 20, "{seen:?}");
    assert!(seen.forgotten > SEEDS, "{seen:?}");
    assert!(seen.accepted_tokens > SEEDS && seen.rejected_drafts > SEEDS, "{seen:?}");
    for reason in [
        FinishReason::EndOfText,
        FinishReason::Length,
        FinishReason::Context,
        FinishReason::Cancelled,
        FinishReason::Failed,
    ] {
        let count = seen.finished.get(&format!("{reason:?}")).copied().unwrap_or(0);
        assert!(count > SEEDS / 10, "{reason:?}: {seen:?}");
    }
}

#[test]
fn every_canary_is_caught() {
    for canary in Canary::ALL {
        let caught = (0..CANARY_SEEDS).find(|seed| Life::new(*seed, Some(canary)).run().is_err());
        assert!(caught.is_some(), "{canary:?} went unseen for {CANARY_SEEDS} seeds");
    }
}

/// One user's request must end although three others keep the queue full for ever.
#[test]
fn nobody_starves_in_a_flood() {
    for seed in 0..300 {
        let steps = flood(seed);
        assert!(steps.is_some(), "flood({seed}) starved its guest");
    }
}

/// What the fake world does to the scheduler's orders, to prove that the checks would see a
/// scheduler that gave such orders itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    /// A span gets a page of another sequence in place of its own.
    SharesAPage,
    /// A row is not written, as if its page had been published before it was computed.
    SkipsAWrite,
    /// A page in use is overwritten, as if it had been freed and given out again.
    FreesEarly,
    /// A page of a prefix holds the right tokens behind other ones.
    MistakesAPrefix,
    /// A page is given out that a window still sees.
    ForgetsAWindow,
    /// A page of a window is that of other positions.
    MistakesAWindow,
    /// A draft token is accepted that was wrong.
    AcceptsAWrongDraft,
    /// Two sequences get each other's token.
    SwapsResults,
    /// The caller never hears that a request ended.
    LosesAnEvent,
}

impl Canary {
    const ALL: [Canary; 9] = [
        Canary::SharesAPage,
        Canary::SkipsAWrite,
        Canary::FreesEarly,
        Canary::MistakesAPrefix,
        Canary::ForgetsAWindow,
        Canary::MistakesAWindow,
        Canary::AcceptsAWrongDraft,
        Canary::SwapsResults,
        Canary::LosesAnEvent,
    ];
}

#[derive(Debug, Default)]
struct Seen {
    preempted: u64,
    cached_starts: u64,
    /// Starts from a prefix with windows of which a part was behind already.
    cached_windows: u64,
    /// Pages behind windows in plans.
    forgotten: u64,
    refused: u64,
    accepted_tokens: u64,
    rejected_drafts: u64,
    finished: BTreeMap<String, u64>,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.preempted += other.preempted;
        self.cached_starts += other.cached_starts;
        self.cached_windows += other.cached_windows;
        self.forgotten += other.forgotten;
        self.refused += other.refused;
        self.accepted_tokens += other.accepted_tokens;
        self.rejected_drafts += other.rejected_drafts;
        for (reason, count) in &other.finished {
            *self.finished.entry(reason.clone()).or_default() += count;
        }
    }
}

/// A request as its caller knows it.
struct Client {
    prompt: Vec<TokenId>,
    tokens_max: usize,
    answer: Vec<TokenId>,
    is_cancelled: bool,
    has_failed: bool,
}

struct Life {
    rng: Rng,
    limits: Limits,
    scheduler: Scheduler,
    cache: Cache,
    clients: BTreeMap<RequestId, Client>,
    /// Starts of prompts, so that many are shared.
    families: Vec<Vec<TokenId>>,
    next_id: u64,
    to_come: u32,
    user_count: u64,
    step: u64,
    /// Tokens of all requests, for the bound on steps.
    work: u64,
    canary: Option<Canary>,
    seen: Seen,
}

type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

impl Life {
    fn new(seed: u64, canary: Option<Canary>) -> Life {
        let mut rng = Rng(seed);
        let mut limits = Limits {
            page_len: rng.between(1, 5) as u32,
            page_count: rng.between(1, 16) as u32,
            sequences_max: rng.between(1, 7) as u32,
            queue_len_max: rng.between(1, 9) as u32,
            step_tokens_max: rng.between(1, 24) as u32,
            context_len_max: rng.between(6, 60),
            shares_prefixes: rng.between(0, 9) > 0,
            window: None,
        };
        if rng.chance(1, 2) {
            let reach = rng.between(1, 12);
            let page_count = limits.window_pages_needed(reach) + rng.below(3) * rng.below(8);
            limits.window = Some(WindowLimits { reach, page_count: page_count as u32 });
        }
        let families =
            (0..rng.between(1, 3)).map(|_| (0..24).map(|_| rng.token()).collect()).collect();
        let (to_come, user_count) = (rng.between(1, 16) as u32, rng.between(1, 4));
        Life {
            rng,
            limits,
            scheduler: Scheduler::new(limits),
            cache: Cache::new(&limits),
            clients: BTreeMap::new(),
            families,
            next_id: 0,
            to_come,
            user_count,
            step: 0,
            work: 0,
            canary,
            seen: Seen::default(),
        }
    }

    fn run(mut self) -> Checked<Seen> {
        while self.to_come > 0 || !self.scheduler.is_idle() {
            self.turn()?;
            // Every step computes a token at least, and what a preemption loses is bounded.
            check!(self.step < 200 + 40 * self.work, "no end after {} steps", self.step);
        }
        check!(
            self.clients.is_empty(),
            "{} requests were never told their end",
            self.clients.len()
        );
        let stats = self.scheduler.stats();
        let used = stats.pages_used + stats.window_pages_used;
        check!(used == 0, "idle, and pages are leased: {stats:?}");
        check!(stats.waiting == 0 && stats.running == 0, "idle, and not: {stats:?}");
        Ok(self.seen)
    }

    fn turn(&mut self) -> Checked {
        self.step += 1;
        while self.to_come > 0 && self.rng.chance(1, 3) {
            self.to_come -= 1;
            self.arrive()?;
        }
        if self.rng.chance(1, 50) {
            self.cancel_one()?;
        }
        self.speculate();
        let plan = self.scheduler.plan(Tick(self.step));
        let events = self.scheduler.take_events();
        self.hear(&events)?;
        self.check_plan(&plan)?;
        self.check_windows(&plan)?;
        if plan.spans.is_empty() {
            return Ok(());
        }
        let results = self.compute(&plan)?;
        if self.rng.chance(1, 50) {
            // While the step is in flight.
            self.cancel_one()?;
        }
        let events = self.scheduler.commit(&Outcome { results });
        self.hear(&events)?;
        self.scheduler.assert_consistent();
        let stats = self.scheduler.stats();
        let pages = stats.pages_free + stats.pages_cached + stats.pages_used;
        check!(pages == self.limits.page_count, "pages were lost: {stats:?}");
        Ok(())
    }

    fn arrive(&mut self) -> Checked {
        let request = self.request();
        let client = Client {
            prompt: request.prompt.clone(),
            tokens_max: request.tokens_max as usize,
            answer: Vec::new(),
            is_cancelled: false,
            has_failed: false,
        };
        let waiting = self.scheduler.stats().waiting;
        let id = request.id;
        let prompt_len = request.prompt.len() as u64;
        match self.scheduler.admit(request, Tick(self.step)) {
            Admission::Queued { position } => {
                check!(position <= waiting, "behind {position} of {waiting}");
                self.work += client.prompt.len() as u64 + client.tokens_max as u64;
                self.clients.insert(id, client);
            }
            Admission::Refused(refusal) => {
                self.seen.refused += 1;
                let is_right = match refusal {
                    Refusal::QueueFull { len } => len == self.limits.queue_len_max,
                    Refusal::PromptTooLong { .. } => prompt_len >= self.limits.context_len_max,
                    Refusal::PromptEmpty => prompt_len == 0,
                    Refusal::NeverFits { page_count, .. } => {
                        prompt_len > u64::from(page_count * self.limits.page_len)
                    }
                    Refusal::TokensMaxZero => client.tokens_max == 0,
                };
                check!(is_right, "refused for no reason: {refusal:?}");
                check!(self.scheduler.tokens_of(id).is_none(), "refused, and here");
            }
        }
        Ok(())
    }

    fn request(&mut self) -> Request {
        let family = self.rng.below(self.families.len() as u64) as usize;
        let shared_len = self.rng.pick(self.families[family].len() + 1);
        // Most prompts are far shorter than the cache, so that they grow into each other.
        let shared_len = if self.rng.chance(1, 4) { shared_len } else { shared_len / 3 };
        let mut prompt = self.families[family][..shared_len].to_vec();
        prompt.extend((0..self.rng.below(4)).map(|_| self.rng.token()));
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let tokens_max = self.rng.below(30);
        let user = self.rng.below(self.user_count);
        Request { id, prompt, tokens_max, user, prelude: Vec::new() }
    }

    /// Draft tokens for some: mostly what the request would get alone, and then something else.
    fn speculate(&mut self) {
        let ids: Vec<RequestId> = self.clients.keys().copied().collect();
        for id in ids {
            if self.rng.chance(1, 2) {
                continue;
            }
            let client = &self.clients[&id];
            let (known, len) = (client.answer.len(), self.rng.pick(7));
            let mut drafts = alone(&client.prompt, known + len, self.cache.reach).split_off(known);
            if self.rng.chance(1, 2) && !drafts.is_empty() {
                let place = self.rng.pick(drafts.len());
                drafts[place] = self.rng.token();
            }
            self.scheduler.speculate(id, &drafts);
        }
    }

    fn cancel_one(&mut self) -> Checked {
        let Some(place) = self.rng.below_checked(self.clients.len() as u64) else { return Ok(()) };
        let id = *self.clients.keys().nth(place as usize).expect("below their count");
        check!(self.scheduler.cancel(id), "{id:?} is here and cannot be cancelled");
        self.clients.get_mut(&id).expect("just found").is_cancelled = true;
        Ok(())
    }

    fn check_plan(&self, plan: &Plan) -> Checked {
        let rows: usize = plan.spans.iter().map(|span| span.tokens.len()).sum();
        check!(rows <= self.limits.step_tokens_max as usize, "{rows} tokens in a step");
        check!(plan.spans.len() <= self.limits.sequences_max as usize, "too many run");
        check!(!plan.spans.is_empty() || self.scheduler.is_idle(), "work, and an empty plan");
        let mut written_by = BTreeMap::new();
        for span in &plan.spans {
            let known = self.scheduler.tokens_of(span.id).ok_or("planned, and not here")?;
            let (first, last) = (span.first_position, span.end_position());
            let end = last - span.drafted as usize;
            let told = &span.tokens[..end - first];
            check!(known[first..].starts_with(told), "other tokens: {span:?}");
            check!(span.drafted == 0 || end - first == 1, "drafts behind a prompt: {span:?}");
            let prompt_len = self.scheduler.prompt_len_of(span.id).ok_or("not here")?;
            check!(span.is_prompt == (first < prompt_len), "another kind: {span:?}");
            check!(span.is_prompt == (last <= prompt_len), "two kinds: {span:?}");
            check!(span.wants_token == (end == known.len()), "samples elsewhere: {span:?}");
            let pages: BTreeSet<_> = span.pages.pages_from(0).collect();
            check!(pages.len() == span.pages.len(), "a page twice: {span:?}");
            check!(last.div_ceil(self.cache.page_len) == pages.len(), "more pages: {span:?}");
            for page in span.pages.pages_from(first / self.cache.page_len) {
                let other = written_by.insert(page, span.id);
                check!(other.is_none(), "{page:?} is written by {other:?} and {:?}", span.id);
            }
        }
        check!(plan.spans.is_sorted_by_key(|span| span.is_prompt), "a prompt before an answer");
        for span in &plan.spans {
            for page in span.pages.pages_from(0) {
                let is_own = written_by.get(&page).is_none_or(|writer| *writer == span.id);
                check!(is_own, "{page:?} is read by {:?} while it is written", span.id);
            }
        }
        Ok(())
    }

    /// The pages of windows that are seen or written: below their count, each its own, and written
    /// by one sequence alone.
    fn check_windows(&mut self, plan: &Plan) -> Checked {
        let Some(window) = self.limits.window else {
            let none = plan.spans.iter().all(|span| span.window_pages.is_empty());
            check!(none, "pages of windows that there are not");
            return Ok(());
        };
        let page_len = self.limits.page_len as usize;
        let mut written_by = BTreeMap::new();
        for span in &plan.spans {
            check!(span.window_pages.len() == span.pages.len(), "no window for a page: {span:?}");
            let below = span.window_pages.numbers().iter().all(|page| *page < window.page_count);
            check!(below, "a page that is not there: {span:?}");
            let seen = self.cache.first_seen(span.first_position) / page_len;
            self.seen.forgotten += seen as u64;
            let pages: BTreeSet<_> = span.window_pages.pages_from(seen).collect();
            check!(pages.len() == span.window_pages.len() - seen, "a window twice: {span:?}");
            for page in span.window_pages.pages_from(span.first_position / page_len) {
                let other = written_by.insert(page, span.id);
                check!(other.is_none(), "{page:?} is written by {other:?} and {:?}", span.id);
            }
        }
        for span in &plan.spans {
            let seen = self.cache.first_seen(span.first_position) / page_len;
            for page in span.window_pages.pages_from(seen) {
                let is_own = written_by.get(&page).is_none_or(|writer| *writer == span.id);
                check!(is_own, "{page:?} is read by {:?} while it is written", span.id);
            }
        }
        Ok(())
    }

    /// One step of the fake model. All spans read before any writes, as in a real step.
    fn compute(&mut self, plan: &Plan) -> Checked<Vec<(RequestId, StepResult)>> {
        let fails_whole = self.rng.chance(1, 150);
        let mut spans = plan.spans.clone();
        self.mislead(&mut spans);
        let states: Vec<State> = spans.iter().map(|span| self.cache.read(span)).collect();
        let mut results = Vec::new();
        for (span, state) in spans.iter().zip(states) {
            let skipped = (self.canary == Some(Canary::SkipsAWrite) && self.rng.chance(1, 8))
                .then(|| self.rng.below(span.tokens.len() as u64) as usize);
            let fails = fails_whole || self.rng.chance(1, 150);
            if fails {
                self.cache.write(span, state.spoilt(), None);
                self.client(span.id)?.has_failed = true;
                results.push((span.id, StepResult::Failed));
                continue;
            }
            let tokens = self.cache.write(span, state, skipped);
            let mut result = result_of(span, &tokens);
            if self.canary == Some(Canary::AcceptsAWrongDraft)
                && let StepResult::Token(made) = &mut result
                && made.accepted < span.drafted
            {
                made.accepted += 1;
            }
            self.note(span, result)?;
            results.push((span.id, result));
        }
        if self.canary == Some(Canary::SwapsResults) {
            swap_tokens(&mut results);
        }
        for (id, result) in &results {
            if let StepResult::Token(made) | StepResult::Finish(made, _) = result {
                self.client(*id)?.answer.push(made.token);
            }
        }
        // The order of results is the caller's.
        if self.rng.chance(1, 2) {
            results.reverse();
        }
        Ok(results)
    }

    /// Accepted draft tokens are a part of the answer.
    fn note(&mut self, span: &PlanSpan, result: StepResult) -> Checked {
        let (StepResult::Token(made) | StepResult::Finish(made, _)) = result else { return Ok(()) };
        self.seen.accepted_tokens += u64::from(made.accepted);
        self.seen.rejected_drafts += u64::from(made.accepted < span.drafted);
        let drafts = &span.tokens[span.tokens.len() - span.drafted as usize..];
        self.client(span.id)?.answer.extend(&drafts[..made.accepted as usize]);
        Ok(())
    }

    fn mislead(&mut self, spans: &mut [PlanSpan]) {
        let Some(canary) = self.canary else { return };
        let (from, to) = (self.rng.pick(spans.len()), self.rng.pick(spans.len()));
        match canary {
            Canary::SharesAPage if from != to => {
                let first = spans[from].pages.get(0);
                let others = spans[to].pages.pages_from(1);
                spans[to].pages = first.into_iter().chain(others).collect();
            }
            Canary::FreesEarly if self.rng.chance(1, 4) => {
                let page = spans[from].pages.numbers()[0] as usize;
                let page_len = self.limits.page_len as usize;
                self.cache.slots[page * page_len] ^= 1;
            }
            Canary::ForgetsAWindow if self.limits.window.is_some() && self.rng.chance(1, 4) => {
                let first = spans[from].first_position;
                let seen = self.cache.first_seen(first);
                if seen < first {
                    let slot = self.cache.slot(&spans[from].window_pages, seen);
                    self.cache.window_slots[slot] ^= 1;
                }
            }
            Canary::MistakesAWindow if self.rng.chance(1, 4) => {
                let first = spans[from].first_position;
                let page = self.cache.first_seen(first) / self.limits.page_len as usize;
                let pages = &mut spans[from].window_pages;
                if page + 1 < pages.len() {
                    *pages = swapped(pages, page);
                }
            }
            Canary::MistakesAPrefix if spans[to].first_position > 0 => {
                let pages = &mut spans[to].pages;
                if pages.len() > 1 && self.rng.chance(1, 4) {
                    *pages = swapped(pages, 0);
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, events: &[Event]) -> Checked {
        for event in events {
            match *event {
                Event::Started { id, cached_len } => {
                    let len = self.scheduler.tokens_of(id).map_or(usize::MAX, <[_]>::len);
                    check!(cached_len < len, "all of {id:?} is cached");
                    check!(cached_len % self.cache.page_len == 0, "part of a page is shared");
                    self.seen.cached_starts += u64::from(cached_len > 0);
                    let gone = self.cache.first_seen(cached_len) / self.cache.page_len;
                    self.seen.cached_windows += u64::from(gone > 0);
                }
                Event::Preempted { .. } => self.seen.preempted += 1,
                Event::Finished { .. }
                    if self.canary == Some(Canary::LosesAnEvent) && self.rng.chance(1, 20) => {}
                Event::Finished { id, reason } => self.check_end(id, reason)?,
            }
        }
        Ok(())
    }

    fn check_end(&mut self, id: RequestId, reason: FinishReason) -> Checked {
        let client = self.clients.remove(&id).ok_or(format!("{id:?} ended twice"))?;
        check!(self.scheduler.tokens_of(id).is_none(), "{id:?} ended, and is here");
        *self.seen.finished.entry(format!("{reason:?}")).or_default() += 1;
        let alone = alone(&client.prompt, client.answer.len(), self.cache.reach);
        check!(client.answer == alone, "{id:?} got {:?}, and alone {alone:?}", client.answer);
        let len = client.prompt.len() + client.answer.len();
        let in_pages = (self.limits.page_count * self.limits.page_len + 1) as usize;
        let len_max = in_pages.min(self.limits.context_len_max as usize);
        check!(len <= len_max, "{id:?} has {len} tokens of {len_max}");
        check!(client.answer.len() <= client.tokens_max, "{id:?} got more than it asked for");
        let is_right = match reason {
            FinishReason::EndOfText => client.answer.last() == Some(&END_OF_TEXT),
            FinishReason::Stop => false,
            FinishReason::Length => client.answer.len() == client.tokens_max,
            FinishReason::Context => len == len_max,
            FinishReason::Cancelled => client.is_cancelled,
            FinishReason::Failed => client.has_failed,
        };
        check!(is_right, "{id:?} ended with {reason:?} after {:?}", client.answer);
        Ok(())
    }

    fn client(&mut self, id: RequestId) -> Checked<&mut Client> {
        self.clients.get_mut(&id).ok_or(format!("{id:?} is computed and was told its end"))
    }
}

fn flood(seed: u64) -> Option<u64> {
    const STEPS_MAX: u64 = 3_000;
    let mut life = Life::new(seed, None);
    life.limits.queue_len_max = 6;
    life.limits.context_len_max = life.limits.context_len_max.max(4);
    life.scheduler = Scheduler::new(life.limits);
    let guest = RequestId(u64::MAX);
    let in_pages = u64::from(life.limits.page_count * life.limits.page_len);
    let room = in_pages.min(life.limits.context_len_max - 1);
    let prompt = (0..room).map(|_| life.rng.token()).collect();
    let request = Request { id: guest, prompt, tokens_max: 3, user: 99, prelude: Vec::new() };
    let mut has_come = false;
    for step in 0..STEPS_MAX {
        if step >= 5 && !has_come {
            let admission = life.scheduler.admit(request.clone(), Tick(step));
            has_come = matches!(admission, Admission::Queued { .. });
        }
        for _ in 0..24 {
            let mut request = life.request();
            request.user = step % 3;
            life.scheduler.admit(request, Tick(step));
        }
        let plan = life.scheduler.plan(Tick(step));
        let results = plan.spans.iter().map(|span| {
            let token = 1 + (life.rng.next() % 20) as TokenId;
            (span.id, result_of(span, &vec![token; span.tokens.len()]))
        });
        let results = results.collect();
        let events = life.scheduler.commit(&Outcome { results });
        let ends = |event: &Event| matches!(event, Event::Finished { id, .. } if *id == guest);
        if events.iter().any(ends) {
            return Some(step);
        }
    }
    None
}

#[expect(clippy::disallowed_methods, reason = "how a person replays one life")]
fn seed_to_replay() -> Option<u64> {
    std::env::var("HOB_SIM_SEED").ok()?.parse().ok()
}
