//! What tests share: tiny random models, seeded numbers, and where the real model lies.
//!
//! **Never** a dependency of the product: dev-dependencies only.

mod real;
mod rng;
mod tiny;
mod vocabulary;

pub use real::{smollm2, smollm2_required};
pub use rng::{Rng, rng};
pub use tiny::TinyModel;
