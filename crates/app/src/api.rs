//! The types both faces speak.

use std::path::PathBuf;
use std::time::Duration;

use crate::{
    Constraint, Energy, Message, RopeScaling, SamplingParams, Speculation, Tools, Variables,
};

/// Settings, read once by `hob` and immutable after.
#[derive(Clone, Debug)]
pub struct Config {
    /// hob's own folder for models and history: `$HOB_HOME`, else `$XDG_DATA_HOME/hob`, else
    /// `~/.local/share/hob`.
    pub home: PathBuf,
    /// The person's home folder, where Hugging Face, LM Studio and Ollama keep theirs.
    pub user_home: Option<PathBuf>,
    /// The folder that holds `models--*`: `$HF_HUB_CACHE`, else `$HF_HOME/hub`, if set.
    pub hugging_face_cache: Option<PathBuf>,
    /// `$OLLAMA_MODELS`, if set.
    pub ollama_models: Option<PathBuf>,
    /// Base URL of the model hub: `$HF_ENDPOINT`, else `https://huggingface.co`.
    pub hub_endpoint: String,
    /// Proxy for downloads: `$HTTPS_PROXY` or `$ALL_PROXY`.
    pub proxy: Option<String>,
    /// Python for the package source: `python3`, else `python`.
    pub python: Option<String>,
    /// `--offline`: nothing leaves this machine.
    pub offline: bool,
}

impl Config {
    /// A house with this folder and nothing else: it looks at nobody's models and reaches no hub.
    #[must_use]
    pub fn alone(home: PathBuf) -> Config {
        Config {
            home,
            user_home: None,
            hugging_face_cache: None,
            ollama_models: None,
            hub_endpoint: "https://hub.invalid".to_owned(),
            proxy: None,
            python: None,
            offline: true,
        }
    }
}

/// A model that is on this machine.
#[derive(Clone, Debug)]
pub struct ModelRef {
    /// How it was asked for and will be reported: a name, or the file's path.
    pub name: String,
    /// The GGUF file (the first one of a split), or the folder of a checkpoint.
    pub path: PathBuf,
}

/// A line of `hob list`.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Name.
    pub name: String,
    /// File.
    pub path: PathBuf,
    /// Size of all its files.
    pub size_bytes: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// When it came, seconds since 1970.
    pub added_unix_s: u64,
    /// Where it came from, for people.
    pub source: String,
}

/// What `hob show` prints; from the headers alone.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Name and file.
    pub model: ModelRef,
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, if any.
    pub title: Option<String>,
    /// `general.license`, if any.
    pub licence: Option<String>,
    /// Number of weights.
    pub parameters: u64,
    /// Size of all its files.
    pub size_bytes: u64,
    /// GGUF version; none where it is no GGUF file.
    pub gguf_version: Option<u32>,
    /// Tokens the model was trained for.
    pub context_len: u32,
    /// Vocabulary.
    pub vocab_len: usize,
    /// Tokenizer kind, e.g. `gpt2`.
    pub tokenizer: String,
    /// `(layers, width, heads, kv heads, feed-forward)`.
    pub shape: (usize, usize, usize, usize, usize),
    /// What it is made of, such as `sliding window`; or why it cannot be run.
    pub blocks: Result<Vec<String>, String>,
    /// Bytes of keys and values for one token of context.
    pub kv_bytes_per_token: u64,
    /// Chat template, as it stands in the file.
    pub template: Option<String>,
    /// Whether it knows images and its part for them is not read.
    pub is_without_images: bool,
    /// Every tensor.
    pub tensors: Vec<TensorLine>,
    /// Every metadata key with its value, long ones shortened.
    pub metadata: Vec<(String, String)>,
}

