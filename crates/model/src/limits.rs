//! Bounds on what a file may claim, far above any model there is and far below what would hurt.

/// Layers.
pub(crate) const LAYERS_MAX: usize = 1 << 10;
/// Model and feed-forward width.
pub(crate) const WIDTH_MAX: usize = 1 << 20;
/// Heads of a layer.
pub(crate) const HEADS_MAX: usize = 1 << 12;
/// Width of a head.
pub(crate) const HEAD_DIM_MAX: usize = 1 << 12;
/// Rows of a step.
pub(crate) const STEP_ROWS_MAX: usize = 1 << 16;
/// Rows whose logits are computed at once; more are computed in turns, because one row is as wide
/// as the vocabulary.
pub(crate) const LOGIT_ROWS_MAX: usize = 32;
/// Experts of a layer.
pub(crate) const EXPERTS_MAX: usize = 1 << 12;
/// Adapters beside a model.
pub(crate) const ADAPTERS_MAX: usize = 64;
/// Rank of an adapter.
pub(crate) const ADAPTER_RANK_MAX: usize = 1 << 10;
/// Sequences that have a state at once.
pub const STATE_SLOTS_MAX: usize = 1 << 16;
/// Rows that a convolution over positions looks at.
pub(crate) const CONV_KERNEL_MAX: usize = 64;
