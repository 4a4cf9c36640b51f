//! Model architectures as data, and one forward pass over block kinds.
//!
//! Entry points: [`spec`] for what a file is, [`memory_need`] for what it will take, then
//! [`Model::load`] and [`Model::forward`]; in models for retrieval [`Model::pool`].
//!
//! **Invariant:** a file is checked whole (metadata, every tensor's name and shape) before a weight
//! is prepared; what cannot be computed rightly is refused by name.
//! **Invariant:** nothing here knows a request, a clock or a thread.

mod adapters;
mod arch;
mod blocks;
mod cost;
mod error;
mod factors;
mod features;
mod forward;
mod inventory;
mod limits;
mod need;
mod options;
mod pooling;
mod spec;
mod weights;
mod windows;
mod workspace;

pub use adapters::{AdapterFile, AdapterNeed, AdapterScale, adapter_need};
pub use arch::{ARCHITECTURES, Architecture, Role, RopeRule, RopeScaling, stretch};
pub use cost::{CostModel, StepCost};
pub use error::{Error, Result};
pub use forward::Model;
pub use limits::STATE_SLOTS_MAX;
pub use need::{MemoryNeed, memory_need};
pub use options::{KvWindow, LoadOptions};
pub use pooling::Pool;
pub use spec::{
    AttentionSpec, Classifier, DeltaNetSpec, DenseForm, DenseSpec, Entry, ExpertsSpec, FeedForward,
    KvShape, LatentSpec, LayerSpec, Mixer, ModelSpec, Norms, Pooling, QueryKeyNorms, Scales, spec,
};
pub use windows::WindowTables;
