//! The engine's face: start it, hand it requests, see how busy it is.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use grammar::Matcher;
use model::{AdapterScale, KvWindow, Model};
use scheduler::{Admission, Limits, Refusal, Request, RequestId, Scheduler, Tick, WindowLimits};
use tokenizer::Tokenizer;

use crate::adapters;
use crate::retrieval::{self, Jobs};
use crate::sampling::{Sampler, SamplingParams};
use crate::speculation::{Drafter, Guesses, Speculation, Speculator};
use crate::stats::{Ledger, Stats};
use crate::step::{self, Choosing, Reading, Running};
use crate::stop::StopMatcher;
use crate::stream::{self, Event, Generation};
use crate::{CancelToken, Error, Result};

/// Most stop texts of a request, and bytes of one.
const STOPS_MAX: usize = 64;
const STOP_BYTES_MAX: usize = 4096;

/// How much the engine may take on.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Positions in a page of the KV cache; as the model was loaded with.
    pub page_len: u32,
    /// Pages of the KV cache; as the model was loaded with.
    pub page_count: u32,
    /// Requests that run together.
    pub sequences_max: u32,
    /// Requests that may wait.
    pub queue_len_max: u32,
    /// Tokens computed in one step; as the model was loaded with.
    pub step_tokens_max: u32,
    /// Tokens a request may hold, prompt and answer together.
    pub context_len: u32,
    /// When drafts are made. Answers are the same with and without; for a model that keeps a state
    /// of each sequence none are made.
    pub speculation: Speculation,
}

/// A request, in tokens.
#[derive(Clone, Debug)]
pub struct EngineRequest {
    /// What to continue.
    pub prompt: Vec<u32>,
    /// Most tokens to make.
    pub tokens_max: u32,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Whose request, for fairness.
    pub user: u64,
    /// Control tokens that are text to whoever reads the answer.
    pub markers: Arc<Markers>,
    /// What the answer must fit; its vocabulary is the model's.
    pub constraint: Option<Matcher>,
    /// What the answer may be for the most part, such as a file that is edited: it is drafted.
    /// Empty where nothing is known.
    pub prediction: Vec<u32>,
    /// What it has of the model's adapters, each at most once.
    pub adapters: Vec<AdapterScale>,
}

/// Control tokens that a reader of answers knows as markers. All others steer and are no text.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    /// Ids whose text is part of the answer.
    pub shown: HashSet<u32>,
    /// Of the tokens that end answers, those after which this model goes on.
    pub not_ends: HashSet<u32>,
}

/// A running model. Dropping it stops every request and waits for the thread.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    tokenizer: Arc<Tokenizer>,
    pub(crate) vocab_len: usize,
    pub(crate) context_len: u32,
    /// Whether its model makes text.
    pub(crate) makes_text: bool,
    adapter_count: usize,
    thread: Option<JoinHandle<()>>,
}

/// What callers and the step thread share. The lock is never held during a forward pass.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Apart, so that whoever watches never waits for a plan. Locked after `state`, if both are.
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) wake: Condvar,
    pub(crate) started: Instant,
}

