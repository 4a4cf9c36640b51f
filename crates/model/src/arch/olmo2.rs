//! OLMo 2: norms after each block, and of all heads of queries and of keys together.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::spec::{AttentionSpec, LayerSpec, Mixer, Norms, QueryKeyNorms};
use crate::{ModelSpec, Result};

pub(super) struct Olmo2;

impl Architecture for Olmo2 {
    fn names(&self) -> &'static [&'static str] {
        &["olmo2"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let query_key_norms = QueryKeyNorms::AllHeads;
        let attention = AttentionSpec { query_key_norms, ..base.attention()? };
        let layer = LayerSpec {
            mixer: Mixer::Attention(attention),
            feed_forward: base.dense(Activation::Silu)?,
            norms: Norms::After,
        };
        let rope = base.rope(RopePairing::Halves, attention.head_dim_k)?;
        let layers = vec![layer; base.n_layers];
        base.model(vec![rope], layers)
    }
}
