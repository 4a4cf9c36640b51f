//! A model in memory, and the events of a request to it.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chat::{RenderOptions, Template};
use engine::{Engine, EngineOptions, EngineRequest, FinishReason};
use gguf::GgufFile;
use model::Model;
use tensor::{Backend, KvFormat};
use tokenizer::{Specials, Tokenizer};

use crate::watch::Watch;
use crate::{
    ChatRequest, CompletionRequest, Error, ErrorKind, Event, Finished, LoadOptions, ModelMemory,
    ModelStatus, Prompt, Result, SamplingParams, TokenText, TokenUsage, clock, memory,
};

/// Context of a conversation unless asked otherwise: longer ones cost memory that few use.
const CONTEXT_LEN_DEFAULT: u32 = 8192;
/// Tokens computed in one step; enough to keep the matrix kernels busy, little enough that a
/// long prompt does not hold up other people's tokens.
pub(crate) const STEP_TOKENS_MAX: u32 = 512;
/// Positions in a page of the KV cache.
pub(crate) const PAGE_LEN: u32 = 32;
/// Requests that may wait unless asked otherwise.
const QUEUE_LEN_DEFAULT: u32 = 64;
/// Conversations at once that a caller may ask for.
const SEQUENCES_MAX: u32 = 256;

/// A model in memory with its engine. Cheap to clone; unloads when the last clone goes.
#[derive(Clone)]
pub struct LoadedModel {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    engine: Arc<Engine>,
    watch: Arc<Watch>,
    tokenizer: Arc<Tokenizer>,
    template: Template,
    has_template: bool,
    backend: String,
    context_len: u32,
    sequences_max: u32,
    memory: ModelMemory,
    load_time: Duration,
}

/// A model that was loaded and may be gone since.
pub(crate) struct Resident(Weak<Inner>);

impl Resident {
    pub(crate) fn get(&self) -> Option<LoadedModel> {
        self.0.upgrade().map(|inner| LoadedModel { inner })
    }
}

/// A model and what goes with it, before an engine runs it.
pub(crate) struct Parts {
    pub(crate) model: Model,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) context_len: u32,
    pub(crate) sequences_max: u32,
    pub(crate) memory: ModelMemory,
}

