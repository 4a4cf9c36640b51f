//! The house: models on this machine, and what can be done with one before it answers.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use guard::Policy;
use store::{Entry, ModelSource, Places, PullOptions, Store};
use tokenizer::{Specials, Tokenizer};

use crate::loaded::{self, LoadedModel, PAGE_LEN, Resident};
use crate::watch::Watch;
use crate::{
    BenchCase, BenchLimit, BenchResult, Config, LoadOptions, ModelEntry, ModelInfo, ModelRef,
    PerplexityReport, PullEvent, QuantizeOptions, QuantizeReport, Result, Status, ask, bench,
    clock, draw, memory, open, perplexity, planning, quantize, show,
};

/// Chunk of a perplexity where none is given: llama.cpp's.
const CHUNK_LEN_DEFAULT: u32 = 512;

/// The house. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    store: Store,
    /// Opens its eyes with the first model.
    watch: OnceLock<Arc<Watch>>,
    models: Mutex<Vec<Resident>>,
}

impl App {
    /// Opens hob's folder.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn new(config: Config) -> Result<App> {
        let store = Store::open(&config.home)?;
        let (watch, models) = (OnceLock::new(), Mutex::default());
        Ok(App { inner: Arc::new(Inner { config, store, watch, models }) })
    }

    /// hob's own folder.
    pub(crate) fn home(&self) -> &Path {
        &self.inner.config.home
    }

    /// Models on disk.
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The model of a name, file or hub repository; none when it is known but not here.
    ///
    /// # Errors
    /// `NotFound` when nothing of that name is known: what was looked at, and how to get it.
    pub fn find(&self, spec: &str) -> Result<Option<ModelRef>> {
        Ok(match self.inner.store.resolve(spec)? {
            ModelSource::File(path) => Some(ModelRef { name: spec.to_owned(), path }),
            ModelSource::Entry(entry) => Some(ModelRef { name: entry.name, path: entry.path }),
            ModelSource::Catalog(_) | ModelSource::Hub(_) => None,
        })
    }

    /// [`App::find`], and fetches the model when it is not here. `events` hears of each step.
    ///
    /// # Errors
    /// What every source answered, and how to import by hand; `Cancelled` when that was set.
    pub fn pull(
        &self,
        spec: &str,
        cancelled: &AtomicBool,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<ModelRef> {
        if let Some(model) = self.find(spec)? {
            return Ok(model);
        }
        let entry = self.inner.store.pull(spec, &self.pull_options(cancelled), events)?;
        Ok(ModelRef { name: entry.name, path: entry.path })
    }

    pub(crate) fn pull_options<'a>(&self, cancelled: &'a AtomicBool) -> PullOptions<'a> {
        let config = &self.inner.config;
        PullOptions {
            hub_endpoint: config.hub_endpoint.clone(),
            proxy: config.proxy.clone(),
            python: config.python.clone(),
            places: Places {
                user_home: config.user_home.clone(),
                hugging_face_cache: config.hugging_face_cache.clone(),
                ollama_models: config.ollama_models.clone(),
            },
            policy: Policy { offline: config.offline },
            now_unix_s: clock::unix_time_s(),
            cancelled,
        }
    }

    /// Takes a file into the store, under its own name where none is given.
    ///
    /// # Errors
    /// When it is no model, or cannot be copied.
    pub fn import(&self, file: &Path, name: Option<&str>) -> Result<ModelEntry> {
        let own = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = name.unwrap_or(&own);
        let now = clock::unix_time_s();
        let entry = self.inner.store.import(file, name, now, &AtomicBool::new(false))?;
        Ok(described(entry))
    }

    /// The store's models, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<ModelEntry>> {
        Ok(self.inner.store.list()?.into_iter().map(described).collect())
    }

    /// Removes a model from the store; the bytes of its files.
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    pub fn remove(&self, name: &str) -> Result<u64> {
        let entry = self.inner.store.find(name)?;
        let size_bytes = entry.map_or(0, |entry| entry.size_bytes);
        if self.inner.store.remove(name)? {
            return Ok(size_bytes);
        }
        let message = format!("no model named {name} is here: `hob list` shows those that are");
        Err(crate::Error::new(crate::ErrorKind::NotFound, message))
    }

    /// What a model is, from its headers.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn show(&self, model: &ModelRef) -> Result<ModelInfo> {
        show::model_info(model)
    }

    /// Calls `each` with the ids of a text and the bytes of each, from the headers alone.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn tokenize(
        &self,
        model: &ModelRef,
        text: &str,
        specials: bool,
        each: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<()> {
        let file = open::open(&model.path)?;
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        for id in loaded::encode(&tokenizer, text, specials) {
            each(id, tokenizer.token_bytes(id));
        }
        Ok(())
    }

    /// Loads and starts a model. `progress(done_bytes, total_bytes)` is called while loading.
    ///
    /// # Errors
    /// `Machine` with the bytes when it does not fit, `BadModel` when it cannot be run.
    pub fn load(
        &self,
        model: &ModelRef,
        options: &LoadOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<LoadedModel> {
        let file = open::to_load(&model.path, options)?;
        let watch =
            Arc::clone(self.inner.watch.get_or_init(|| Arc::new(Watch::open(draw::here()))));
        let before = memory::resident_bytes();
        let loaded = LoadedModel::load(&model.name, &file, options, (progress, watch))?;
        // A plan knows a file as it lies on the disk, and knows it alone.
        let is_alone = options.draft.is_none() && options.adapters.is_empty();
        let is_planned = file.version().is_some() && options.quant.is_none() && is_alone;
        if let (true, Some(before), Some(now)) = (is_planned, before, memory::resident_bytes()) {
            let took = (planning::Loaded::Weights, now.saturating_sub(before));
            if let Err(error) = self.note_load(model, options, took) {
                tracing::warn!(%error, "what the load took is not noted");
            }
        }
        let mut models = self.inner.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.push(loaded.resident());
        Ok(loaded)
    }

    /// How the house is: every model in memory, the machine, energy.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut models = self.inner.models.lock().unwrap_or_else(PoisonError::into_inner);
        let living: Vec<LoadedModel> = models.iter().filter_map(Resident::get).collect();
        models.retain(|model| model.get().is_some());
        drop(models);
        let watch = self.inner.watch.get_or_init(|| Arc::new(Watch::open(draw::here())));
        let models = living.iter().map(LoadedModel::status).collect();
        Status::new(watch.uptime(), models, watch.model().clone(), watch.seen())
    }

    /// What the hob at `base` (`http://HOST:PORT`) says of itself, as it says it.
    ///
    /// # Errors
    /// `NotFound` when no hob serves there, `Machine` when it may not be asked.
    pub fn ask_status(&self, base: &str) -> Result<String> {
        ask::status(base, self.inner.config.offline)
    }

    /// Speed as llama-bench measures it: `repetitions` of a case after a warm-up.
    ///
    /// # Errors
    /// As [`App::load`].
    pub fn bench(
        &self,
        model: &ModelRef,
        options: &LoadOptions,
        case: BenchCase,
        repetitions: u32,
    ) -> Result<BenchResult> {
        let file = open::to_load(&model.path, options)?;
        let tokens = case.n_depth.saturating_add(case.n_prompt).saturating_add(case.n_gen);
        let context_len = Some(tokens.max(1));
        let sequences_max = Some(case.n_sequences);
        let options = LoadOptions { context_len, sequences_max, ..options.clone() };
        let mut parts = loaded::load_parts(&model.name, &file, &options, &mut |_, _| {})?;
        bench::run(&mut parts.model, &mut Vec::new(), case, repetitions)
    }

    /// For each case the rate that this machine allows at most, measured within a second or two.
    ///
    /// # Errors
    /// As [`App::load`].
    pub fn bench_limits(
        &self,
        model: &ModelRef,
        options: &LoadOptions,
        cases: &[BenchCase],
    ) -> Result<Vec<BenchLimit>> {
        bench::limits(&open::to_load(&model.path, options)?, options, cases)
    }

    /// Makes a smaller file of a model; `progress(done, total)` bytes of the source.
    ///
    /// # Errors
    /// `BadRequest` when the type cannot be made, the source is quantised already or the target is
    /// there; `Cancelled` when that was set; the disk's error.
    pub fn quantize(
        &self,
        source: &ModelRef,
        options: &QuantizeOptions,
        cancelled: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<QuantizeReport> {
        quantize::run(&source.path, options, cancelled, progress)
    }

    /// Perplexity of a text in chunks of the options' context, as llama.cpp defines it.
    /// With a `base`, which must have the same vocabulary, also how far the model is from it; the
    /// base keeps its keys and values as is usual, whatever the options say, and its own rule for
    /// positions as long as its context does.
    /// `progress(chunk, of, running perplexity)`.
    ///
    /// # Errors
    /// As [`App::load`]; a text shorter than two chunks is refused.
    pub fn perplexity(
        &self,
        (model, base): (&ModelRef, Option<&ModelRef>),
        options: &LoadOptions,
        text: &str,
        progress: &mut dyn FnMut(usize, usize, f64),
    ) -> Result<PerplexityReport> {
        let chunk_len = options.context_len.unwrap_or(CHUNK_LEN_DEFAULT);
        let context_len = Some(chunk_len.next_multiple_of(PAGE_LEN));
        let options = LoadOptions { context_len, sequences_max: Some(1), ..options.clone() };
        let load = |model: &ModelRef, options: &LoadOptions| {
            let file = open::to_load(&model.path, options)?;
            loaded::load_parts(&model.name, &file, options, &mut |_, _| {})
        };
        let mut parts = load(model, &options)?;
        let load_base = |base: &ModelRef| {
            // As it is wherever its own context is long enough, so that a rule's price shows.
            let trained = model::spec(&open::open(&base.path)?)?.context_len;
            let rope_scaling = options.rope_scaling.filter(|_| context_len > Some(trained));
            load(base, &LoadOptions { kv: None, quant: None, rope_scaling, ..options.clone() })
        };
        let mut base_parts = base.map(load_base).transpose()?;
        let tokens = parts.tokenizer.encode(text, Specials::Parse);
        if let (Some(base), Some(other)) = (base, &base_parts) {
            let same_vocab = other.model.spec().vocab == parts.model.spec().vocab;
            if !same_vocab || other.tokenizer.encode(text, Specials::Parse) != tokens {
                let message = format!(
                    "{} and {} cut this text into different tokens: a base has the same vocabulary",
                    model.name, base.name
                );
                return Err(crate::Error::new(crate::ErrorKind::BadRequest, message));
            }
        }
        let bos = parts.tokenizer.bos().filter(|_| parts.tokenizer.adds_bos());
        let text = perplexity::Text { tokens: &tokens, chunk_len: chunk_len as usize, bos };
        let base = base_parts.as_mut().map(|base| &mut base.model);
        perplexity::run(&mut parts.model, base, &text, progress)
    }
}

fn described(entry: Entry) -> ModelEntry {
    ModelEntry {
        name: entry.name,
        path: entry.path,
        size_bytes: entry.size_bytes,
        sha256: entry.sha256,
        added_unix_s: entry.added_unix_s,
        source: entry.source,
    }
}
