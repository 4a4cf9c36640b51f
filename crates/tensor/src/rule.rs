//! How attention weighs positions, as data.

use crate::Tensor;

/// Positions before the first that a span's rows see by their window which a backend may read all
/// the same, because it reads whole blocks. A page that ends before these is never touched: a page
/// table may name any page in its place.
pub const WINDOW_SLACK: usize = 63;

/// How the products of a query with keys become weights of values.
#[derive(Clone, Copy)]
pub struct AttentionRule<'a> {
    /// Factor on the products: what comes of it is a score.
    pub scale: f32,
    /// A score `s` becomes `cap * tanh(s / cap)`.
    /// Source: Gemma Team 2024, arXiv 2408.00118, section 2.
    pub soft_cap: Option<f32>,
    /// A row sees so many positions at most: its own and those right before it; at least 1. See
    /// [`WINDOW_SLACK`] for pages that lie behind.
    pub window: Option<usize>,
    /// `[1, n_heads]`: of each query head a score that takes part in the softmax and has no value.
    /// Source: Agarwal et al. 2025, arXiv 2508.10925, section 2.
    pub sinks: Option<&'a Tensor>,
    /// Whether a row sees the rows after its own too: all of its span, which begins at position 0.
    /// There is no window then.
    pub bidirectional: bool,
}

impl AttentionRule<'_> {
    /// All positions up to its own, and nothing else.
    #[must_use]
    pub fn causal(scale: f32) -> AttentionRule<'static> {
        AttentionRule { scale, soft_cap: None, window: None, sinks: None, bidirectional: false }
    }
}