/// Loads the weights, after making sure that they fit.
pub(crate) fn load_parts(
    name: &str,
    file: &GgufFile,
    options: &LoadOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Parts> {
    let tokenizer = Arc::new(Tokenizer::from_metadata(file.metadata())?);
    let wanted = wanted(name, file, options)?;
    let need = model::memory_need(file, &wanted.load, &*wanted.backend)?;
    memory::check(name, &need, memory::available_bytes())?;
    let model = Model::load(file, Arc::clone(&wanted.backend), &wanted.load, progress)?;
    let Wanted { backend, context_len, sequences_max, .. } = wanted;
    let memory = ModelMemory {
        weights_bytes: need.weights_bytes,
        kv_bytes: need.kv_bytes,
        workspace_bytes: need.workspace_bytes,
    };
    Ok(Parts { model, tokenizer, backend, context_len, sequences_max, memory })
}

/// What loading with these options takes: the very bytes that are reserved then.
pub(crate) fn memory_need(
    name: &str,
    file: &GgufFile,
    options: &LoadOptions,
) -> Result<model::MemoryNeed> {
    let wanted = wanted(name, file, options)?;
    Ok(model::memory_need(file, &wanted.load, &*wanted.backend)?)
}

/// What options mean for a model.
struct Wanted {
    backend: Arc<dyn Backend>,
    load: model::LoadOptions,
    context_len: u32,
    sequences_max: u32,
}

fn wanted(name: &str, file: &GgufFile, options: &LoadOptions) -> Result<Wanted> {
    let trained = model::spec(file)?.context_len;
    let context_len = options.context_len.unwrap_or_else(|| trained.min(CONTEXT_LEN_DEFAULT));
    if context_len == 0 || context_len > trained {
        return Err(Error::parameter(
            "context",
            format!("a context of {context_len} is not possible: {name} was trained for {trained}"),
        ));
    }
    let sequences_max = options.sequences_max.unwrap_or(1);
    if sequences_max == 0 || sequences_max > SEQUENCES_MAX {
        let message = format!("{sequences_max} conversations at once: choose 1 to {SEQUENCES_MAX}");
        return Err(Error::parameter("parallel", message));
    }
    let backend = crate::backends::choose(options.backend.as_deref(), options.threads)?;
    let load = model::LoadOptions {
        context_len,
        rows_max: STEP_TOKENS_MAX as usize,
        kv_page_len: PAGE_LEN as usize,
        kv_page_count: page_count(context_len, sequences_max) as usize,
        kv_format: kv_format(backend.name()),
        state_slots: sequences_max as usize,
    };
    Ok(Wanted { backend, load, context_len, sequences_max })
}

/// How a backend is asked to keep keys and values.
pub(crate) fn kv_format(backend: &str) -> KvFormat {
    if backend == "reference" { KvFormat::F32 } else { KvFormat::F16 }
}

fn page_count(context_len: u32, sequences_max: u32) -> u32 {
    context_len.div_ceil(PAGE_LEN).saturating_mul(sequences_max)
}

impl LoadedModel {
    pub(crate) fn load(
        name: &str,
        file: &GgufFile,
        options: &LoadOptions,
        (progress, watch): (&mut dyn FnMut(u64, u64), Arc<Watch>),
    ) -> Result<LoadedModel> {
        let started = Instant::now();
        let (template, has_template) = template_of(file)?;
        let parts = load_parts(name, file, options, progress)?;
        let engine_options = EngineOptions {
            page_len: PAGE_LEN,
            page_count: page_count(parts.context_len, parts.sequences_max),
            sequences_max: parts.sequences_max,
            queue_len_max: options.queue_len_max.unwrap_or(QUEUE_LEN_DEFAULT),
            step_tokens_max: STEP_TOKENS_MAX,
            context_len: parts.context_len,
        };
        let backend = format!("{}: {}", parts.backend.name(), parts.backend.description());
        let engine = Engine::start(parts.model, Arc::clone(&parts.tokenizer), engine_options)?;
        let engine = Arc::new(engine);
        watch.include(&engine);
        let inner = Inner {
            name: name.to_owned(),
            engine,
            watch,
            tokenizer: parts.tokenizer,
            template,
            has_template,
            backend,
            context_len: parts.context_len,
            sequences_max: parts.sequences_max,
            memory: parts.memory,
            load_time: started.elapsed(),
        };
        Ok(LoadedModel { inner: Arc::new(inner) })
    }

    /// Its name, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Time the load took.
    #[must_use]
    pub fn load_time(&self) -> Duration {
        self.inner.load_time
    }

    /// Tokens a conversation may hold.
    #[must_use]
    pub fn context_len(&self) -> u32 {
        self.inner.context_len
    }

    /// Backend in one line, e.g. `cpu: AVX-512 VNNI, 2 threads`.
    #[must_use]
    pub fn backend(&self) -> String {
        self.inner.backend.clone()
    }

    /// Whether it brought a chat template; ChatML is used where it did not.
    #[must_use]
    pub fn has_template(&self) -> bool {
        self.inner.has_template
    }

    /// How it is: load, counts, memory.
    #[must_use]
    pub fn status(&self) -> ModelStatus {
        let inner = &*self.inner;
        let stats = inner.engine.stats();
        let energy = stats.recent.iter().map(|ended| inner.watch.charge(&ended.usage, ended.at));
        ModelStatus {
            name: inner.name.clone(),
            backend: inner.backend.clone(),
            context_len: inner.context_len,
            sequences_max: inner.sequences_max,
            load_time: inner.load_time,
            memory: inner.memory,
            recent_energy: energy.collect(),
            stats,
        }
    }

    pub(crate) fn resident(&self) -> Resident {
        Resident(Arc::downgrade(&self.inner))
    }

    /// Renders the conversation and starts to answer it.
    ///
    /// # Errors
    /// `BadRequest` with the parameter, `Busy` when the queue is full.
    pub fn chat(&self, request: ChatRequest) -> Result<Generation> {
        if request.messages.is_empty() {
            return Err(Error::parameter("messages", "there are no messages".to_owned()));
        }
        let options = RenderOptions {
            add_generation_prompt: true,
            now: Some(clock::moment()),
            ..RenderOptions::default()
        };
        let text = self
            .inner
            .template
            .render(&request.messages, &options)
            .map_err(|error| Error::parameter("messages", error.to_string()))?;
        let prompt = self.encode(&text, true);
        self.submit(prompt, request.tokens_max, request.sampling, (request.stop, request.user))
    }

    /// Continues a text.
    ///
    /// # Errors
    /// `BadRequest` with the parameter, `Busy` when the queue is full.
    pub fn complete(&self, request: CompletionRequest) -> Result<Generation> {
        let prompt = match request.prompt {
            Prompt::Text { text, parse_specials } => self.encode(&text, parse_specials),
            Prompt::Tokens(tokens) => tokens,
        };
        self.submit(prompt, request.tokens_max, request.sampling, (request.stop, request.user))
    }

    /// Ids of a text, with the start token where the model wants one.
    #[must_use]
    pub fn tokenize(&self, text: &str, specials: bool) -> Vec<u32> {
        self.encode(text, specials)
    }

    fn encode(&self, text: &str, specials: bool) -> Vec<u32> {
        encode(&self.inner.tokenizer, text, specials)
    }

    fn submit(
        &self,
        prompt: Vec<u32>,
        tokens_max: Option<u32>,
        sampling: SamplingParams,
        (stop, user): (Vec<String>, u64),
    ) -> Result<Generation> {
        // Without a wish the answer may fill the context; the scheduler ends it there.
        let tokens_max = tokens_max.unwrap_or(self.inner.context_len);
        let request = EngineRequest { prompt, tokens_max, sampling, stop, user };
        let events = self.inner.engine.submit(request)?;
        let tokenizer = Arc::clone(&self.inner.tokenizer);
        let watch = Arc::clone(&self.inner.watch);
        Ok(Generation { events, tokenizer, watch, ended: false })
    }
}

/// Ids of a text, with the start token where the model wants one and the text has none.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str, specials: bool) -> Vec<u32> {
    let specials = if specials { Specials::Parse } else { Specials::Plain };
    let mut tokens = tokenizer.encode(text, specials);
    if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
        && tokens.first() != Some(&bos)
    {
        tokens.insert(0, bos);
    }
    tokens
}