/// A tensor, for `hob show --tensors`.
#[derive(Clone, Debug)]
pub struct TensorLine {
    /// Name.
    pub name: String,
    /// Fastest dimension first.
    pub shape: Vec<u64>,
    /// Type name, e.g. `Q4_1`.
    pub format: String,
    /// Bytes.
    pub size_bytes: u64,
}

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Compute threads; the machine's cores when none.
    pub threads: Option<usize>,
    /// Context for each conversation; the model's own (at most 8192 unless asked) when none.
    pub context_len: Option<u32>,
    /// Conversations at once; 1 when none.
    pub sequences_max: Option<u32>,
    /// Requests that may wait; 64 when none.
    pub queue_len_max: Option<u32>,
    /// `cpu`, `cpu:` and a variant of its kernels, or `reference`; `cpu` when none.
    pub backend: Option<String>,
    /// How keys and values are kept: `f32`, `f16`, `bf16` or `q8_0`; `f16` when none, and `f32`
    /// with the backend `reference`.
    pub kv: Option<String>,
    /// When drafts are made of what is said next.
    pub speculation: Speculation,
    /// A smaller model of the same tokens that drafts too.
    pub draft: Option<ModelRef>,
    /// A rule for more positions than the model was trained for, in place of the file's own.
    pub rope_scaling: Option<RopeScaling>,
    /// A type such as `Q4_K_M` that weights get while they are loaded; as they are when none.
    pub quant: Option<String>,
    /// Adapters to load beside the model.
    pub adapters: Vec<AdapterSource>,
}

/// A low-rank adapter (LoRA) to load.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSource {
    /// What requests call it.
    pub name: String,
    /// A GGUF file, or a folder that PEFT wrote.
    pub path: PathBuf,
    /// Factor on what it adds; 1 is as it was trained.
    pub scale: f32,
    /// Whether requests that say nothing of adapters have it.
    pub is_applied: bool,
}

/// Names one of the loaded adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterKey {
    /// In the order they were given, from 0.
    Index(usize),
    /// Its name.
    Name(String),
}

/// How much of an adapter a request has.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterWish {
    /// Which.
    pub adapter: AdapterKey,
    /// Factor on what it adds; the adapter's own when none.
    pub scale: Option<f32>,
}

/// What the next tokens are made for.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// Text; special tokens in it are parsed only where `parse_specials`.
    Text {
        /// The text.
        text: String,
        /// Whether `<|im_start|>` and its like become special tokens.
        parse_specials: bool,
    },
    /// Token ids as they stand.
    Tokens(Vec<u32>),
}

/// Continue a text.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// What to continue.
    pub prompt: Prompt,
    /// Most tokens to make; up to the context when none.
    pub tokens_max: Option<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// What the answer must fit.
    pub constraint: Option<Constraint>,
    /// What it has of the model's adapters; what is usual when none.
    pub adapters: Option<Vec<AdapterWish>>,
    /// Whose request, for fairness; 0 when unknown.
    pub user: u64,
}

/// Whether and what the model is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// It decides.
    #[default]
    Auto,
    /// It answers without tools.
    None,
    /// This tool.
    Named(String),
    /// Some tool.
    Required,
}

/// Answer a conversation.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Tools,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// Whether the answer ends with its first call.
    pub one_call: bool,
    /// How the prompt is made.
    pub wishes: TemplateWishes,
    /// Most tokens to make; up to the context when none.
    pub tokens_max: Option<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// What the answer must fit.
    pub constraint: Option<Constraint>,
    /// What the answer may be for the most part, such as a file that is edited. It changes nothing
    /// but the time.
    pub prediction: Option<String>,
    /// What it has of the model's adapters; what is usual when none.
    pub adapters: Option<Vec<AdapterWish>>,
    /// Whose request, for fairness; 0 when unknown.
    pub user: u64,
}

/// What a request may ask of the model's template. Templates pass over what they do not know.
#[derive(Clone, Debug, Default)]
pub struct TemplateWishes {
    /// Whether a model that can do either should reason first; its own choice where none is given.
    pub thinking: Option<bool>,
    /// How much a model should reason that knows degrees: `low`, `medium`, `high`.
    pub reasoning_effort: Option<String>,
    /// Variables by name.
    pub variables: Variables,
}

/// One token that was made.
#[derive(Clone, Debug)]
pub struct TokenText {
    /// Id.
    pub id: u32,
    /// Its own bytes, which may be a part of a character.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, when asked for.
    pub logprob: Option<f32>,
    /// Most likely tokens with their bytes and log-probabilities, best first, when asked for.
    pub top: Vec<(u32, Vec<u8>, f32)>,
}

