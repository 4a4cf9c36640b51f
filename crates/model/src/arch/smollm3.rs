//! SmolLM 3: like Llama, but positions turn nothing in every fourth layer.
//! Source: Yang et al. 2025, arXiv 2501.18795 (layers without positions).

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::spec::{AttentionSpec, LayerSpec, Mixer, Norms};
use crate::{ModelSpec, Result};

/// Every so many layers one has no positions.
const PERIOD: usize = 4;

pub(super) struct SmolLm3;

impl Architecture for SmolLm3 {
    fn names(&self) -> &'static [&'static str] {
        &["smollm3"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = base.attention()?;
        let feed_forward = base.dense(Activation::Silu)?;
        let layer = |layer: usize| {
            let rope = (!(layer + 1).is_multiple_of(PERIOD)).then_some(0);
            let mixer = Mixer::Attention(AttentionSpec { rope, ..attention });
            LayerSpec { mixer, feed_forward, norms: Norms::Before }
        };
        let layers = (0..base.n_layers).map(layer).collect();
        let rope = base.rope(RopePairing::Interleaved, attention.head_dim_k)?;
        base.model(vec![rope], layers)
    }
}
