//! The loop: plan, run the model, sample, commit, tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grammar::Matcher;
use model::{AdapterScale, Model};
use scheduler::{
    Event as Scheduled, FinishReason, Made, Outcome, Plan, PlanSpan, RequestId, StepResult,
};
use tensor::{Batch, Span};
use tokenizer::{StreamDecoder, Tokenizer};

use crate::engine::{Markers, Shared};
use crate::sampling::{Sampled, Sampler};
use crate::speculation::{Guesses, Source, Speculator};
use crate::stats::{Counts, Ledger};
use crate::stop::StopMatcher;
use crate::stream::{Event, Sender, TokenEvent, Usage};
use crate::{CancelToken, Error};

/// What becomes of tokens on their way to the reader.
pub(crate) struct Reading {
    pub(crate) stop: StopMatcher,
    pub(crate) markers: Arc<Markers>,
}

/// How tokens come to be.
pub(crate) struct Choosing {
    pub(crate) sampler: Sampler,
    pub(crate) constraint: Option<Matcher>,
    pub(crate) adapters: Vec<AdapterScale>,
}

impl Choosing {
    /// Draws the token after `history`: among those that the constraint allows, if there is one.
    /// Says also whether the answer is whole with it.
    fn draw(&mut self, logits: &mut [f32], history: &[u32]) -> Result<(Sampled, bool), Error> {
        let mask = match &mut self.constraint {
            None => None,
            Some(matcher) => {
                Some(matcher.mask().map_err(|error| Error::Constraint(error.to_string()))?)
            }
        };
        let sampled = self.sampler.sample(logits, history, mask);
        let is_whole = self.accept(sampled.token)?;
        Ok((sampled, is_whole))
    }

    /// Takes in the token; says whether the answer is whole with it.
    fn accept(&mut self, token: u32) -> Result<bool, Error> {
        let Some(matcher) = &mut self.constraint else { return Ok(false) };
        // Where the logits leave nothing of a mask, the sampler's answer is none.
        let refused = |_| {
            let why = "the model gives no chance to any token that fits: ask without logit_bias";
            Error::Constraint(why.to_owned())
        };
        matcher.accept(token).map_err(refused)?;
        Ok(matcher.is_finished())
    }
}

