//! A tiny model in an engine, requests to it, and what became of them.
#![expect(dead_code, reason = "each test file uses its own part of this")]

mod gate;

use std::sync::Arc;

use engine::sampling::{SamplingParams, TokenLogprob};
use engine::{
    Engine, EngineOptions, EngineRequest, Event, FinishReason, Generation, Speculation, Usage,
    draft_pages,
};
use gguf::{GgufFile, Writer};
use kernels_cpu::CpuBackend;
use model::{AdapterFile, LoadOptions, Model};
use tensor::reference::Reference;
use tensor::{Backend, KvFormat};
use testkit::TinyModel;
use tokenizer::{Specials, Tokenizer};

pub(crate) use gate::{Gate, gated};

pub(crate) const PAGE_LEN: u32 = 8;
pub(crate) const CONTEXT_LEN: u32 = 128;

/// The backends that a test runs on, with the KV format that each is used with.
pub(crate) fn backends() -> [(Arc<dyn Backend>, KvFormat); 2] {
    let cpu = CpuBackend::detect(Some(2));
    [reference(), (Arc::new(cpu), KvFormat::F16)]
}

pub(crate) fn reference() -> (Arc<dyn Backend>, KvFormat) {
    (Arc::new(Reference::new()), KvFormat::F32)
}

pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        page_len: PAGE_LEN,
        page_count: 128,
        sequences_max: 6,
        queue_len_max: 16,
        step_tokens_max: 64,
        context_len: CONTEXT_LEN,
        speculation: Speculation::Measured,
    }
}

