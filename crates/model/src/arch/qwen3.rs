//! Qwen 3, dense and by experts: each head of queries and keys is normed.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::spec::{AttentionSpec, FeedForward, QueryKeyNorms};
use crate::{ModelSpec, Result};

pub(super) struct Qwen3;

impl Architecture for Qwen3 {
    fn names(&self) -> &'static [&'static str] {
        &["qwen3", "qwen3moe"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let query_key_norms = QueryKeyNorms::EachHead;
        let attention = AttentionSpec { query_key_norms, ..base.attention()? };
        let feed_forward = match base.expert_count()? {
            None => base.dense(Activation::Silu)?,
            Some(count) => FeedForward::Experts(base.experts(count)?),
        };
        base.uniform(RopePairing::Halves, attention, feed_forward)
    }
}