/// A request as the step thread sees it.
pub(crate) struct Running {
    sender: Sender<Event>,
    cancel: CancelToken,
    cancel_told: bool,
    choosing: Choosing,
    reading: Reading,
    decoder: StreamDecoder,
    pub(crate) guesses: Guesses,
    failure: Option<Error>,
    usage: Usage,
    submitted: Instant,
    first_step: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl Running {
    pub(crate) fn new(
        (sender, cancel): (Sender<Event>, CancelToken),
        choosing: Choosing,
        reading: Reading,
        guesses: Guesses,
        prompt_tokens: u32,
    ) -> Running {
        Running {
            sender,
            cancel,
            cancel_told: false,
            choosing,
            reading,
            decoder: StreamDecoder::new(),
            guesses,
            failure: None,
            usage: Usage { prompt_tokens, ..Usage::default() },
            submitted: Instant::now(),
            first_step: None,
            first_token: None,
            last_token: None,
        }
    }

    /// Takes in a sampled token: streams its text and tells why the answer ends, if it does.
    fn take(
        &mut self,
        sampled: Sampled,
        tokenizer: &Tokenizer,
        counts: &mut Counts,
    ) -> Option<FinishReason> {
        let id = sampled.token;
        self.note_token(counts);
        let markers = &self.reading.markers;
        if tokenizer.is_end_of_generation(id) && !markers.not_ends.contains(&id) {
            return Some(FinishReason::EndOfText);
        }
        let is_text = !tokenizer.is_special(id) || markers.shown.contains(&id);
        let bytes: &[u8] = if is_text { tokenizer.token_bytes(id) } else { &[] };
        let decoded = self.decoder.push(bytes);
        let (text, stopped) = self.reading.stop.push(&decoded);
        self.sender.send(Event::Token(TokenEvent { id, text, logprob: sampled.logprob }));
        stopped.then_some(FinishReason::Stop)
    }

    /// Notes the first step.
    fn begin(&mut self, now: Instant, counts: &mut Counts) {
        if self.first_step.is_none() {
            self.first_step = Some(now);
            counts.queued.record(now.saturating_duration_since(self.submitted));
        }
    }

    fn note_drafted(&mut self, drafted: usize, accepted: u32, counts: &mut Counts) {
        if drafted > 0 {
            self.usage.draft_tokens += u32::try_from(drafted).unwrap_or(u32::MAX);
            self.usage.accepted_tokens += accepted;
            counts.draft_tokens += drafted as u64;
            counts.accepted_tokens += u64::from(accepted);
            match self.guesses.source {
                Source::Lookup => {}
                Source::Prediction => {
                    let rejected = u32::try_from(drafted).unwrap_or(u32::MAX) - accepted;
                    self.usage.accepted_prediction_tokens += accepted;
                    self.usage.rejected_prediction_tokens += rejected;
                }
                Source::Model => {
                    counts.drafting.draft_tokens += drafted as u64;
                    counts.drafting.accepted_tokens += u64::from(accepted);
                }
            }
            self.guesses.note(drafted, accepted as usize);
        }
    }

    /// What a draft model's logits make likeliest after `history`; none where the answer would
    /// end, for nothing follows then.
    pub(crate) fn guess(
        &self,
        logits: &mut [f32],
        history: &[u32],
        tokenizer: &Tokenizer,
    ) -> Option<u32> {
        let token = self.choosing.sampler.guess(logits, history);
        let ends = tokenizer.is_end_of_generation(token);
        (!ends || self.reading.markers.not_ends.contains(&token)).then_some(token)
    }

    /// Its part of the time that something took.
    pub(crate) fn charge(&mut self, time: Duration) {
        self.usage.busy += time;
    }

    fn note_token(&mut self, counts: &mut Counts) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            Some(before) => counts.inter_token.record(now.duration_since(before)),
            None => counts.first_token.record(now.duration_since(self.submitted)),
        }
        self.first_token.get_or_insert(now);
        self.usage.completion_tokens += 1;
        counts.made_tokens += 1;
    }

    /// Tells the end, once it is counted: whoever hears of it finds it counted.
    fn finish(mut self, reason: FinishReason, ledger: &mut Ledger) {
        self.close_times();
        let reason = match reason {
            _ if self.failure.is_some() => FinishReason::Failed,
            FinishReason::Cancelled if self.cancel.is_enough() => FinishReason::Stop,
            FinishReason::EndOfText
            | FinishReason::Stop
            | FinishReason::Length
            | FinishReason::Context
            | FinishReason::Cancelled
            | FinishReason::Failed => reason,
        };
        ledger.end(reason, self.usage, self.submitted.elapsed());
        if let Some(error) = self.failure {
            return self.sender.send(Event::Failed(error));
        }
        if reason == FinishReason::Failed {
            let error = Error::Step("the scheduler gave the request up".to_owned());
            return self.sender.send(Event::Failed(error));
        }
        if reason != FinishReason::Stop {
            let rest = self.decoder.finish();
            let (mut tail, stopped) = self.reading.stop.push(&rest);
            if !stopped {
                tail.push_str(&self.reading.stop.finish());
            }
            if !tail.is_empty() {
                self.sender.send(Event::Tail(tail));
            }
        }
        self.sender.send(Event::Finished { reason, usage: self.usage });
    }

    fn close_times(&mut self) {
        let now = Instant::now();
        let first_step = self.first_step.unwrap_or(now);
        let first_token = self.first_token.unwrap_or(now);
        self.usage.queued = first_step.duration_since(self.submitted);
        self.usage.prefill = first_token.saturating_duration_since(first_step);
        self.usage.decode =
            self.first_token.map_or(Duration::ZERO, |first| now.saturating_duration_since(first));
    }
}

