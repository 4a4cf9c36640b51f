//! Shapes, buffers and the one contract every compute backend fulfils.
//!
//! Entry point: [`Backend`]. [`reference::Reference`] is its definition in plain loops; every other
//! backend must agree with it through [`conformance`].
//!
//! **Invariant:** nothing here knows a model architecture, a file format or a request.
//! **Invariant:** the result of one row never depends on its neighbours in a batch, nor on how
//! many threads computed it, only on its own kind ([`Batch::decode_rows`]); a backend that cannot
//! promise this does not pass conformance.

mod activation;
mod backend;
mod batch;
mod buffer;
pub mod conformance;
mod error;
mod experts;
mod heads;
mod kv;
pub mod reference;
mod rope;
mod rule;
mod state;
mod weight;

pub use activation::Activation;
pub use backend::Backend;
pub use batch::{Batch, Span};
pub use buffer::{Buffer, HostBuffer, Tensor};
pub use error::{Error, Result};
pub use experts::{ExpertBiases, Experts, Gating, GroupWorth, Groups, Routing};
pub use heads::HeadColumns;
pub use kv::{KvCache, KvFormat, KvLayout, KvStore};
pub use rope::{Rope, RopePairing};
pub use rule::{AttentionRule, WINDOW_SLACK};
pub use state::{DeltaInputs, DeltaNet, HeadOrder, StateCache, StateLayout};
pub use weight::{Weight, WeightSource, WeightStore};
