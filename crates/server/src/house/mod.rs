//! Endpoints that are hob's own.

pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod root;
pub(crate) mod status;
