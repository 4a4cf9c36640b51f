//! After each step: what is drafted for whom, by what, and whether it pays.

use std::collections::HashMap;
use std::time::Duration;

use scheduler::{Plan, PlanSpan, RequestId, Scheduler, StepResult};
use tokenizer::Tokenizer;

use super::{Ahead, Drafter, Lookup, Luck, Pace, Prediction, Source, Speculation, choose};
use crate::engine::Shared;
use crate::step::Running;

/// What drafts of one request are made from, and how often they were right.
#[derive(Debug)]
pub(crate) struct Guesses {
    /// Where the answer begins.
    prompt_len: usize,
    lookup: Lookup,
    prediction: Option<Prediction>,
    by_lookup: Luck,
    by_prediction: Luck,
    by_model: Luck,
    /// What the last draft came from.
    pub(crate) source: Source,
}

impl Guesses {
    /// Of a request whose answer may be as predicted; empty where nothing is.
    pub(crate) fn new(prompt_len: usize, prediction: Vec<u32>) -> Guesses {
        Guesses {
            prompt_len,
            lookup: Lookup::default(),
            prediction: (!prediction.is_empty()).then(|| Prediction::new(prediction)),
            by_lookup: Luck::new(),
            by_prediction: Luck::new(),
            by_model: Luck::new(),
            source: Source::Lookup,
        }
    }

    /// Of `drafted` tokens of the last draft the first `accepted` were right.
    pub(crate) fn note(&mut self, drafted: usize, accepted: usize) {
        match self.source {
            Source::Lookup => self.by_lookup.note(drafted, accepted),
            Source::Prediction => self.by_prediction.note(drafted, accepted),
            Source::Model => self.by_model.note(drafted, accepted),
        }
    }

    /// Nothing was drafted: what was not lucky may be so later.
    fn rest(&mut self) {
        for luck in [&mut self.by_lookup, &mut self.by_prediction, &mut self.by_model] {
            luck.note(0, 0);
        }
    }

    /// What follows `tokens`, prompt and answer, by the prediction or else by the conversation, and
    /// how lucky drafts of that kind were.
    fn find(&mut self, tokens: &[u32], most: usize) -> (Vec<u32>, Source, Luck) {
        let answer = tokens.get(self.prompt_len..).unwrap_or(&[]);
        if let Some(prediction) = &mut self.prediction {
            let found = prediction.draft(answer, most);
            if !found.is_empty() {
                return (found.to_vec(), Source::Prediction, self.by_prediction);
            }
        }
        (self.lookup.draft(tokens, most).to_vec(), Source::Lookup, self.by_lookup)
    }
}

/// Decides after each step what to draft, and has it drafted.
pub(crate) struct Speculator {
    mode: Speculation,
    pace: Pace,
    drafter: Option<Drafter>,
}

/// A sequence that made a token, and what could be drafted for it.
struct Wish<'a> {
    span: &'a PlanSpan,
    /// What was found without asking a model, and by what.
    found: Vec<u32>,
    found_by: Source,
    /// Most draft tokens that the next step takes.
    room: usize,
    luck: choose::Lucks,
    /// Where a draft model can be asked.
    ahead: Option<Ahead>,
}

impl Speculator {
    pub(crate) fn new(mode: Speculation, drafter: Option<Drafter>) -> Speculator {
        Speculator { mode, pace: Pace::default(), drafter }
    }

    /// A step of so many rows, all of answers, took so long.
    pub(crate) fn note(&mut self, rows: usize, time: Duration) {
        self.pace.note(rows, time.as_secs_f64());
    }

    /// Takes in what a step computed.
    pub(crate) fn settle(&mut self, plan: &Plan, results: &[(RequestId, StepResult)]) {
        if let Some(drafter) = &mut self.drafter {
            drafter.settle(plan, results);
        }
    }