/// Runs until the engine is dropped; every request that was admitted is told its end.
pub(crate) fn run(
    shared: &Shared,
    mut model: Model,
    tokenizer: &Tokenizer,
    mut speculator: Speculator,
) {
    let mut live: HashMap<RequestId, Running> = HashMap::new();
    let mut logits = Vec::new();
    while let Some((plan, events)) = next_plan(shared, &mut live) {
        tell(shared, &mut live, events);
        if plan.spans.is_empty() {
            continue;
        }
        let _step = tracing::trace_span!("step", sequences = plan.spans.len()).entered();
        let now = Instant::now();
        for span in &plan.spans {
            if let Some(running) = live.get_mut(&span.id) {
                running.begin(now, &mut shared.ledger().counts);
            }
        }
        let results = match forward(&mut model, &plan, &live, &mut logits) {
            Ok(()) => sample_all(shared, &plan, &mut logits, &mut live, tokenizer),
            Err(error) => fail_all(&plan, &mut live, &error),
        };
        charge(&plan, (now.elapsed(), &mut speculator), &mut live, &mut shared.ledger().counts);
        speculator.settle(&plan, &results);
        let events = shared.lock().scheduler.commit(&Outcome { results });
        tell(shared, &mut live, events);
        speculator.speculate(shared, &plan, &mut live, tokenizer);
    }
    for (_, running) in live.drain() {
        running.finish(FinishReason::Cancelled, &mut shared.ledger());
    }
}

/// Waits for work; none when the engine is to stop.
fn next_plan(
    shared: &Shared,
    live: &mut HashMap<RequestId, Running>,
) -> Option<(Plan, Vec<Scheduled>)> {
    let mut state = shared.lock();
    loop {
        live.extend(state.arrivals.drain(..));
        if state.stopping {
            return None;
        }
        for (id, running) in live.iter_mut() {
            if running.cancel.is_set() && !running.cancel_told {
                running.cancel_told = true;
                state.scheduler.cancel(*id);
            }
        }
        let mut events = state.scheduler.take_events();
        if !events.is_empty() || !state.scheduler.is_idle() {
            let plan = state.scheduler.plan(shared.tick());
            events.extend(state.scheduler.take_events());
            return Some((plan, events));
        }
        state = shared.wake.wait(state).expect("the scheduler panicked earlier");
    }
}

/// Shares the time of a step among its requests by their rows, and counts it.
fn charge(
    plan: &Plan,
    (time, speculator): (Duration, &mut Speculator),
    live: &mut HashMap<RequestId, Running>,
    counts: &mut Counts,
) {
    let rows: usize = plan.spans.iter().map(|span| span.tokens.len()).sum();
    counts.steps += 1;
    counts.busy += time;
    let mut answering_rows = 0;
    for span in &plan.spans {
        let own = span.tokens.len();
        let running = live.get_mut(&span.id);
        // The token that this step made is counted already.
        let made = running.as_ref().map_or(0, |running| running.usage.completion_tokens);
        let is_answering = span.drafted > 0 || (own == 1 && span.wants_token && made > 1);
        if is_answering {
            counts.decode_rows += own as u64;
            answering_rows += own;
        } else {
            counts.prefill_rows += own as u64;
        }
        if let Some(running) = running {
            running.charge(time.mul_f64(own as f64 / rows as f64));
        }
    }
    if answering_rows == rows {
        speculator.note(rows, time);
    }
}

fn tell(shared: &Shared, live: &mut HashMap<RequestId, Running>, events: Vec<Scheduled>) {
    for event in events {
        match event {
            Scheduled::Started { id, cached_len } => {
                if let Some(running) = live.get_mut(&id) {
                    // A request that was preempted starts again; only its first start is news.
                    if running.first_step.is_none() {
                        let cached_len = u32::try_from(cached_len).unwrap_or(u32::MAX);
                        running.usage.cached_tokens = cached_len;
                        let prompt_tokens = running.usage.prompt_tokens;
                        let counts = &mut shared.ledger().counts;
                        counts.prompt_tokens += u64::from(prompt_tokens);
                        counts.cached_tokens += u64::from(cached_len);
                        let started = Event::Started { prompt_tokens, cached_tokens: cached_len };
                        running.sender.send(started);
                    }
                }
            }
            Scheduled::Preempted { id } => {
                shared.ledger().counts.preemptions += 1;
                tracing::debug!(request = id.0, "preempted");
            }
            Scheduled::Finished { id, reason } => {
                if let Some(running) = live.remove(&id) {
                    running.finish(reason, &mut shared.ledger());
                }
            }
        }
    }
}

