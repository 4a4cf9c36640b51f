//! A model in memory.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use engine::{Engine, EngineOptions, EngineRequest};
use gguf::GgufFile;
use grammar::Matcher;
use model::{Model, ModelSpec};
use tensor::{Backend, KvFormat};
use tokenizer::{Specials, Tokenizer};

use crate::adapters::{self, Opened};
use crate::constraint::{Held, Words};
use crate::draft::{self, Draft, Target};
use crate::generation::Generation;
use crate::retrieval::{self, Retriever};
use crate::speech::Voice;
use crate::watch::Watch;
use crate::{
    AdapterSource, ChatRequest, CompletionRequest, DraftStatus, EmbedRequest, Error, LoadOptions,
    ModelMemory, ModelStatus, Prompt, RerankRequest, Result, Retrieval, memory,
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
    voice: Voice,
    /// Made when [`LoadedModel::prepare_constraints`] or the first request wants it.
    words: Arc<OnceLock<Words>>,
    /// Of a model that embeds or scores texts.
    retriever: Option<Retriever>,
    adapters: Vec<AdapterSource>,
    backend: String,
    context_len: u32,
    sequences_max: u32,
    memory: ModelMemory,
    draft: Option<DraftStatus>,
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
    /// As the model was loaded.
    pub(crate) load: model::LoadOptions,
    pub(crate) memory: ModelMemory,
    /// What drafts for it.
    pub(crate) draft: Option<(Model, DraftStatus)>,
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
    let adapters = adapters::open((name, file), &options.adapters)?;
    let need = need(file, &wanted, &adapters)?;
    let (load, backend) = (&wanted.load, &*wanted.backend);
    let target = Target { name, file, tokenizer: &tokenizer, load, backend };
    let draft = options.draft.as_ref().map(|draft| Draft::open(draft, &target)).transpose()?;
    match &draft {
        None => memory::check(name, &need, memory::available_bytes())?,
        Some(draft) => {
            let name = format!("{name} with the draft model {}", draft.name);
            memory::check(&name, &draft::sum(&need, &draft.need), memory::available_bytes())?;
        }
    }
    let mut model = Model::load(file, Arc::clone(&wanted.backend), &wanted.load, progress)?;
    model.load_adapters(&adapters::files(&adapters))?;
    let load = |draft: Draft| -> Result<_> {
        let model = draft.load(&wanted.backend, progress)?;
        Ok((model, DraftStatus { memory: draft::held(&draft.need), name: draft.name }))
    };
    let draft = draft.map(load).transpose()?;
    let Wanted { backend, load, context_len, sequences_max } = wanted;
    let memory = draft::held(&need);
    Ok(Parts { model, tokenizer, backend, context_len, sequences_max, load, memory, draft })
}

/// What loading with these options takes: the very bytes that are reserved then.
pub(crate) fn memory_need(
    name: &str,
    file: &GgufFile,
    options: &LoadOptions,
) -> Result<model::MemoryNeed> {
    let wanted = wanted(name, file, options)?;
    need(file, &wanted, &adapters::open((name, file), &options.adapters)?)
}

/// Of the model with its adapters.
fn need(file: &GgufFile, wanted: &Wanted, adapters: &[Opened]) -> Result<model::MemoryNeed> {
    let (load, backend) = (&wanted.load, &*wanted.backend);
    let mut need = model::memory_need(file, load, backend)?;
    let files = adapters::files(adapters);
    let beside = model::adapter_need(&model::spec(file)?, &files, load.rows_max, backend)?;
    need.weights_bytes += beside.weights_bytes;
    need.workspace_bytes += beside.workspace_bytes;
    Ok(need)
}

/// What options mean for a model.
struct Wanted {
    backend: Arc<dyn Backend>,
    load: model::LoadOptions,
    context_len: u32,
    sequences_max: u32,
}

