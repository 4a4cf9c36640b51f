//! BERT and XLM-RoBERTa, as embedding models (all-MiniLM, bge) and as cross-encoders: positions and
//! types are added to embeddings, every sum is normed.

use gguf::GgufFile;
use tensor::Activation;

use super::base::Base;
use super::{Architecture, Role, default_name};
use crate::limits::WIDTH_MAX;
use crate::spec::{AttentionSpec, DenseForm, DenseSpec, FeedForward};
use crate::{ModelSpec, Result};

pub(super) struct Bert;

impl Architecture for Bert {
    fn names(&self) -> &'static [&'static str] {
        &["bert"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec {
            rope: None,
            input_biases: true,
            output_bias: true,
            ..base.attention()?
        };
        let ffn = base.keys.count_required("feed_forward_length", WIDTH_MAX)?;
        // No key says so: GELU is the exact form.
        let (activation, form) = (Activation::GeluErf, DenseForm::Plain);
        let feed_forward = FeedForward::Dense(DenseSpec { ffn, activation, form });
        base.encoder(attention, feed_forward, (true, Vec::new()))
    }

    fn tensor_name(&self, role: Role, layer: usize) -> String {
        encoder_name(role, layer)
    }
}

/// What encoders call the norms of their sums.
pub(super) fn encoder_name(role: Role, layer: usize) -> String {
    let (name, part) = match role {
        Role::AttentionPostNorm => ("attn_output_norm", "weight"),
        Role::AttentionPostNormBias => ("attn_output_norm", "bias"),
        Role::FeedForwardPostNorm => ("layer_output_norm", "weight"),
        Role::FeedForwardPostNormBias => ("layer_output_norm", "bias"),
        role => return default_name(role, layer),
    };
    format!("blk.{layer}.{name}.{part}")
}