    /// Drafts what the sequences that made a token in the step of this plan may say next.
    pub(crate) fn speculate(
        &mut self,
        shared: &Shared,
        plan: &Plan,
        live: &mut HashMap<RequestId, Running>,
        tokenizer: &Tokenizer,
    ) {
        if self.mode == Speculation::Off {
            return;
        }
        let mut wishes = self.wishes(plan, &shared.lock().scheduler, live);
        let choices = self.choose(&wishes);
        let mut drafts: Vec<(RequestId, Source, Vec<u32>)> = Vec::new();
        let mut aheads = Vec::new();
        for (wish, choice) in wishes.iter_mut().zip(choices) {
            let (id, count) = (wish.span.id, choice.count);
            match (choice.source, wish.ahead.take()) {
                (Source::Model, Some(ahead)) if count > 0 => aheads.push(ahead.short(count)),
                (Source::Model, _) => {}
                (Source::Lookup | Source::Prediction, _) => {
                    wish.found.truncate(count);
                    drafts.push((id, wish.found_by, std::mem::take(&mut wish.found)));
                }
            }
        }
        self.ask_model(&mut aheads, shared, live, tokenizer);
        let drafted = |ahead: &Ahead| (ahead.id, Source::Model, ahead.drafted().to_vec());
        drafts.extend(aheads.iter().map(drafted));
        let mut state = shared.lock();
        for wish in &wishes {
            let Some(running) = live.get_mut(&wish.span.id) else { continue };
            let own = drafts.iter().find(|(id, _, draft)| *id == wish.span.id && !draft.is_empty());
            let Some((id, source, draft)) = own else {
                running.guesses.rest();
                continue;
            };
            running.guesses.source = *source;
            state.scheduler.speculate(*id, draft);
        }
    }

    fn wishes<'a>(
        &self,
        plan: &'a Plan,
        scheduler: &Scheduler,
        live: &mut HashMap<RequestId, Running>,
    ) -> Vec<Wish<'a>> {
        // A prompt that is not read yet takes the rest of the next step: no draft is computed then.
        let is_reading = plan.spans.iter().any(|span| !span.wants_token);
        let drafter = self.drafter.as_ref().filter(|_| !is_reading);
        let of_span = |span: &'a PlanSpan| {
            let guesses = &mut live.get_mut(&span.id)?.guesses;
            let tokens = scheduler.tokens_of(span.id)?;
            let room = scheduler.draft_room(span.id);
            let (found, found_by, lookup) = guesses.find(tokens, room);
            let tokens_of_prompt = scheduler.prompt_len_of(span.id)?;
            let ahead = drafter
                .filter(|_| room > 0)
                .and_then(|drafter| drafter.ahead(span, (tokens, tokens_of_prompt), room));
            let luck = choose::Lucks { lookup, model: guesses.by_model };
            Some(Wish { span, found, found_by, room, luck, ahead })
        };
        plan.spans.iter().filter(|span| span.wants_token).filter_map(of_span).collect()
    }

    fn choose(&self, wishes: &[Wish<'_>]) -> Vec<choose::Choice> {
        let wishes: Vec<choose::Wish> = wishes
            .iter()
            .map(|wish| choose::Wish {
                found: wish.found.len(),
                room: if wish.ahead.is_some() { wish.room } else { 0 },
                luck: wish.luck,
            })
            .collect();
        if self.mode == Speculation::Always {
            return choose::all(&wishes);
        }
        let draft_seconds = |rows| {
            let drafter = self.drafter.as_ref();
            drafter.map_or(f64::INFINITY, |drafter| drafter.seconds(rows, &self.pace))
        };
        choose::what_pays(&wishes, &self.pace, &draft_seconds)
    }

    /// Has the draft model go ahead. When it fails it is asked no more: answers need it not.
    fn ask_model(
        &mut self,
        aheads: &mut [Ahead],
        shared: &Shared,
        live: &mut HashMap<RequestId, Running>,
        tokenizer: &Tokenizer,
    ) {
        let Some(drafter) = &mut self.drafter else { return };
        if aheads.is_empty() {
            return drafter.rest();
        }
        let guess = |id: RequestId, logits: &mut [f32], history: &[u32]| {
            live.get(&id)?.guess(logits, history, tokenizer)
        };
        match drafter.draft(aheads, &guess) {
            Ok(took) => {
                let rows: usize = aheads.iter().map(|ahead| ahead.rows).sum();
                for ahead in aheads.iter() {
                    if let Some(running) = live.get_mut(&ahead.id) {
                        running.charge(took.time.mul_f64(ahead.rows as f64 / rows.max(1) as f64));
                    }
                }
                let counts = &mut shared.ledger().counts;
                counts.busy += took.time;
                counts.drafting.steps += took.steps;
                counts.drafting.rows += rows as u64;
                counts.drafting.busy += took.time;
            }
            Err(error) => {
                tracing::error!(%error, "the draft model failed and is asked no more");
                self.drafter = None;
            }
        }
    }
}
