//! Granite 3, dense and by experts: like Llama, with factors on embeddings, residuals, attention
//! and logits.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::limits::WIDTH_MAX;
use crate::spec::{AttentionSpec, ExpertsSpec, FeedForward, Scales};
use crate::{ModelSpec, Result};

pub(super) struct Granite;

impl Architecture for Granite {
    fn names(&self) -> &'static [&'static str] {
        &["granite", "granitemoe"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let factor = |name: &str| base.keys.positive(name);
        let attention = base.attention()?;
        let scale = factor("attention.scale")?.unwrap_or(attention.scale);
        let scales = Scales {
            embedding: factor("embedding_scale")?.unwrap_or(1.0),
            residual: factor("residual_scale")?.unwrap_or(1.0),
            logits: 1.0 / factor("logit_scale")?.unwrap_or(1.0),
        };
        let feed_forward = match base.expert_count()? {
            None => base.dense(Activation::Silu)?,
            Some(count) => FeedForward::Experts(ExpertsSpec {
                shared_ffn: base.keys.count("expert_shared_feed_forward_length", WIDTH_MAX)?,
                ..base.experts(count)?
            }),
        };
        let attention = AttentionSpec { scale, ..attention };
        let model = base.uniform(RopePairing::Interleaved, attention, feed_forward)?;
        Ok(ModelSpec { scales, ..model })
    }
}
