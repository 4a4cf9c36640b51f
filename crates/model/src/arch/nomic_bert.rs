//! Nomic's BERT: positions turn queries and keys, feed-forward blocks are gated, matrices have no
//! biases.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::base::Base;
use super::bert::encoder_name;
use super::{Architecture, Role};
use crate::spec::AttentionSpec;
use crate::{ModelSpec, Result};

pub(super) struct NomicBert;

impl Architecture for NomicBert {
    fn names(&self) -> &'static [&'static str] {
        &["nomic-bert"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec { fused: true, ..base.attention()? };
        let feed_forward = base.dense(Activation::Silu)?;
        let rope = base.rope(RopePairing::Halves, attention.head_dim_k)?;
        base.encoder(attention, feed_forward, (false, vec![rope]))
    }

    fn tensor_name(&self, role: Role, layer: usize) -> String {
        encoder_name(role, layer)
    }
}