fn forward(
    model: &mut Model,
    plan: &Plan,
    live: &HashMap<RequestId, Running>,
    logits: &mut Vec<f32>,
) -> model::Result<()> {
    let tokens: Vec<u32> = plan.spans.iter().flat_map(|span| span.tokens.iter().copied()).collect();
    let windows: Vec<&[u32]> = plan.spans.iter().map(|span| span.window_pages.numbers()).collect();
    let mut spans = Vec::with_capacity(plan.spans.len());
    let mut output_rows = Vec::new();
    let mut row = 0;
    for span in &plan.spans {
        let (first_position, pages) = (span.first_position, span.pages.numbers());
        let state = span.seat as usize;
        spans.push(Span { rows: span.tokens.len(), first_position, pages, state });
        row += u32::try_from(span.tokens.len()).expect("a step is far shorter than 2^32 tokens");
        if span.wants_token {
            output_rows.extend(row - 1 - span.drafted..row);
        }
    }
    let answers = plan.spans.iter().take_while(|span| !span.is_prompt);
    let decode_rows = answers.map(|span| span.tokens.len()).sum();
    let batch = Batch { tokens: &tokens, spans: &spans, decode_rows };
    let adapters_of = |span: &PlanSpan| -> &[AdapterScale] {
        live.get(&span.id).map_or(&[], |running| &running.choosing.adapters)
    };
    let adapters: Vec<_> = plan.spans.iter().map(adapters_of).collect();
    model.forward_adapted((&batch, &windows), &adapters, &output_rows, logits)
}

fn sample_all(
    shared: &Shared,
    plan: &Plan,
    logits: &mut [f32],
    live: &mut HashMap<RequestId, Running>,
    tokenizer: &Tokenizer,
) -> Vec<(RequestId, StepResult)> {
    let wanted = plan.spans.iter().map(logit_rows).sum();
    let vocab_len = logits.len().checked_div(wanted).unwrap_or(1).max(1);
    let mut rest = logits;
    plan.spans
        .iter()
        .map(|span| {
            if !span.wants_token {
                return (span.id, StepResult::Prefilled);
            }
            let (own, others) =
                std::mem::take(&mut rest).split_at_mut(logit_rows(span) * vocab_len);
            rest = others;
            let mut rows = own.chunks_exact_mut(vocab_len);
            (span.id, sample(shared, span, &mut rows, live, tokenizer))
        })
        .collect()
}

/// Rows of a span whose logits are computed: of the last known token and of each draft
/// token.
fn logit_rows(span: &PlanSpan) -> usize {
    if span.wants_token { 1 + span.drafted as usize } else { 0 }
}

/// Draws the token after the last known one, and goes on as long as what was drawn is what had
/// been drafted.
fn sample(
    shared: &Shared,
    span: &PlanSpan,
    rows: &mut dyn Iterator<Item = &mut [f32]>,
    live: &mut HashMap<RequestId, Running>,
    tokenizer: &Tokenizer,
) -> StepResult {
    let Some(running) = live.get_mut(&span.id) else {
        return StepResult::Failed;
    };
    let drafts = &span.tokens[span.tokens.len() - span.drafted as usize..];
    let mut history = {
        let state = shared.lock();
        state.scheduler.tokens_of(span.id).unwrap_or(&[]).to_vec()
    };
    let mut accepted = 0;
    for logits in rows {
        let (sampled, is_whole) = match running.choosing.draw(logits, &history) {
            Ok(drawn) => drawn,
            Err(error) => {
                running.failure = Some(error);
                return StepResult::Failed;
            }
        };
        let token = sampled.token;
        let made = Made { accepted, token };
        let ends = running.take(sampled, tokenizer, &mut shared.ledger().counts);
        let ends = ends.or(is_whole.then_some(FinishReason::EndOfText));
        let is_accepted = drafts.get(accepted as usize) == Some(&token);
        if ends.is_none() && is_accepted {
            accepted += 1;
            history.push(token);
            continue;
        }
        running.note_drafted(drafts.len(), accepted, &mut shared.ledger().counts);
        return match ends {
            Some(reason) => StepResult::Finish(made, reason),
            None => StepResult::Token(made),
        };
    }
    StepResult::Failed
}

fn fail_all(
    plan: &Plan,
    live: &mut HashMap<RequestId, Running>,
    error: &model::Error,
) -> Vec<(RequestId, StepResult)> {
    tracing::error!(%error, "a step failed");
    for span in &plan.spans {
        if let Some(running) = live.get_mut(&span.id) {
            running.failure = Some(Error::Step(error.to_string()));
        }
    }
    plan.spans.iter().map(|span| (span.id, StepResult::Failed)).collect()
}
