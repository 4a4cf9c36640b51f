//! A small model that says what the large one may say next. It has a cache of its own with as many
//! pages, so that the page tables of a plan are its page tables too. It reads what it has not seen
//! of a sequence only when it is asked to draft for it, so that it costs nothing where it does not
//! pay. Whatever it says is only a draft: answers are the same with and without.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use model::{Model, ModelSpec};
use scheduler::{PageId, Plan, PlanSpan, RequestId, StepResult};
use tensor::{Batch, Span};

use super::Pace;
use crate::{Error, Result};

/// Steps of the large model after which what drafting was seen to cost is forgotten, so that a
/// measurement that went wrong does not keep it off for ever.
const FORGET_AFTER: u32 = 256;

/// Pages of a draft model's cache beside a model with so many pages and sequences: each sequence
/// has one more, for drafts that begin a page which it does not hold yet.
#[must_use]
pub fn draft_pages(page_count: u32, sequences_max: u32) -> u32 {
    page_count.saturating_add(sequences_max)
}

/// Whether one model can draft for another, as far as it can be told before they are loaded.
///
/// # Errors
/// [`Error::Draft`] with what is in the way.
pub fn can_draft(target: &ModelSpec, draft: &ModelSpec) -> Result<()> {
    let no_text = (target.pooling.is_some(), "the model makes no text, so none is drafted");
    let makes_none = (draft.pooling.is_some(), "it makes no text");
    let fixed = "the model keeps a state that cannot go back to before a wrong draft";
    let fixed = (target.state().0.is_some(), fixed);
    let own = "it keeps a state that cannot go back to before a wrong draft";
    let own = (draft.state().0.is_some(), own);
    match [no_text, makes_none, fixed, own].into_iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(Error::Draft(why.to_owned())),
        None => Ok(()),
    }
}

/// The draft model, and what its cache holds.
pub(crate) struct Drafter {
    model: Model,
    page_len: usize,
    /// By page of the plans: how many of its positions, from the first on, hold the keys of what
    /// the sequences that hold the page have there.
    filled: Vec<usize>,
    /// Tokens of the large model, which may be some more or fewer.
    vocab_len: usize,
    pace: Pace,
    /// What a step is believed to take of one of the large model, until it is measured.
    share: f64,
    idle: u32,
    logits: Vec<f32>,
}

/// A sequence to draft for.
pub(crate) struct Ahead {
    pub(crate) id: RequestId,
    /// Of the plan that was committed last; a page of its own behind them where the next token
    /// begins one.
    pages: Vec<u32>,
    /// Those known, and then those drafted.
    tokens: Vec<u32>,
    prompt_len: usize,
    known: usize,
    /// Most to draft.
    most: usize,
    /// Whose keys are in the cache, from the first on.
    computed: usize,
    /// Rows computed for it in this turn.
    pub(crate) rows: usize,
    is_done: bool,
}

impl Ahead {
    pub(crate) fn drafted(&self) -> &[u32] {
        &self.tokens[self.known..]
    }

    /// The same with a shorter draft.
    pub(crate) fn short(mut self, most: usize) -> Ahead {
        self.most = self.most.min(most);
        self
    }

    /// Whether the next token to compute is of the prompt.
    fn is_in_prompt(&self) -> bool {
        self.computed < self.prompt_len
    }

    fn is_full(&self) -> bool {
        self.drafted().len() >= self.most
    }
}

/// What a turn of drafting took.
pub(crate) struct Took {
    pub(crate) steps: u64,
    pub(crate) time: Duration,
}

/// Chooses the token that follows others by logits of the large model's vocabulary; none where
/// nothing is to follow.
pub(crate) type Guess<'a> = &'a dyn Fn(RequestId, &mut [f32], &[u32]) -> Option<u32>;

