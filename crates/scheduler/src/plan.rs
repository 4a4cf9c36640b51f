//! What the next step computes: decodes first, then prefill chunks share what is left.

use crate::commit::Event;
use crate::limits::{PREEMPTIONS_MAX, PREFILLS_TOGETHER_MAX};
use crate::scheduler::Scheduler;
use crate::sequence::Sequence;
use crate::{PageTable, RequestId, Tick, TokenId};

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One a sequence; those of answers first. Empty when there is nothing to compute: then there
    /// is nothing to commit either.
    pub spans: Vec<PlanSpan>,
}

/// Tokens of one sequence to compute in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSpan {
    /// Name.
    pub id: RequestId,
    /// Position of the first of `tokens`; all before it are computed.
    pub first_position: usize,
    /// To compute.
    pub tokens: Vec<TokenId>,
    /// Whether they are of the prompt; else all are of the answer, also where a sequence that was
    /// preempted computes it again.
    pub is_prompt: bool,
    /// How many of `tokens`, at their end, are draft tokens: what may follow, likely or not.
    pub drafted: u32,
    /// Position `p` is in page `p / page_len`, at `p % page_len`; just enough for this span.
    pub pages: PageTable,
    /// The same of layers that see only a window; any page stands for those behind it, which are
    /// not to be read. Empty where there are no such layers.
    pub window_pages: PageTable,
    /// Whether the logits of the last known token's row are to be sampled, and after it those of
    /// each draft token as long as it is what was sampled.
    pub wants_token: bool,
    /// Below `sequences_max`, and no other running sequence's: its own while it runs.
    pub seat: u32,
}

/// A plan being made.
struct Draft {
    spans: Vec<(RequestId, usize)>,
    budget: usize,
    has_preempted: bool,
}

impl Scheduler {
    /// Chooses what the next step computes. A plan with spans must be committed before the next.
    ///
    /// # Panics
    /// When the plan before was not committed.
    pub fn plan(&mut self, now: Tick) -> Plan {
        assert!(self.in_flight.is_empty(), "commit the last plan first");
        self.advance_clock(now);
        self.step += 1;
        self.reap_cancelled();
        let budget = self.limits.step_tokens_max as usize;
        let mut draft = Draft { spans: Vec::new(), budget, has_preempted: false };
        self.draft_decodes(&mut draft);
        if !draft.has_preempted {
            self.start_waiting(&draft);
        }
        self.draft_prefills(&mut draft);
        while draft.spans.is_empty() && !self.running.is_empty() {
            // Prompts hold all pages between them and none can go on. The oldest is spared, so
            // in the end it has all pages, and a prompt that never fits was refused.
            let spared = self.running[0].id;
            let victim = self.victim(Some(spared)).expect("alone, the oldest would have a page");
            self.preempt(victim, &mut draft);
            self.draft_prefills(&mut draft);
        }
        self.add_draft_tokens(&mut draft);
        self.seal(draft)
    }

    /// Draft tokens get what nobody else can use.
    fn add_draft_tokens(&mut self, draft: &mut Draft) {
        for sequence in &mut self.running {
            let planned = draft.spans.iter().any(|(id, _)| *id == sequence.id);
            // A prompt's last token goes without: a span is of one kind.
            let has_place = planned && sequence.is_decoding() && !sequence.is_in_prompt();
            let budget = if has_place { draft.budget } else { 0 };
            draft.budget -= sequence.plan_draft_tokens(budget, &self.limits);
        }
    }

    fn seal(&mut self, mut draft: Draft) -> Plan {
        draft
            .spans
            .sort_by_key(|(id, _)| self.running[place_of(&self.running, *id)].is_in_prompt());
        let mut spans = Vec::with_capacity(draft.spans.len());
        for (id, len) in &draft.spans {
            let place = place_of(&self.running, *id);
            let sequence = &mut self.running[place];
            sequence.step_last = self.step;
            spans.push(sequence.span(*len, &self.limits));
        }
        let total: usize = spans.iter().map(|span| span.tokens.len()).sum();
        assert!(total <= self.limits.step_tokens_max as usize, "the step keeps its budget");
        assert!(!spans.is_empty() || self.is_idle(), "with work there is always a step");
        self.in_flight = draft.spans;
        Plan { spans }
    }

