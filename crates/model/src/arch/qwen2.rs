//! Qwen 2 and 2.5: like Llama, with biases on queries, keys and values.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::Architecture;
use super::base::Base;
use crate::spec::AttentionSpec;
use crate::{ModelSpec, Result};

pub(super) struct Qwen2;

impl Architecture for Qwen2 {
    fn names(&self) -> &'static [&'static str] {
        &["qwen2"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec { input_biases: true, ..base.attention()? };
        let dense = base.dense(Activation::Silu)?;
        base.uniform(RopePairing::Halves, attention, dense)
    }
}