fn wanted(name: &str, file: &GgufFile, options: &LoadOptions) -> Result<Wanted> {
    let spec = model::spec(file)?;
    let trained = spec.context_len;
    let usual =
        if spec.is_bidirectional() { retrieval::TEXT_LEN_DEFAULT } else { CONTEXT_LEN_DEFAULT };
    // Long factors serve short texts worse: they are for those who ask for a long context.
    let usual = spec.long_ropes.as_ref().map_or(usual, |(short_until, _)| usual.min(*short_until));
    let context_len = options.context_len.unwrap_or_else(|| trained.min(usual));
    if context_len == 0 || context_len > trained {
        let holds = match options.rope_scaling {
            None => format!("{name} was trained for {trained}{}", beyond(&spec)),
            Some(asked) => {
                let rule = asked.rule.name();
                format!("{name} holds {trained} with this --rope-scaling {rule}")
            }
        };
        let message = format!("a context of {context_len} is not possible: {holds}");
        return Err(Error::parameter("context", message));
    }
    let sequences_max = options.sequences_max.unwrap_or(1);
    if sequences_max == 0 || sequences_max > SEQUENCES_MAX {
        let message = format!("{sequences_max} conversations at once: choose 1 to {SEQUENCES_MAX}");
        return Err(Error::parameter("parallel", message));
    }
    let backend = crate::backends::choose(options.backend.as_deref(), options.threads)?;
    let (rows_max, page_count) = match spec.pooling {
        None => (STEP_TOKENS_MAX, page_count(context_len, sequences_max)),
        Some(_) => retrieval::room(&spec, context_len),
    };
    let load = model::LoadOptions {
        context_len,
        rows_max: rows_max as usize,
        kv_page_len: PAGE_LEN as usize,
        kv_page_count: page_count as usize,
        kv_format: match options.kv.as_deref() {
            // Nothing is kept beyond a step: there is no memory to save.
            None if spec.is_bidirectional() => KvFormat::F32,
            asked => kv_format(asked, backend.name())?,
        },
        state_slots: sequences_max as usize,
    };
    Ok(Wanted { backend, load, context_len, sequences_max })
}

/// What there is to do about a context that is longer than the trained one.
fn beyond(spec: &ModelSpec) -> &'static str {
    match spec.is_bidirectional() || spec.long_ropes.is_some() {
        true => "",
        false => "; --rope-scaling yarn goes beyond, at a loss",
    }
}

/// How a backend is asked to keep keys and values: as they are where it is the reference, else in
/// 16 bits, unless asked otherwise.
pub(crate) fn kv_format(name: Option<&str>, backend: &str) -> Result<KvFormat> {
    let usual = if backend == "reference" { KvFormat::F32 } else { KvFormat::F16 };
    let Some(name) = name else { return Ok(usual) };
    let found = KvFormat::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let names = KvFormat::ALL.map(KvFormat::name).join(", ");
        Error::parameter("kv", format!("keys and values cannot be kept in {name}: choose {names}"))
    })
}

