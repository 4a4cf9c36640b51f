//! Models for retrieval: texts go in, an embedding or a score of each comes out. Several texts of
//! several requests share a step; requests take turns text by text, so that one with many texts
//! does not hold up one with few. What a text comes to does not depend on its neighbours.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use model::{Model, Pool};
use scheduler::FinishReason;
use tensor::{Batch, Span};

use crate::engine::{Engine, EngineOptions, Shared};
use crate::stats::Counts;
use crate::stream::{self, Receiver, Sender, Usage};
use crate::{CancelToken, Error, Result};

/// Texts of a request: as many as OpenAI takes.
pub const TEXTS_MAX: usize = 2048;

/// A text in tokens.
#[derive(Clone, Debug)]
pub struct TextTokens {
    /// With start and end tokens, where the model wants them.
    pub tokens: Vec<u32>,
    /// Of each token its type, such as "second text of a pair"; empty where all are 0.
    pub types: Vec<u32>,
}

/// Texts to embed or to score.
#[derive(Clone, Debug)]
pub struct RetrievalRequest {
    /// Each by itself.
    pub texts: Vec<TextTokens>,
}

/// What became of a request.
pub type Retrieved = Result<(Vec<Vec<f32>>, Usage)>;

/// What a request will bring: one event, of each text in order an embedding of the length that the
/// model gives it, or a score before any sigmoid. Dropping it gives up what is not computed yet.
pub type Retrieval = Receiver<Retrieved>;

/// Requests on their way to the step thread, and how many there are.
#[derive(Default)]
pub(crate) struct Jobs {
    arrivals: Vec<(u64, Job)>,
    queue_len_max: u32,
    now: JobStats,
    waiting_since: VecDeque<Instant>,
}

/// How many requests a model for retrieval has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JobStats {
    pub(crate) waiting: u32,
    pub(crate) running: u32,
    pub(crate) oldest_wait: Duration,
}

impl Jobs {
    pub(crate) fn new(queue_len_max: u32) -> Jobs {
        Jobs { queue_len_max, ..Jobs::default() }
    }

    pub(crate) fn clear(&mut self) {
        *self = Jobs::new(self.queue_len_max);
    }

    pub(crate) fn stats(&self) -> JobStats {
        let oldest_wait = self.waiting_since.front().map_or(Duration::ZERO, Instant::elapsed);
        JobStats { oldest_wait, ..self.now }
    }
}

/// A request on the step thread.
struct Job {
    sender: Sender<Retrieved>,
    cancel: CancelToken,
    /// Not yet computed, with their places in the request.
    texts: VecDeque<(usize, TextTokens)>,
    results: Vec<Vec<f32>>,
    /// Texts without a result.
    left: usize,
    usage: Usage,
    submitted: Instant,
    first_step: Option<Instant>,
}

impl Job {
    fn new(request: RetrievalRequest, sender: Sender<Retrieved>, cancel: CancelToken) -> Job {
        let tokens: usize = request.texts.iter().map(|text| text.tokens.len()).sum();
        let prompt_tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let left = request.texts.len();
        Job {
            sender,
            cancel,
            texts: request.texts.into_iter().enumerate().collect(),
            results: vec![Vec::new(); left],
            left,
            usage: Usage { prompt_tokens, ..Usage::default() },
            submitted: Instant::now(),
            first_step: None,
        }
    }

    /// Counts and tells the end.
    fn end(mut self, shared: &Shared, failure: Option<Error>) {
        let now = Instant::now();
        let first_step = self.first_step.unwrap_or(now);
        self.usage.queued = first_step.duration_since(self.submitted);
        self.usage.prefill = now.saturating_duration_since(first_step);
        let reason = match &failure {
            Some(_) => FinishReason::Failed,
            None if self.left > 0 => FinishReason::Cancelled,
            None => FinishReason::EndOfText,
        };
        shared.ledger().end(reason, self.usage, self.submitted.elapsed());
        match failure {
            Some(error) => self.sender.send(Err(error)),
            // Nobody listens to one that was given up.
            None if self.left > 0 => {}
            None => self.sender.send(Ok((self.results, self.usage))),
        }
    }
}