/// What happens to a request, in order; `Finished` or `Failed` is always the last.
#[derive(Clone, Debug)]
pub enum Event {
    /// It waits; 0 is next.
    Queued {
        /// Requests before it.
        position: u32,
    },
    /// Its prompt is being read; `cached_tokens` of it were known already.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Tokens taken from the prefix cache.
        cached_tokens: u32,
    },
    /// What the model thinks before it answers, in the same manner as [`Event::Text`].
    Reasoning {
        /// To append.
        text: String,
        /// The token.
        token: Option<TokenText>,
    },
    /// A call of a tool.
    Call(CallEvent),
    /// Text to append (whole characters only, may be empty) and the token that ended it.
    Text {
        /// To append.
        text: String,
        /// The token; none when text held back is released at the end.
        token: Option<TokenText>,
    },
    /// Done.
    Finished(TokenUsage),
    /// It could not be finished.
    Failed(crate::Error),
}

/// A call of a tool while it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// It begins.
    Start {
        /// Which of the answer's calls, from 0.
        index: usize,
        /// Its id; the answer to it names it.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of its arguments: together they are a JSON object.
    Arguments {
        /// Which call.
        index: usize,
        /// To append.
        text: String,
    },
    /// It is whole.
    End {
        /// Which call.
        index: usize,
    },
    /// It was none after all; what was written follows as text.
    Void {
        /// Which call.
        index: usize,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The model ended it.
    EndOfText,
    /// A stop text came.
    Stop,
    /// The model waits for what it called.
    Calls,
    /// `tokens_max` was reached.
    Length,
    /// The context is full.
    Context,
    /// The caller went away.
    Cancelled,
}

/// Counts and times of a finished request.
#[derive(Clone, Copy, Debug)]
pub struct TokenUsage {
    /// Why it ended.
    pub finished: Finished,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, taken from the prefix cache.
    pub cached_tokens: u32,
    /// Tokens made.
    pub completion_tokens: u32,
    /// Of these, thought and not said.
    pub reasoning_tokens: u32,
    /// Draft tokens computed for it.
    pub draft_tokens: u32,
    /// Of these, accepted.
    pub accepted_tokens: u32,
    /// Of the accepted, those that were predicted.
    pub accepted_prediction_tokens: u32,
    /// Draft tokens that were predicted, and what was said was another.
    pub rejected_prediction_tokens: u32,
    /// From submission to the first step.
    pub queued: Duration,
    /// From the first step to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Its part of the time that the model computed.
    pub busy: Duration,
    /// What it drew.
    pub energy: Energy,
}

/// One line of `hob bench`, as llama-bench defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchCase {
    /// Tokens of prompt to read.
    pub n_prompt: u32,
    /// Tokens to make.
    pub n_gen: u32,
    /// Tokens already in the context.
    pub n_depth: u32,
    /// Conversations at once: each reads its own prompt, and all make a token in each step.
    pub n_sequences: u32,
}

/// The most that this machine allows for a case, by what was measured of it.
#[derive(Clone, Copy, Debug)]
pub struct BenchLimit {
    /// Tokens per second.
    pub limit_ts: f64,
    /// Bytes per second that memory or caches give when as much is read as the case reads a step.
    pub read_rate: f64,
    /// Operations per second on bytes.
    pub int8_rate: f64,
    /// Operations per second on floats: of prompts where no tokens are made.
    pub float_rate: f64,
}

/// Its measurement.
#[derive(Clone, Debug)]
pub struct BenchResult {
    /// What was measured.
    pub case: BenchCase,
    /// Tokens per second of every repetition.
    pub samples_ts: Vec<f64>,
    /// Seconds of every repetition.
    pub samples_s: Vec<f64>,
}

/// Result of `hob perplexity`.
#[derive(Clone, Debug)]
pub struct PerplexityReport {
    /// exp(mean negative log-likelihood).
    pub perplexity: f64,
    /// Standard error, as llama.cpp computes it.
    pub error: f64,
    /// Chunks of the text.
    pub chunks: usize,
    /// Tokens scored.
    pub tokens_scored: usize,
    /// How far from another model, where one was given.
    pub kl: Option<KlReport>,
}

/// How far a model's next-token probabilities are from those of its base.
#[derive(Clone, Copy, Debug)]
pub struct KlReport {
    /// Perplexity of the base on the same tokens.
    pub base_perplexity: f64,
    /// Kullback-Leibler divergence from the base, mean over the tokens scored, in nats.
    pub mean: f64,
    /// Half of the tokens are below.
    pub median: f64,
    /// Of a hundred tokens one is above.
    pub percentile_99: f64,
    /// Of the worst token.
    pub highest: f64,
    /// Share of tokens whose most likely next token is the base's.
    pub top_1: f64,
}