    /// One token for each sequence that answers; those that waited longest for a step first,
    /// which matters only when there are more than a step holds.
    fn draft_decodes(&mut self, draft: &mut Draft) {
        let decoding = self.running.iter().filter(|sequence| sequence.is_decoding());
        let mut order: Vec<_> = decoding.map(|s| (s.step_last, s.arrival, s.id)).collect();
        order.sort_unstable();
        for (_, _, id) in order {
            if draft.budget == 0 {
                break;
            }
            self.draft_decode(id, draft);
        }
    }

    fn draft_decode(&mut self, id: RequestId, draft: &mut Draft) {
        loop {
            // A victim of an earlier turn may be among those still in the list.
            let Some(place) = self.running.iter().position(|sequence| sequence.id == id) else {
                return;
            };
            if self.running[place].reserve(1, &self.pool, &self.limits) == 1 {
                draft.spans.push((id, 1));
                draft.budget -= 1;
                return;
            }
            assert!(self.running.len() > 1, "alone, a sequence that is not full has a page");
            let victim = self.victim(None).expect("somebody holds the pages");
            self.preempt(victim, draft);
        }
    }

    /// The youngest sequence of the user whose sequences hold most pages. Those that were
    /// preempted too often come last, and then the youngest of them.
    fn victim(&self, spared: Option<RequestId>) -> Option<RequestId> {
        let holds = |s: &&Sequence| s.page_count() > 0 && Some(s.id) != spared;
        let candidates: Vec<&Sequence> = self.running.iter().filter(holds).collect();
        let held_by = |user: u64| {
            let own = self.running.iter().filter(|sequence| sequence.user == user);
            own.map(Sequence::page_count).sum::<usize>()
        };
        let seldom = |s: &&&Sequence| s.preemptions < PREEMPTIONS_MAX;
        let greediest =
            candidates.iter().filter(seldom).max_by_key(|s| (held_by(s.user), s.user, s.arrival));
        let youngest = || candidates.iter().max_by_key(|s| s.arrival);
        greediest.or_else(youngest).map(|sequence| sequence.id)
    }

    fn preempt(&mut self, id: RequestId, draft: &mut Draft) {
        let mut sequence = self.running.remove(place_of(&self.running, id));
        sequence.release_pages();
        sequence.preemptions = sequence.preemptions.saturating_add(1);
        let before = draft.spans.iter().find(|(other, _)| *other == id).map_or(0, |(_, len)| *len);
        draft.budget += before;
        draft.spans.retain(|(other, _)| *other != id);
        draft.has_preempted = true;
        let place = self.waiting.partition_point(|other| other.arrival < sequence.arrival);
        self.waiting.insert(place, sequence);
        self.events.push(Event::Preempted { id });
    }

    /// Gives seats away while prompts can use what is left of the step and their pages are there.
    /// The one whose turn it is is never passed by, so that large prompts do not starve.
    fn start_waiting(&mut self, draft: &Draft) {
        while self.running.len() < self.limits.sequences_max as usize {
            let prefilling = self.running.iter().filter(|sequence| !sequence.is_decoding());
            let (count, tokens) =
                prefilling.fold((0, 0), |(count, sum), s| (count + 1, sum + s.remaining()));
            let is_useful = count < PREFILLS_TOGETHER_MAX && count < draft.budget;
            if tokens >= draft.budget && !is_useful {
                return;
            }
            let Some(place) = self.next_to_start() else { return };
            let limits = self.limits;
            self.waiting[place].take_prefix(&self.pool, &limits);
            if !self.fits(&self.waiting[place]) {
                self.waiting[place].release_pages();
                return;
            }
            self.start(place);
        }
    }