/// Starts an engine on the tiny model.
pub(crate) fn start(
    (backend, kv_format): (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> Engine {
    start_file(&TinyModel::default().writer(), (backend, kv_format), options)
}

/// Starts an engine on another model, with the tokenizer of the tiny one.
pub(crate) fn start_file(
    writer: &Writer,
    backend: (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> Engine {
    try_start(writer, None, backend, options).expect("a thread")
}

/// The same, with adapters.
pub(crate) fn start_adapted(
    (writer, adapters): (&Writer, &[Writer]),
    on: (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> Engine {
    try_start_all((writer, None, adapters), on, options).expect("a thread")
}

/// Starts an engine with another model that drafts, if there is one.
pub(crate) fn try_start(
    writer: &Writer,
    draft: Option<&Writer>,
    on: (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> engine::Result<Engine> {
    try_start_all((writer, draft, &[]), on, options)
}

fn try_start_all(
    (writer, draft, adapters): (&Writer, Option<&Writer>, &[Writer]),
    (backend, kv_format): (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> engine::Result<Engine> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let open = |name: &str, writer: &Writer| {
        let (path, mut bytes) = (folder.path().join(name), Vec::new());
        writer.write_to(&mut bytes).expect("memory takes all");
        std::fs::write(&path, bytes).expect("the folder is new");
        GgufFile::open(&path).expect("GGUF, as just written")
    };
    let tiny = open("tiny.gguf", &TinyModel::default().writer());
    let tokenizer = Tokenizer::from_metadata(tiny.metadata()).expect("a complete tokenizer");
    let of_model = LoadOptions {
        context_len: options.context_len,
        rows_max: options.step_tokens_max as usize,
        kv_page_len: options.page_len as usize,
        kv_page_count: options.page_count as usize,
        kv_format,
        state_slots: options.sequences_max as usize,
    };
    let load = |file: &GgufFile, load: &LoadOptions| {
        Model::load(file, Arc::clone(&backend), load, &mut |_, _| ()).expect("a sound model")
    };
    let mut model = load(&open("model.gguf", writer), &of_model);
    let adapters: Vec<GgufFile> = (0..)
        .zip(adapters)
        .map(|(i, adapter)| open(&format!("adapter-{i}.gguf"), adapter))
        .collect();
    let adapters = adapters.iter().map(|file| AdapterFile { name: "tiny", file });
    model.load_adapters(&adapters.collect::<Vec<_>>()).expect("sound adapters");
    let draft = draft.map(|writer| {
        let file = open("draft.gguf", writer);
        let trained = model::spec(&file).expect("a sound model").context_len;
        let pages = draft_pages(options.page_count, options.sequences_max) as usize;
        let context_len = trained.min(options.context_len);
        load(&file, &LoadOptions { context_len, kv_page_count: pages, ..of_model.clone() })
    });
    Engine::start_drafted(model, draft, Arc::new(tokenizer), options)
}

/// Starts an engine on a fixture of a model for retrieval.
pub(crate) fn start_retrieval(
    backend: Arc<dyn Backend>,
    name: &str,
    options: EngineOptions,
) -> (Engine, Vec<u32>) {
    let models = testkit::retrieval_models();
    let model = models.iter().find(|model| model.name == name).expect("a fixture");
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("tiny.gguf");
    let mut bytes = Vec::new();
    model.writer(quant::FormatId::F32).write_to(&mut bytes).expect("memory takes all");
    std::fs::write(&path, bytes).expect("the folder is new");
    let file = GgufFile::open(&path).expect("GGUF, as just written");
    // The fixture has none, and the engine asks nothing of it here.
    let words = TinyModel::default().gguf();
    let words = gguf::parse(&words, words.len() as u64).expect("GGUF, as just written");
    let tokenizer = Tokenizer::from_metadata(&words.metadata).expect("a complete tokenizer");
    let load = LoadOptions {
        context_len: options.context_len,
        rows_max: options.step_tokens_max as usize,
        kv_page_len: options.page_len as usize,
        kv_page_count: options.page_count as usize,
        kv_format: KvFormat::F32,
        state_slots: 1,
    };
    let loaded = Model::load(&file, backend, &load, &mut |_, _| ()).expect("a sound model");
    let engine = Engine::start(loaded, Arc::new(tokenizer), options).expect("a thread");
    (engine, model.tokens.clone())
}

/// Starts an engine whose first step waits for the gate. Bind it as `(engine, gate)`: the gate
/// must go first.
pub(crate) fn start_gated(
    (backend, kv_format): (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> (Engine, Gate) {
    let (backend, gate) = gated(backend);
    (start((backend, kv_format), options), gate)
}

/// Greedy, and the answer does not end by itself, so that its length is known.
pub(crate) fn greedy(engine: &Engine) -> SamplingParams {
    SamplingParams { temperature: 0.0, logit_bias: no_end(engine), ..SamplingParams::default() }
}

/// Temperature 1 over the whole vocabulary, without an end.
pub(crate) fn seeded(engine: &Engine, seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: Some(seed),
        logit_bias: no_end(engine),
        ..SamplingParams::default()
    }
}

fn no_end(engine: &Engine) -> Vec<(u32, f32)> {
    let tokenizer = engine.tokenizer();
    let ids = (0..).take(tokenizer.vocab_len());
    let ends = ids.filter(|id| tokenizer.is_end_of_generation(*id));
    ends.map(|id| (id, f32::NEG_INFINITY)).collect()
}

pub(crate) fn request(engine: &Engine, text: &str, tokens_max: u32) -> EngineRequest {
    EngineRequest {
        prompt: engine.tokenizer().encode(text, Specials::Plain),
        tokens_max,
        sampling: greedy(engine),
        stop: Vec::new(),
        user: 1,
        constraint: None,
        prediction: Vec::new(),
        adapters: Vec::new(),
        markers: Arc::default(),
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) tokens: Vec<u32>,
    pub(crate) text: String,
    pub(crate) logprobs: Vec<Option<TokenLogprob>>,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
}

/// Reads all events: they must be `Queued`, `Started`, tokens, at most one tail, `Finished`.
pub(crate) fn collect(mut generation: Generation) -> Answer {
    let mut answer = Answer {
        tokens: Vec::new(),
        text: String::new(),
        logprobs: Vec::new(),
        reason: FinishReason::Failed,
        usage: Usage::default(),
    };
    let mut seen = Vec::new();
    while let Some(event) = generation.recv() {
        seen.push(kind(&event));
        match event {
            Event::Token(token) => {
                answer.tokens.push(token.id);
                answer.text.push_str(&token.text);
                answer.logprobs.push(token.logprob);
            }
            Event::Tail(text) => answer.text.push_str(&text),
            Event::Finished { reason, usage } => (answer.reason, answer.usage) = (reason, usage),
            Event::Queued { .. } | Event::Started { .. } => {}
            Event::Failed(error) => panic!("a sound request failed: {error}"),
        }
    }
    seen.dedup();
    seen.retain(|kind| *kind != "tail");
    let whole = seen == ["queued", "started", "token", "finished"];
    let short = answer.reason == FinishReason::Cancelled && seen.last() == Some(&"finished");
    assert!(whole || short, "{seen:?}");
    answer
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Queued { .. } => "queued",
        Event::Started { .. } => "started",
        Event::Token(_) => "token",
        Event::Tail(_) => "tail",
        Event::Finished { .. } => "finished",
        Event::Failed(_) => "failed",
    }
}

pub(crate) fn answer(engine: &Engine, request: EngineRequest) -> Answer {
    collect(engine.submit(request).expect("a sound request"))
}
