//! gpt-oss: experts in every layer, attention sinks, a window in every other layer, YaRN.
//! Source: Agarwal et al. 2025, arXiv 2508.10925, section 2.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::base::Base;
use super::{Architecture, Role, default_name};
use crate::limits::EXPERTS_MAX;
use crate::spec::{AttentionSpec, ExpertsSpec, FeedForward, LayerSpec, Mixer, Norms};
use crate::{ModelSpec, Result};

const ACTIVATION: Activation = Activation::ClampedSilu { alpha: 1.702, limit: 7.0 };

pub(super) struct GptOss;

impl Architecture for GptOss {
    fn names(&self) -> &'static [&'static str] {
        &["gpt-oss"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec {
            sinks: true,
            input_biases: true,
            output_bias: true,
            ..base.attention()?
        };
        let window = base.window()?;
        let count = base.keys.count_required("expert_count", EXPERTS_MAX)?;
        let experts = base.experts(count)?;
        let feed_forward =
            FeedForward::Experts(ExpertsSpec { activation: ACTIVATION, biases: true, ..experts });
        let layer = |layer: usize| {
            let window = if layer.is_multiple_of(2) { window } else { None };
            let mixer = Mixer::Attention(AttentionSpec { window, ..attention });
            LayerSpec { mixer, feed_forward, norms: Norms::Before }
        };
        let layers = (0..base.n_layers).map(layer).collect();
        let rope = base.rope(RopePairing::Halves, attention.head_dim_k)?;
        base.model(vec![rope], layers)
    }

    fn tensor_name(&self, role: Role, layer: usize) -> String {
        match role {
            // Its file calls what stands before the experts by what it stands after.
            Role::FeedForwardNorm => default_name(Role::AttentionPostNorm, layer),
            role => default_name(role, layer),
        }
    }
}
