//! What tests share: tiny random models, large ones to measure speed with, seeded numbers, and
//! where the real model lies.
//!
//! **Never** a dependency of the product: dev-dependencies only.

mod adapter;
mod checkpoint;
mod encoder;
mod metadata;
mod mix;
mod pool;
mod real;
mod reference;
mod rng;
mod ropes;
mod shape;
mod tiny;
mod vocabulary;

pub use adapter::{TinyAdapter, merged};
pub use checkpoint::{TinyCheckpoint, checkpoints_with_images, safetensors};
pub use encoder::TinyEncoder;
pub use mix::{MIXES, Mix, Part};
pub use real::{smollm2, smollm2_required};
pub use reference::{Enlarged, ReferenceModel, reference_models, retrieval_models};
pub use rng::{Rng, rng};
pub use ropes::{RopeTable, rope_tables};
pub use shape::{SHAPES, Shape};
pub use tiny::TinyModel;