fn template_of(file: &GgufFile) -> Result<(Template, bool)> {
    let Some(source) = file.metadata().str("tokenizer.chat_template")? else {
        return Ok((Template::chatml(), false));
    };
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    let text = |id: Option<u32>| id.map_or("", |id| tokenizer.token_text(id)).to_owned();
    let template = Template::new(source, &text(tokenizer.bos()), &text(tokenizer.eos()));
    let template = template.map_err(|error| {
        let message = format!("the model's chat template cannot be used: {error}");
        Error::new(ErrorKind::BadModel, message)
    })?;
    Ok((template, true))
}

/// The events of one request. Dropping it stops the generation within one token.
pub struct Generation {
    events: engine::Generation,
    tokenizer: Arc<Tokenizer>,
    watch: Arc<Watch>,
    ended: bool,
}

impl Generation {
    /// The next event; none after the last. Blocks.
    pub fn recv(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().map(|event| self.translate(event));
        Some(self.last_word(event))
    }

    /// The next event, for async callers.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.events.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(event) => {
                let event = event.map(|event| self.translate(event));
                Poll::Ready(Some(self.last_word(event)))
            }
        }
    }

    /// Asks the engine to stop; a `Finished` with `Cancelled` follows.
    pub fn cancel(&self) {
        self.events.cancel();
    }

    /// Notes the end; an engine that went down without a word still gets one said.
    fn last_word(&mut self, event: Option<Event>) -> Event {
        let event = event.unwrap_or_else(|| Event::Failed(Error::ended_early()));
        self.ended = matches!(event, Event::Finished(_) | Event::Failed(_));
        event
    }

    fn translate(&self, event: engine::Event) -> Event {
        match event {
            engine::Event::Queued { position } => Event::Queued { position },
            engine::Event::Started { prompt_tokens, cached_tokens } => {
                Event::Started { prompt_tokens, cached_tokens }
            }
            engine::Event::Tail(text) => Event::Text { text, token: None },
            engine::Event::Token(token) => {
                let bytes = |id: u32| self.tokenizer.token_bytes(id).to_vec();
                let (logprob, top) = match token.logprob {
                    None => (None, Vec::new()),
                    Some(found) => {
                        let top = found.top.iter().map(|(id, value)| (*id, bytes(*id), *value));
                        (Some(found.logprob), top.collect())
                    }
                };
                let bytes = bytes(token.id);
                let text = token.text;
                Event::Text { text, token: Some(TokenText { id: token.id, bytes, logprob, top }) }
            }
            engine::Event::Finished { reason, usage } => Event::Finished(TokenUsage {
                finished: finished(reason),
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: usage.cached_tokens,
                completion_tokens: usage.completion_tokens,
                queued: usage.queued,
                prefill: usage.prefill,
                decode: usage.decode,
                busy: usage.busy,
                energy: self.watch.charge(&usage, Instant::now()),
            }),
            engine::Event::Failed(error) => Event::Failed(error.into()),
        }
    }
}

fn finished(reason: FinishReason) -> Finished {
    match reason {
        FinishReason::EndOfText => Finished::EndOfText,
        FinishReason::Stop => Finished::Stop,
        FinishReason::Length => Finished::Length,
        FinishReason::Context => Finished::Context,
        FinishReason::Cancelled | FinishReason::Failed => Finished::Cancelled,
    }
}
