//! GLM-4: half of each head turns, norms around each block, gate and up in one matrix.
//! Source: the makers' code in `transformers`, `models/glm4`.

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::base::Base;
use super::{Architecture, Role};
use crate::limits::WIDTH_MAX;
use crate::spec::{AttentionSpec, DenseForm, DenseSpec, FeedForward, LayerSpec, Mixer, Norms};
use crate::{ModelSpec, Result};

pub(super) struct Glm4;

impl Architecture for Glm4 {
    fn names(&self) -> &'static [&'static str] {
        &["glm4"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let input_biases = file.tensor(&self.tensor_name(Role::QueryBias, 0)).is_some();
        let attention = AttentionSpec { input_biases, ..base.attention()? };
        let ffn = base.keys.count_required("feed_forward_length", WIDTH_MAX)?;
        let activation = Activation::Silu;
        let form = DenseForm::Fused;
        let layer = LayerSpec {
            mixer: Mixer::Attention(attention),
            feed_forward: FeedForward::Dense(DenseSpec { ffn, activation, form }),
            norms: Norms::Around,
        };
        let rope = base.rope(RopePairing::Interleaved, attention.head_dim_k)?;
        let layers = vec![layer; base.n_layers];
        base.model(vec![rope], layers)
    }
}