impl Engine {
    /// Queues texts to embed or to score.
    ///
    /// # Errors
    /// Every way in which a request can be refused; nothing was queued then.
    pub fn retrieve(&self, request: RetrievalRequest) -> Result<Retrieval> {
        self.check_texts(&request)?;
        let cancel = CancelToken::default();
        let (sender, retrieval) = stream::channel(cancel.clone());
        let mut state = self.shared.lock();
        if state.stopping {
            return Err(Error::Stopping);
        }
        let waiting = state.jobs.now.waiting;
        if waiting >= state.jobs.queue_len_max {
            self.shared.ledger().counts.refused_busy += 1;
            return Err(Error::QueueFull { waiting });
        }
        let id = state.next_id;
        state.next_id += 1;
        let job = Job::new(request, sender, cancel);
        state.jobs.now.waiting += 1;
        state.jobs.waiting_since.push_back(job.submitted);
        state.jobs.arrivals.push((id, job));
        drop(state);
        self.shared.wake.notify_one();
        Ok(retrieval)
    }

    fn check_texts(&self, request: &RetrievalRequest) -> Result<()> {
        let (count, context_len) = (request.texts.len(), self.context_len);
        if self.makes_text {
            return Err(Error::MakesText);
        }
        if count == 0 || count > TEXTS_MAX {
            return Err(Error::TextCount { count, max: TEXTS_MAX });
        }
        for (index, text) in request.texts.iter().enumerate() {
            let len = text.tokens.len();
            if len == 0 {
                return Err(Error::TextEmpty { index });
            }
            if len > context_len as usize {
                return Err(Error::TextTooLong { index, len, context_len });
            }
            let vocab_len = self.vocab_len;
            let unknown = |token: &&u32| **token as usize >= vocab_len;
            if let Some(token) = text.tokens.iter().find(unknown).copied() {
                return Err(Error::TokenUnknown { token, vocab_len });
            }
        }
        Ok(())
    }
}

/// The requests that the step thread has, in turns.
#[derive(Default)]
struct Turns {
    jobs: HashMap<u64, Job>,
    /// Those with texts that are not computed yet: the first is next.
    order: VecDeque<u64>,
}

/// A text of a step: whose it is, and its place there.
struct Taken {
    job: u64,
    index: usize,
    text: TextTokens,
    pages: Vec<u32>,
}

/// Runs until the engine is dropped.
pub(crate) fn run(shared: &Shared, mut model: Model, options: EngineOptions) {
    let mut turns = Turns::default();
    while let Some(taken) = next_step(shared, &mut turns, options) {
        let _step = tracing::trace_span!("step", texts = taken.len()).entered();
        let started = Instant::now();
        let results = compute(shared, &mut model, &turns, &taken);
        let time = started.elapsed();
        turns.charge(&taken, time);
        // What requests are charged adds up to this.
        shared.ledger().counts.busy += time;
        turns.settle(shared, &taken, results);
    }
    for (_, job) in turns.jobs.drain() {
        job.end(shared, Some(Error::Stopping));
    }
}

/// Waits for texts and takes those of the next step; none when the engine is to stop.
fn next_step(shared: &Shared, turns: &mut Turns, options: EngineOptions) -> Option<Vec<Taken>> {
    let mut state = shared.lock();
    loop {
        if state.stopping {
            return None;
        }
        for (id, job) in state.jobs.arrivals.drain(..) {
            turns.order.push_back(id);
            turns.jobs.insert(id, job);
        }
        turns.drop_cancelled(shared);
        let taken = turns.take(options, &mut shared.ledger().counts);
        turns.tell(&mut state.jobs);
        if !taken.is_empty() {
            return Some(taken);
        }
        state = shared.wake.wait(state).expect("the scheduler panicked earlier");
    }
}

impl Turns {
    /// How many wait and run, for whoever watches.
    fn tell(&self, jobs: &mut Jobs) {
        let waiting = self.jobs.values().filter(|job| job.first_step.is_none());
        let arrived = jobs.arrivals.iter().map(|(_, job)| job);
        let mut since: Vec<Instant> = waiting.chain(arrived).map(|job| job.submitted).collect();
        since.sort_unstable();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let running = self.jobs.values().filter(|job| job.first_step.is_some()).count();
        (jobs.now.waiting, jobs.now.running) = (count(since.len()), count(running));
        jobs.waiting_since = since.into();
    }

