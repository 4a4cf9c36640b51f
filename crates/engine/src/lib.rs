//! One model running: a thread, a step loop, sampling and a stream of events for each request.
//!
//! Entry point: [`Engine::start`], then [`Engine::submit`] for each request, or
//! [`Engine::retrieve`] where the model embeds or scores texts. Requests of several
//! people share every step (continuous batching); what each gets does not depend on the others.
//!
//! **Invariant:** the engine knows tokens and cancellation, never people, permissions or messages.
//! **Invariant:** a request that was admitted ends with exactly one `Finished` or `Failed`.

mod adapters;
mod cancel;
mod constraint;
mod engine;
mod error;
mod retrieval;
pub mod sampling;
mod speculation;
mod stats;
mod step;
mod stop;
mod stream;

pub use cancel::CancelToken;
pub use constraint::vocabulary;
pub use engine::{Engine, EngineOptions, EngineRequest, Markers};
pub use error::{Error, Result};
pub use retrieval::{Retrieval, RetrievalRequest, Retrieved, TEXTS_MAX, TextTokens};
pub use scheduler::FinishReason;
pub use speculation::{Speculation, can_draft, draft_pages};
pub use stats::{BUCKET_ENDS_S, Counts, Drafting, EndCounts, Ended, Histogram, RECENT_MAX, Stats};
pub use stream::{Event, Generation, Receiver, TokenEvent, Usage};
