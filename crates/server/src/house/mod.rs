//! Endpoints that are hob's own.

pub(crate) mod health;
pub(crate) mod root;
