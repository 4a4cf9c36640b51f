//! "Can I run this, how fast, and what does it cost?" answered before anything is downloaded.
//!
//! Entry point: [`plan`], pure: what is known of a model ([`Subject`]), of a machine ([`Machine`])
//! and what is wished for go in, a [`Verdict`] comes out. Tables of machines, models, measurements
//! and prices are rows in `data/`, each with source and date.
//!
//! **Invariant:** no prediction is above the bandwidth bound; more context, users or bits never
//! cost less. **Never:** files, clocks, environment, sockets.

mod advise;
mod beside;
mod catalogue;
mod checkpoint;
pub mod claim;
mod config;
pub mod cost;
pub mod doctor;
mod facts;
pub mod fit;
mod image;
mod inventory;
mod machine;
mod memory;
mod names;
mod parts;
mod plan;
mod random;
mod recipe;
mod row;
mod several;
mod speed;
mod subject;
mod tune;
mod types;
pub mod users;
mod weights;

pub use advise::{Miss, Need, Offer, Pick, SizeRow, Task, machines_for, models_for, size_table};
pub use beside::{Adapter, AdapterError, AdapterTensor, Beside, Projector, Tower};
pub use catalogue::{Flag, Measurement, machines, measurements, models};
pub use checkpoint::{Checkpoint, StoredTensor};
pub use config::{CheckpointError, ModelConfig};
pub use facts::{Experts, Mixer, MixerGroup, ModelFacts, Role, TensorGroup};
pub use image::{PIPELINES, Pipeline, pipelines};
pub use machine::{Class, Machine, MemoryKind};
pub use memory::{KV_TYPES, KvType, Memory, STEP_ROWS, step_rows};
pub use names::{NotFound, find_machine, find_model};
pub use plan::{
    Depth, Evidence, FirstToken, Fit, INTERACTIVE_TPS, Knowledge, LoadFrom, Power, RESERVE_BYTES,
    Speed, Token, Verdict, Wish, memory, plan, recommended,
};
pub use recipe::{Family, FileType, Published, Quantisation, Shape};
pub use row::{ExpertsRow, ModelRow, RecurrentRow, WindowRow};
pub use several::{Change, Guest, Seat, Together, together};
pub use speed::{
    Calibration, Coefficients, Demand, Engine, Estimate, FormatTimes, Kernels, Measured, Predictor,
    ReadRate, RowsTime, Tier, TypeDemand, WalkTime,
};
pub use subject::{FileWeights, Subject};
pub use tune::{Tuning, TuningMemory, tuning_memory};
pub use types::TensorType;
pub use weights::Weights;