impl Drafter {
    /// Refuses models that cannot do this.
    pub(crate) fn new(target: &Model, draft: Model, pages: (u32, u32)) -> Result<Drafter> {
        can_draft(target.spec(), draft.spec())?;
        if draft.kv_window().is_some() {
            let why = "its layers that see only a window have pages of their own";
            return Err(Error::Draft(why.to_owned()));
        }
        let (page_count, sequences_max) = pages;
        let (layout, own) = (target.kv_layout(), draft.kv_layout());
        let count = draft_pages(page_count, sequences_max) as usize;
        assert!(own.page_len == layout.page_len && own.page_count >= count, "loaded for drafting");
        Ok(Drafter {
            page_len: own.page_len,
            filled: vec![0; page_count as usize],
            vocab_len: target.spec().vocab,
            pace: Pace::default(),
            share: draft.parameters() as f64 / target.parameters().max(1) as f64,
            idle: 0,
            logits: Vec::new(),
            model: draft,
        })
    }

    /// What a step of so many rows takes, seen or believed.
    pub(crate) fn seconds(&self, rows: usize, target: &Pace) -> f64 {
        if rows == 0 {
            return 0.0;
        }
        if self.pace.is_known() {
            return self.pace.seconds(rows);
        }
        target.seconds(rows) * self.share
    }

    /// Takes in what the large model computed: pages that it began hold something new, and what
    /// was drafted and not accepted is gone.
    pub(crate) fn settle(&mut self, plan: &Plan, results: &[(RequestId, StepResult)]) {
        for (span, (id, result)) in plan.spans.iter().zip(results) {
            assert_eq!(span.id, *id, "results are in the order of the plan");
            let (first, page_len) = (span.first_position, self.page_len);
            let begun = first.div_ceil(page_len)..span.end_position().div_ceil(page_len);
            for page in &span.pages.numbers()[begun] {
                self.filled[*page as usize] = 0;
            }
            let accepted = match result {
                StepResult::Token(made) | StepResult::Finish(made, _) => made.accepted as usize,
                StepResult::Prefilled | StepResult::Failed => 0,
            };
            let computed = span.end_position() - span.drafted as usize + accepted;
            if let Some(PageId(page)) = span.pages.get(computed / page_len) {
                let filled = &mut self.filled[page as usize];
                *filled = (*filled).min(computed % page_len);
            }
        }
    }

    /// A sequence whose tokens are known up to the one that the last step made. None where the
    /// draft model cannot follow: its context is shorter, or it does not know a token.
    pub(crate) fn ahead(
        &self,
        span: &PlanSpan,
        (tokens, prompt_len): (&[u32], usize),
        most: usize,
    ) -> Option<Ahead> {
        let last = tokens.len() - 1;
        let mut pages = span.pages.numbers().to_vec();
        let mut computed = 0;
        for page in &pages {
            let filled = self.filled[*page as usize];
            computed += filled;
            if filled < self.page_len {
                break;
            }
        }
        if pages.len() * self.page_len == last {
            pages.push(u32::try_from(self.filled.len()).ok()? + span.seat);
        }
        let computed = computed.min(last);
        let most = most.min(self.model.context_len().saturating_sub(last));
        let vocab = self.model.spec().vocab;
        if most == 0 || tokens[computed..].iter().any(|token| *token as usize >= vocab) {
            return None;
        }
        let (id, known) = (span.id, tokens.len());
        let tokens = tokens.to_vec();
        let rows = 0;
        Some(Ahead { id, pages, tokens, prompt_len, known, most, computed, rows, is_done: false })
    }

    /// Drafts for all of them together: reads first what was not seen yet of each, as much as a
    /// step holds; who has more to read gets no draft in this turn.
    pub(crate) fn draft(&mut self, aheads: &mut [Ahead], guess: Guess<'_>) -> model::Result<Took> {
        let mut took = Took { steps: 0, time: Duration::ZERO };
        loop {
            let started = Instant::now();
            let rows = self.step(aheads, guess)?;
            if rows == 0 {
                return Ok(took);
            }
            let time = started.elapsed();
            self.pace.note(rows, time.as_secs_f64());
            took.steps += 1;
            took.time += time;
            self.idle = 0;
        }
    }

    /// Nobody was drafted for.
    pub(crate) fn rest(&mut self) {
        self.idle += 1;
        if self.idle >= FORGET_AFTER {
            (self.idle, self.pace) = (0, Pace::default());
        }
    }