/// The type that keys and values are kept in with these options.
///
/// # Errors
/// `BadRequest` for a name that is none.
pub fn kv_type(options: &LoadOptions) -> Result<&'static str> {
    let backend = options.backend.as_deref().unwrap_or("cpu");
    kv_format(options.kv.as_deref(), backend).map(KvFormat::name)
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
        let parts = load_parts(name, file, options, progress)?;
        let voice = Voice::of(file, &parts.tokenizer)?;
        let retriever = Retriever::of(file, parts.model.spec())?;
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let engine_options = EngineOptions {
            page_len: PAGE_LEN,
            page_count: narrow(parts.load.kv_page_count),
            sequences_max: parts.sequences_max,
            queue_len_max: options.queue_len_max.unwrap_or(QUEUE_LEN_DEFAULT),
            step_tokens_max: narrow(parts.load.rows_max),
            context_len: parts.context_len,
            speculation: options.speculation,
        };
        let backend = format!("{}: {}", parts.backend.name(), parts.backend.description());
        let (drafter, draft) = parts.draft.unzip();
        let words = Arc::clone(&parts.tokenizer);
        let engine = Engine::start_drafted(parts.model, drafter, words, engine_options)?;
        let engine = Arc::new(engine);
        watch.include(&engine);
        let inner = Inner {
            name: name.to_owned(),
            engine,
            watch,
            tokenizer: parts.tokenizer,
            voice,
            words: Arc::default(),
            retriever,
            adapters: options.adapters.clone(),
            backend,
            context_len: parts.context_len,
            sequences_max: parts.sequences_max,
            memory: parts.memory,
            draft,
            load_time: started.elapsed(),
        };
        Ok(LoadedModel { inner: Arc::new(inner) })
    }

    /// Its name, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The adapters beside it, in the order they were given.
    #[must_use]
    pub fn adapters(&self) -> &[AdapterSource] {
        &self.inner.adapters
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

    /// The model that drafts for it.
    #[must_use]
    pub fn draft(&self) -> Option<&DraftStatus> {
        self.inner.draft.as_ref()
    }

    /// What a person should know of it before they judge its answers, a line each; nothing where it
    /// makes no text.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        if self.inner.retriever.is_some() {
            return Vec::new();
        }
        self.inner.voice.notes(&self.inner.name)
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
            draft: inner.draft.clone(),
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
        let ready = self.inner.voice.prepare(&request)?;
        let prompt = self.encode(&ready.prompt, true);
        let markers = Arc::clone(&self.inner.voice.markers);
        let adapters = adapters::resolve(request.adapters.as_deref(), &self.inner.adapters)?;
        let ChatRequest { tokens_max, sampling, stop, user, prediction, .. } = request;
        let words = |text: String| self.inner.tokenizer.encode(&text, Specials::Plain);
        let prediction = prediction.map(words).unwrap_or_default();
        let constraint = self.constrain(ready.held.as_ref())?;
        self.submit(EngineRequest {
            prompt,
            tokens_max: self.tokens_max(tokens_max),
            sampling,
            stop,
            user,
            markers,
            constraint,
            prediction,
            adapters,
        })
        .map(|generation| generation.spoken(ready.speech))
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
        self.submit(EngineRequest {
            prompt,
            tokens_max: self.tokens_max(request.tokens_max),
            sampling: request.sampling,
            stop: request.stop,
            user: request.user,
            markers: Arc::default(),
            constraint: self.constrain(request.constraint.as_ref().map(Held::to).as_ref())?,
            prediction: Vec::new(),
            adapters: adapters::resolve(request.adapters.as_deref(), &self.inner.adapters)?,
        })
    }

    /// Prepares the tokens for constraints, on a thread of its own: the first request that has one
    /// does not wait for it then. The thread ends by itself and holds no model.
    pub fn prepare_constraints(&self) {
        let inner = &*self.inner;
        if inner.retriever.is_some() {
            return;
        }
        let (words, tokenizer) = (Arc::clone(&inner.words), Arc::clone(&inner.tokenizer));
        let markers = Arc::clone(&inner.voice.markers);
        let work = move || {
            words.get_or_init(|| Words::of(&tokenizer, &markers));
        };
        // Where no thread can be had, the first request does it.
        drop(std::thread::Builder::new().name("hob-vocabulary".to_owned()).spawn(work));
    }

    /// Compiles what an answer must fit, on this thread's time.
    fn constrain(&self, held: Option<&Held>) -> Result<Option<Matcher>> {
        let Some(held) = held else { return Ok(None) };
        let inner = &*self.inner;
        let words = inner.words.get_or_init(|| Words::of(&inner.tokenizer, &inner.voice.markers));
        words.matcher(held).map(Some)
    }

    /// Ids of a text, with the start token where the model wants one.
    #[must_use]
    pub fn tokenize(&self, text: &str, specials: bool) -> Vec<u32> {
        self.encode(text, specials)
    }

    /// Embeds texts.
    ///
    /// # Errors
    /// `BadRequest` with the parameter, `Busy` when the queue is full.
    pub fn embed(&self, request: EmbedRequest) -> Result<Retrieval> {
        let inner = &*self.inner;
        let retriever = self.retriever()?;
        let asked = retriever.embed(request, (&inner.tokenizer, inner.context_len))?;
        asked.submit(&inner.engine, &inner.watch)
    }

    /// Scores how well documents answer a query.
    ///
    /// # Errors
    /// `BadRequest` with the parameter, `Busy` when the queue is full.
    pub fn rerank(&self, request: RerankRequest) -> Result<Retrieval> {
        let inner = &*self.inner;
        let retriever = self.retriever()?;
        let asked = retriever.rerank(request, (&inner.tokenizer, inner.context_len))?;
        asked.submit(&inner.engine, &inner.watch)
    }

    fn retriever(&self) -> Result<&Retriever> {
        let why = || engine::Error::MakesText.into();
        self.inner.retriever.as_ref().ok_or_else(why)
    }

    fn encode(&self, text: &str, specials: bool) -> Vec<u32> {
        encode(&self.inner.tokenizer, text, specials)
    }

    /// Without a wish the answer may fill the context; the scheduler ends it there.
    fn tokens_max(&self, wish: Option<u32>) -> u32 {
        wish.unwrap_or(self.inner.context_len)
    }

    fn submit(&self, request: EngineRequest) -> Result<Generation> {
        let events = self.inner.engine.submit(request)?;
        let (tokenizer, watch) = (Arc::clone(&self.inner.tokenizer), Arc::clone(&self.inner.watch));
        Ok(Generation::new(events, tokenizer, watch))
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