pub(crate) struct State {
    pub(crate) scheduler: Scheduler,
    /// Admitted, and not yet seen by the step thread.
    pub(crate) arrivals: Vec<(RequestId, Running)>,
    /// Of a model for retrieval.
    pub(crate) jobs: Jobs,
    pub(crate) stopping: bool,
    pub(crate) next_id: u64,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the scheduler leaves an unknown state: go down with it rather than go on.
        self.state.lock().expect("the scheduler panicked earlier")
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while they count")
    }

    pub(crate) fn tick(&self) -> Tick {
        Tick(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn window_limits(window: KvWindow) -> WindowLimits {
    let page_count = u32::try_from(window.page_count).expect("far below 2^32");
    WindowLimits { reach: window.reach as u64, page_count }
}

/// Closes the door when the step thread ends, also by a panic, so that nobody waits forever.
struct LastOut(Arc<Shared>);

impl Drop for LastOut {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.stopping = true;
        state.arrivals.clear();
        state.jobs.clear();
    }
}

impl Engine {
    /// Starts the step thread of `model`.
    ///
    /// # Errors
    /// [`Error::Step`] when the system gives no thread.
    pub fn start(
        model: Model,
        tokenizer: Arc<Tokenizer>,
        options: EngineOptions,
    ) -> Result<Engine> {
        Engine::start_drafted(model, None, tokenizer, options)
    }

    /// The same with a smaller model that drafts for it, loaded with the same length of pages and
    /// at least [`crate::draft_pages`] of them. Its tokens should be the model's: others are
    /// drafted in vain.
    ///
    /// # Errors
    /// [`Error::Draft`] where one of the two cannot do this, and as [`Engine::start`].
    pub fn start_drafted(
        model: Model,
        draft: Option<Model>,
        tokenizer: Arc<Tokenizer>,
        options: EngineOptions,
    ) -> Result<Engine> {
        let pages = (options.page_count, options.sequences_max);
        let drafter = draft.map(|draft| Drafter::new(&model, draft, pages)).transpose()?;
        let limits = Limits {
            page_len: options.page_len,
            page_count: options.page_count,
            sequences_max: options.sequences_max,
            queue_len_max: options.queue_len_max,
            step_tokens_max: options.step_tokens_max,
            context_len_max: u64::from(options.context_len),
            // A state is of all that came before, and cached pages hold none.
            shares_prefixes: model.spec().state().0.is_none(),
            window: model.kv_window().map(window_limits),
        };
        let scheduler = Scheduler::new(limits);
        let jobs = Jobs::new(options.queue_len_max);
        let state = State { scheduler, arrivals: Vec::new(), jobs, stopping: false, next_id: 0 };
        let started = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            ledger: Mutex::new(Ledger::default()),
            wake: Condvar::new(),
            started,
        });
        let adapter_count = model.adapter_count();
        let goes_whole = model.spec().is_bidirectional();
        let (vocab_len, makes_text) = (model.spec().vocab, model.spec().pooling.is_none());
        // A state cannot go back to where a wrong draft began.
        let has_state = model.spec().state().0.is_some();
        let speculation = if has_state { Speculation::Off } else { options.speculation };
        let speculator = Speculator::new(speculation, drafter);
        let (on_thread, words) = (Arc::clone(&shared), Arc::clone(&tokenizer));
        let thread = std::thread::Builder::new()
            .name("hob-engine".to_owned())
            .spawn(move || {
                let last = LastOut(on_thread);
                if makes_text {
                    step::run(&last.0, model, &words, speculator);
                } else {
                    retrieval::run(&last.0, model, options);
                }
            })
            .map_err(|error| Error::Step(format!("no thread could be started: {error}")))?;
        // A text that is looked at both ways goes in one step.
        let context_len = match goes_whole {
            true => options.context_len.min(options.step_tokens_max),
            false => options.context_len,
        };
        let thread = Some(thread);
        Ok(Engine { shared, tokenizer, vocab_len, context_len, makes_text, adapter_count, thread })
    }

    /// Queues a request. Its first event is `Queued`.
    ///
    /// # Errors
    /// Every way in which a request can be refused; nothing was queued then.
    pub fn submit(&self, request: EngineRequest) -> Result<Generation> {
        if !self.makes_text {
            return Err(Error::MakesNoText);
        }
        self.check(&request)?;
        let is_breaker = self.dry_breakers(&request.sampling);
        let sampler = Sampler::new(&request.sampling, is_breaker);
        let prelude = adapters::prelude(&request.adapters);
        let (constraint, adapters) = (request.constraint, request.adapters);
        let choosing = Choosing { sampler, constraint, adapters };
        let cancel = CancelToken::default();
        let (sender, generation) = stream::channel(cancel.clone());
        let prompt_tokens = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        let guesses = Guesses::new(request.prompt.len(), request.prediction);

        let mut state = self.shared.lock();
        if state.stopping {
            return Err(Error::Stopping);
        }
        let id = RequestId(state.next_id);
        state.next_id += 1;
        let (tokens_max, user) = (u64::from(request.tokens_max), request.user);
        let queued = Request { id, prompt: request.prompt, tokens_max, user, prelude };
        let now = self.shared.tick();
        let position = match state.scheduler.admit(queued, now) {
            Admission::Queued { position } => position,
            Admission::Refused(refusal) => return Err(self.refused(refusal)),
        };
        sender.send(Event::Queued { position });
        let reading = Reading { stop: StopMatcher::new(request.stop), markers: request.markers };
        let channel = (sender, cancel);
        state.arrivals.push((id, Running::new(channel, choosing, reading, guesses, prompt_tokens)));
        drop(state);
        self.shared.wake.notify_one();
        Ok(generation)
    }

    /// How busy it is, and what it has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (now, texts) = {
            let state = self.shared.lock();
            (state.scheduler.stats(), state.jobs.stats())
        };
        let ledger = self.shared.ledger();
        Stats {
            waiting: now.waiting + texts.waiting,
            running: now.running + texts.running,
            pages_used: now.pages_used,
            pages_cached: now.pages_cached,
            pages_free: now.pages_free,
            oldest_wait: texts.oldest_wait.max(Duration::from_millis(now.oldest_wait_ms)),
            counts: ledger.counts.clone(),
            recent: ledger.recent.iter().copied().collect(),
        }
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn check(&self, request: &EngineRequest) -> Result<()> {
        request.sampling.validate().map_err(Error::Sampling)?;
        let vocab_len = self.vocab_len;
        let biased = request.sampling.logit_bias.iter().map(|(token, _)| *token);
        let unknown = |token: &u32| *token as usize >= vocab_len;
        let predicted = request.prediction.iter().copied();
        let given = request.prompt.iter().copied().chain(predicted).chain(biased);
        if let Some(token) = given.into_iter().find(unknown) {
            return Err(Error::TokenUnknown { token, vocab_len });
        }
        adapters::check(&request.adapters, self.adapter_count)?;
        if request.stop.len() > STOPS_MAX {
            return Err(Error::Stop(format!(
                "{} stop texts are too many: at most {STOPS_MAX}",
                request.stop.len()
            )));
        }
        if request.stop.iter().any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
            return Err(Error::Stop(format!(
                "a stop text must have between 1 and {STOP_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::QueueFull { len } => {
                self.shared.ledger().counts.refused_busy += 1;
                Error::QueueFull { waiting: len }
            }
            Refusal::PromptEmpty => Error::PromptEmpty,
            Refusal::TokensMaxZero => Error::TokensMaxZero,
            Refusal::PromptTooLong { prompt_len, .. } => Error::PromptTooLong {
                prompt_len: prompt_len as usize,
                context_len: self.context_len,
            },
            Refusal::NeverFits { pages_needed, page_count } => {
                Error::NeverFits { needed: pages_needed, available: page_count }
            }
        }
    }

    /// Ids of the tokens that contain one of DRY's breakers; empty when DRY is off.
    fn dry_breakers(&self, params: &SamplingParams) -> HashSet<u32> {
        if params.dry.multiplier == 0.0 {
            return HashSet::new();
        }
        let vocab_len = u32::try_from(self.vocab_len).unwrap_or(u32::MAX);
        let breaks = |id: &u32| {
            let text = String::from_utf8_lossy(self.tokenizer.token_bytes(*id));
            params.dry.sequence_breakers.iter().any(|breaker| text.contains(breaker.as_str()))
        };
        (0..vocab_len).filter(breaks).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.stopping = true;
        }
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread had panicked");
        }
    }
}