    /// Computes what the sequences want next, first of prompts and then of answers, and takes a
    /// token for those that are up to date.
    fn step(&mut self, aheads: &mut [Ahead], guess: Guess<'_>) -> model::Result<usize> {
        let mut turn = Turn::default();
        let is_prompt = aheads.iter().any(|ahead| !ahead.is_done && ahead.is_in_prompt());
        let of_kind = |ahead: &Ahead| ahead.is_in_prompt() == is_prompt;
        for (place, ahead) in aheads.iter().enumerate().filter(|(_, ahead)| of_kind(ahead)) {
            let left = self.model.rows_max() - turn.tokens.len();
            turn.take(place, ahead, left, self.page_len);
        }
        // Who found no room here goes on in a later turn.
        for (place, ahead) in aheads.iter_mut().enumerate().filter(|(_, ahead)| of_kind(ahead)) {
            ahead.is_done |= turn.rows.iter().all(|(other, _)| *other != place);
        }
        if turn.tokens.is_empty() {
            return Ok(0);
        }
        let span = |(place, rows): &(usize, usize)| {
            let ahead = &aheads[*place];
            let (first_position, pages) = (ahead.computed, ahead.pages.as_slice());
            Span { rows: *rows, first_position, pages, state: 0 }
        };
        let spans: Vec<Span<'_>> = turn.rows.iter().map(span).collect();
        let decode_rows = if is_prompt { 0 } else { turn.tokens.len() };
        let batch = Batch { tokens: &turn.tokens, spans: &spans, decode_rows };
        self.model.forward((&batch, &[]), &turn.output_rows, &mut self.logits)?;
        let mut outputs = self.logits.chunks_exact(self.model.spec().vocab);
        let mut row = Vec::with_capacity(self.vocab_len);
        for (place, rows) in &turn.rows {
            let ahead = &mut aheads[*place];
            note_filled(&mut self.filled, self.page_len, ahead, *rows);
            if ahead.computed < ahead.tokens.len() {
                ahead.is_done = ahead.computed != ahead.prompt_len;
                continue;
            }
            let logits = outputs.next().expect("each that is up to date has an output row");
            row.clear();
            row.extend(logits.iter().take(self.vocab_len));
            // What the draft model does not know it never says.
            row.resize(self.vocab_len, f32::NEG_INFINITY);
            let known = logits.len();
            let token = guess(ahead.id, &mut row, &ahead.tokens);
            ahead.tokens.extend(token.filter(|token| (*token as usize) < known));
            ahead.is_done = ahead.tokens.len() == ahead.computed || ahead.is_full();
        }
        Ok(turn.tokens.len())
    }
}

/// The rows of one step of the draft model.
#[derive(Default)]
struct Turn {
    tokens: Vec<u32>,
    /// By sequence, how many.
    rows: Vec<(usize, usize)>,
    output_rows: Vec<u32>,
    /// Pages that are written: two that start with the same text do not read it at once.
    written: HashSet<u32>,
}

impl Turn {
    fn take(&mut self, place: usize, ahead: &Ahead, left: usize, page_len: usize) {
        let first = ahead.computed;
        let whole = if ahead.is_in_prompt() { ahead.prompt_len } else { ahead.tokens.len() };
        let end = whole.min(first + left);
        if ahead.is_done || end == first {
            return;
        }
        let pages = &ahead.pages[first / page_len..end.div_ceil(page_len)];
        if pages.iter().any(|page| self.written.contains(page)) {
            return;
        }
        self.written.extend(pages);
        self.tokens.extend_from_slice(&ahead.tokens[first..end]);
        self.rows.push((place, end - first));
        if end == ahead.tokens.len() {
            let row = self.tokens.len() - 1;
            self.output_rows.push(u32::try_from(row).expect("a step is far below 2^32 rows"));
        }
    }
}

/// Notes that the next `rows` positions of a sequence are in the cache.
fn note_filled(filled: &mut [usize], page_len: usize, ahead: &mut Ahead, rows: usize) {
    let (first, end) = (ahead.computed, ahead.computed + rows);
    for place in first / page_len..end.div_ceil(page_len) {
        // Nothing is known of a sequence's page of its own once the turn is over.
        if let Some(filled) = filled.get_mut(ahead.pages[place] as usize) {
            *filled = (end - place * page_len).min(page_len);
        }
    }
    ahead.computed = end;
    ahead.rows += rows;
}