    fn start(&mut self, place: usize) {
        let mut sequence = self.waiting.remove(place);
        let taken = |seat: &u32| self.running.iter().any(|other| other.seat == *seat);
        let free = (0..self.limits.sequences_max).find(|seat| !taken(seat));
        sequence.seat = free.expect("nothing starts without a free seat");
        let cached_len = sequence.computed();
        self.events.push(Event::Started { id: sequence.id, cached_len });
        let place = self.running.partition_point(|other| other.arrival < sequence.arrival);
        self.running.insert(place, sequence);
    }

    /// Whose turn it is: the first of the least served user, but before all, who was preempted too
    /// often.
    fn next_to_start(&self) -> Option<usize> {
        let often = |sequence: &Sequence| sequence.preemptions >= PREEMPTIONS_MAX;
        if let Some(place) = self.waiting.iter().position(often) {
            return Some(place);
        }
        let mut use_of = std::collections::BTreeMap::new();
        for sequence in &self.waiting {
            use_of.entry(sequence.user).or_insert_with(|| self.use_of(sequence.user));
        }
        let order = |place: &usize| {
            let sequence = &self.waiting[*place];
            (use_of[&sequence.user], sequence.arrival)
        };
        (0..self.waiting.len()).min_by_key(order)
    }

    /// Whether all its tokens would have pages, beside what those that run still need for theirs
    /// and, if any run, a page to grow. A forecast, not a reservation: nothing can deadlock on it.
    fn fits(&self, sequence: &Sequence) -> bool {
        let missing = |s: &Sequence| self.limits.pages_for(s.tokens.len()) - s.page_count();
        let promised: usize = self.running.iter().map(missing).sum();
        let to_grow = usize::from(!self.running.is_empty());
        missing(sequence) + promised + to_grow <= self.pool.available()
    }

    /// Shares the rest of the step among prompts: equal parts, and what short ones leave goes to
    /// longer ones. Users least served come first where parts or pages are scarce.
    fn draft_prefills(&mut self, draft: &mut Draft) {
        let planned = |id| draft.spans.iter().any(|(other, _)| *other == id);
        let has_pages = self.pool.available() > 0;
        let can_go_on = |s: &&Sequence| has_pages || s.has_room(&self.limits);
        // One that just started with a prefix may lack a single token, like those that answer.
        let prefilling = self.running.iter().filter(|s| !planned(s.id)).filter(can_go_on);
        let mut order: Vec<_> = prefilling
            .map(|s| (self.fairness.served(s.user), s.arrival, s.id, s.remaining_of_kind()))
            .collect();
        order.sort_unstable();
        order.truncate(draft.budget);
        let remaining: Vec<usize> = order.iter().map(|(_, _, _, remaining)| *remaining).collect();
        let shares = shares(&remaining, draft.budget);
        for ((_, _, id, _), share) in order.into_iter().zip(shares) {
            let place = place_of(&self.running, id);
            let len = self.running[place].reserve(share, &self.pool, &self.limits);
            if len > 0 {
                draft.spans.push((id, len));
                draft.budget -= len;
            }
        }
    }
}

fn place_of(sequences: &[Sequence], id: RequestId) -> usize {
    let place = sequences.iter().position(|sequence| sequence.id == id);
    place.expect("a drafted sequence runs")
}

/// Divides `budget` so that nobody gets more than is wanted and, of those who get less, all get
/// the same but for one.
fn shares(wanted: &[usize], budget: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|place| wanted[*place]);
    let mut left = budget;
    let mut shares = vec![0; wanted.len()];
    for (served, place) in order.iter().enumerate() {
        let share = (left / (order.len() - served)).min(wanted[*place]);
        shares[*place] = share;
        left -= share;
    }
    shares
}
