//! Gemma 3 (its text part): five layers with a window and a rope of their own, then one that sees
//! all; norms of queries and keys, and around each block.
//! Source: Gemma Team 2025, arXiv 2503.19786, section 2.

use gguf::GgufFile;
use tensor::{Activation, Rope, RopePairing};

use super::base::Base;
use super::gemma2::{embedding_scale, scaled};
use super::{Architecture, rope};
use crate::limits::LAYERS_MAX;
use crate::spec::{AttentionSpec, LayerSpec, Mixer, Norms, QueryKeyNorms};
use crate::{ModelSpec, Result};

/// Every so many layers one sees all, where the key is absent.
const PERIOD: usize = 6;
/// Base of the rope in layers with a window, where the key is absent.
const LOCAL_BASE: f32 = 10_000.0;
/// Layers of the 27B, see Gemma 2.
const LAYERS_27B: usize = 62;

pub(super) struct Gemma3;

impl Architecture for Gemma3 {
    fn names(&self) -> &'static [&'static str] {
        &["gemma3"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let query_key_norms = QueryKeyNorms::EachHead;
        let attention = AttentionSpec { query_key_norms, ..base.attention()? };
        let attention = scaled(&base, attention, LAYERS_27B);
        let feed_forward = base.dense(Activation::GeluTanh)?;
        let window = base.window()?;
        let period = base.keys.count("attention.sliding_window_pattern", LAYERS_MAX)?;
        let period = period.unwrap_or(PERIOD);
        let layer = |layer: usize| {
            let sees_all = window.is_none() || (layer + 1).is_multiple_of(period);
            let (window, rope) = if sees_all { (None, 0) } else { (window, 1) };
            let mixer = Mixer::Attention(AttentionSpec { window, rope: Some(rope), ..attention });
            LayerSpec { mixer, feed_forward, norms: Norms::Around }
        };
        let layers = (0..base.n_layers).map(layer).collect();
        let head_dim = attention.head_dim_k;
        let global = base.rope(RopePairing::Halves, head_dim)?;
        let local_base = base.keys.positive("rope.freq_base_swa")?.unwrap_or(LOCAL_BASE);
        let dims = rope::dims(&base.keys, head_dim)?;
        let local = Rope::new(RopePairing::Halves, head_dim, dims, local_base);
        let logit_soft_cap = base.keys.positive("final_logit_softcapping")?;
        let scales = embedding_scale(base.d);
        Ok(ModelSpec { scales, logit_soft_cap, ..base.model(vec![global, local], layers)? })
    }
}