    fn drop_cancelled(&mut self, shared: &Shared) {
        let cancelled: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.cancel.is_set()).map(|(id, _)| *id).collect();
        for id in cancelled {
            if let Some(job) = self.jobs.remove(&id) {
                job.end(shared, None);
            }
        }
        self.order.retain(|id| self.jobs.contains_key(id));
    }

    /// Texts of several requests in turns, as many as a step and the cache hold. One that is longer
    /// than a step goes alone.
    fn take(&mut self, options: EngineOptions, counts: &mut Counts) -> Vec<Taken> {
        let (mut taken, mut rows, mut pages) = (Vec::new(), 0, 0..0);
        while let Some(id) = self.order.pop_front() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let Some((index, text)) = job.texts.pop_front() else { continue };
            let len = u32::try_from(text.tokens.len()).unwrap_or(u32::MAX);
            pages = pages.end..pages.end + len.div_ceil(options.page_len);
            rows += len;
            let fits = rows <= options.step_tokens_max && pages.end <= options.page_count;
            if !fits && !taken.is_empty() {
                job.texts.push_front((index, text));
                self.order.push_front(id);
                break;
            }
            if job.first_step.is_none() {
                let now = Instant::now();
                job.first_step = Some(now);
                counts.queued.record(now.duration_since(job.submitted));
                counts.prompt_tokens += u64::from(job.usage.prompt_tokens);
            }
            if !job.texts.is_empty() {
                self.order.push_back(id);
            }
            taken.push(Taken { job: id, index, text, pages: pages.clone().collect() });
        }
        taken
    }

    /// Shares the time of a step among its requests by their rows.
    fn charge(&mut self, taken: &[Taken], time: Duration) {
        let rows: usize = taken.iter().map(|taken| taken.text.tokens.len()).sum();
        for taken in taken {
            if let Some(job) = self.jobs.get_mut(&taken.job) {
                let own = taken.text.tokens.len();
                job.usage.busy += time.mul_f64(own as f64 / rows as f64);
            }
        }
    }

    /// Gives each text its result and ends the requests that have all of theirs.
    fn settle(&mut self, shared: &Shared, taken: &[Taken], results: Result<Vec<Vec<f32>>>) {
        let ended: Vec<u64> = match &results {
            Err(error) => {
                tracing::error!(%error, "a step failed");
                taken.iter().map(|taken| taken.job).collect()
            }
            Ok(results) => {
                for (taken, result) in taken.iter().zip(results) {
                    let Some(job) = self.jobs.get_mut(&taken.job) else { continue };
                    // Of one that was given up not all need be there.
                    if job.cancel.is_set() {
                        continue;
                    }
                    job.results[taken.index].clone_from(result);
                    job.left -= 1;
                }
                self.jobs.iter().filter(|(_, job)| job.left == 0).map(|(id, _)| *id).collect()
            }
        };
        let ended: Vec<Job> = ended.iter().filter_map(|id| self.jobs.remove(id)).collect();
        self.order.retain(|id| self.jobs.contains_key(id));
        // Whoever hears of an end finds it counted.
        self.tell(&mut shared.lock().jobs);
        let error = results.err();
        ended.into_iter().for_each(|job| job.end(shared, error.clone()));
    }

    fn is_cancelled(&self, taken: &Taken) -> bool {
        self.jobs.get(&taken.job).is_none_or(|job| job.cancel.is_set())
    }
}

/// What the texts come to, in as many forward passes as the longest needs.
fn compute(
    shared: &Shared,
    model: &mut Model,
    turns: &Turns,
    taken: &[Taken],
) -> Result<Vec<Vec<f32>>> {
    let step = model.rows_max();
    let longest = taken.iter().map(|taken| taken.text.tokens.len()).max().unwrap_or(0);
    let mut pools: Vec<(Pool, bool)> = vec![(Pool::default(), false); taken.len()];
    let failed = |error: model::Error| Error::Step(error.to_string());
    // Only a text that is alone is longer than a step.
    for first_position in (0..longest).step_by(step) {
        if taken.iter().all(|taken| turns.is_cancelled(taken)) {
            return Ok(vec![Vec::new(); taken.len()]);
        }
        let (mut tokens, mut types, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for (taken, (_, is_last)) in taken.iter().zip(&mut pools) {
            let end = taken.text.tokens.len().min(first_position + step);
            tokens.extend_from_slice(&taken.text.tokens[first_position..end]);
            match taken.text.types.get(first_position..end) {
                Some(of) => types.extend_from_slice(of),
                None => types.resize(tokens.len(), 0),
            }
            let rows = end - first_position;
            spans.push(Span { rows, first_position, pages: &taken.pages, state: 0 });
            *is_last = end == taken.text.tokens.len();
        }
        // Vectors are compared with those of other machines: no rounding of prompts.
        let batch = Batch::decode(&tokens, &spans);
        let types = if types.iter().all(|of| *of == 0) { &[][..] } else { &types };
        model.pool(&batch, types, &mut pools).map_err(failed)?;
        let counts = &mut shared.ledger().counts;
        counts.steps += 1;
        counts.prefill_rows += tokens.len() as u64;
    }
    pools.iter().map(|(pool, _)| model.pooled(pool).map_err(failed)).collect()
}
