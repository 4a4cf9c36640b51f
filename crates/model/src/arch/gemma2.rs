//! Gemma 2: a window in every other layer, soft caps, norms around each block.
//! Source: Gemma Team 2024, arXiv 2408.00118, section 2.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::spec::{AttentionSpec, LayerSpec, Mixer, Norms, Scales};
use crate::{ModelSpec, Result};

/// Where the key is absent.
const WINDOW: usize = 4096;
/// Layers of the 27B, the one model whose scale does not follow from the width of a head; no key
/// tells.
const LAYERS_27B: usize = 46;

pub(super) struct Gemma2;

impl Architecture for Gemma2 {
    fn names(&self) -> &'static [&'static str] {
        &["gemma2"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec {
            soft_cap: base.keys.positive("attn_logit_softcapping")?,
            ..base.attention()?
        };
        let attention = scaled(&base, attention, LAYERS_27B);
        let window = base.window()?.unwrap_or(WINDOW);
        let feed_forward = base.dense(Activation::GeluTanh)?;
        let layer = |layer: usize| {
            let window = layer.is_multiple_of(2).then_some(window);
            let mixer = Mixer::Attention(AttentionSpec { window, ..attention });
            LayerSpec { mixer, feed_forward, norms: Norms::Around }
        };
        let layers = (0..base.n_layers).map(layer).collect();
        let rope = base.rope(RopePairing::Halves, attention.head_dim_k)?;
        let logit_soft_cap = base.keys.positive("final_logit_softcapping")?;
        let scales = embedding_scale(base.d);
        Ok(ModelSpec { scales, logit_soft_cap, ..base.model(vec![rope], layers)? })
    }
}

/// The scale of a 27B, told by its layers, follows from the width of the model.
pub(super) fn scaled(base: &Base<'_>, of: AttentionSpec, layers_27b: usize) -> AttentionSpec {
    if base.n_layers != layers_27b {
        return of;
    }
    AttentionSpec { scale: (1.0 / ((base.d / base.n_heads) as f64).sqrt()) as f32, ..of }
}

/// Embeddings times the root of the width.
pub(super) fn embedding_scale(d: usize) -> Scales {
    Scales { embedding: (d as f64).sqrt() as f32, ..Scales::default() }
}
