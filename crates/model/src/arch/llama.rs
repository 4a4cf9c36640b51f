//! Llama 1 to 3, Mistral, Mixtral, SmolLM 1 and 2: grouped-query attention and SwiGLU, dense or
//! by experts.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::base::Base;
use super::{Architecture, Role};
use crate::spec::{AttentionSpec, FeedForward, LayerSpec, Mixer, Norms};
use crate::{ModelSpec, Result};

pub(super) struct Llama;

impl Architecture for Llama {
    fn names(&self) -> &'static [&'static str] {
        &["llama"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec { window: base.window()?, ..base.attention()? };
        let feed_forward = match base.expert_count()? {
            None => base.dense(Activation::Silu)?,
            Some(count) => FeedForward::Experts(base.experts(count)?),
        };
        let layers = (0..base.n_layers).map(|layer| {
            let has = |role| file.tensor(&self.tensor_name(role, layer)).is_some();
            let biased = [Role::QueryBias, Role::KeyBias, Role::ValueBias];
            let mixer = Mixer::Attention(AttentionSpec {
                input_biases: biased.into_iter().any(has),
                output_bias: has(Role::AttentionOutputBias),
                ..attention
            });
            LayerSpec { mixer, feed_forward, norms: Norms::Before }
        });
        let layers = layers.collect();
        let rope = base.rope(RopePairing::Interleaved, attention.head_dim_k)?;
        base.model(vec![rope], layers)
    }
}
