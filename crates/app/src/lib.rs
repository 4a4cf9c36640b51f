//! The roof over the domain: builds the house from its configuration and answers requests with
//! events. The server and the command line are two thin faces of this crate.
//!
//! **Invariant:** no HTTP and no JSON here; plain structs in, plain events out.

mod adapters;
mod api;
mod app;
mod ask;
mod backends;
mod bench;
mod clock;
mod constraint;
pub mod doctor;
mod draft;
mod draw;
mod energy;
mod error;
mod generation;
mod loaded;
mod memory;
mod open;
mod perplexity;
pub mod planning;
mod quantize;
mod retrieval;
mod show;
mod speech;
mod status;
mod watch;

pub use api::{
    AdapterKey, AdapterSource, AdapterWish, BenchCase, BenchLimit, BenchResult, CallEvent,
    ChatRequest, CompletionRequest, Config, Event, Finished, KlReport, LoadOptions, ModelEntry,
    ModelInfo, ModelRef, PerplexityReport, Prompt, TemplateWishes, TensorLine, TokenText,
    TokenUsage, ToolChoice,
};
pub use app::App;
pub use chat::{Message, Tools, Variables};
pub use clock::{unique_id, unix_time_s};
pub use constraint::Constraint;
pub use draw::DrawModel;
pub use energy::{Drawn, Energy};
pub use engine::sampling::{Dry, Mirostat, SamplingParams};
pub use engine::{Counts, EndCounts, Ended, FinishReason, Histogram, Speculation, Stats, Usage};
pub use error::{Error, ErrorKind, Result};
pub use generation::Generation;
pub use grammar::Kind as GrammarKind;
pub use loaded::{LoadedModel, kv_type};
pub use meter;
pub use model::{RopeRule, RopeScaling};
pub use planner;
pub use quantize::{QuantizeOptions, QuantizeReport};
pub use retrieval::{EmbedRequest, Passage, RerankRequest, Retrieval, Retrieved};
pub use status::{DraftStatus, ModelMemory, ModelStatus, Rates, Status};
pub use store::PullEvent;
pub use watch::Moment;
