//! OpenAI's dialect: what its official clients send and expect.

pub(crate) mod adapters;
pub(crate) mod chat;
pub(crate) mod completions;
mod constraint;
pub(crate) mod embeddings;
mod fields;
mod logprobs;
pub(crate) mod model;
pub(crate) mod models;
mod rejection;
pub(crate) mod rerank;
mod sampling;
mod stream;
mod tools;
mod usage;

pub(crate) use rejection::Rejection;
