//! Llama 1 to 3, Mistral, SmolLM 1 and 2: dense layers of grouped-query attention and SwiGLU.

use gguf::GgufFile;
use tensor::{Rope, RopePairing};

use super::read::Keys;
use super::{Architecture, Role};
use crate::limits::{HEAD_DIM_MAX, HEADS_MAX, LAYERS_MAX, WIDTH_MAX};
use crate::{FeedForward, LayerSpec, Mixer, ModelSpec, Result};

pub(super) struct Llama;

impl Architecture for Llama {
    fn names(&self) -> &'static [&'static str] {
        &["llama"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let keys = Keys::of(file)?;
        refuse_experts(&keys)?;
        let n_layers = keys.count_required("block_count", LAYERS_MAX)?;
        let d = keys.count_required("embedding_length", WIDTH_MAX)?;
        let ffn = keys.count_required("feed_forward_length", WIDTH_MAX)?;
        let n_heads = keys.count_required("attention.head_count", HEADS_MAX)?;
        let n_kv_heads = keys.count("attention.head_count_kv", HEADS_MAX)?.unwrap_or(n_heads);
        keys.divides(("attention.head_count_kv", n_kv_heads), ("attention.head_count", n_heads))?;
        let head_dim = |name: &str| match keys.count(name, HEAD_DIM_MAX)? {
            Some(head_dim) => Ok(head_dim),
            None => keys
                .divides(("attention.head_count", n_heads), ("embedding_length", d))
                .map(|()| d / n_heads),
        };
        let head_dim_k = head_dim("attention.key_length")?;
        let layers = (0..n_layers)
            .map(|layer| {
                let has = |role| file.tensor(&self.tensor_name(role, layer)).is_some();
                let biased = [Role::QueryBias, Role::KeyBias, Role::ValueBias];
                let input_biases = biased.into_iter().any(has);
                let output_bias = has(Role::AttentionOutputBias);
                let mixer = Mixer::Attention { input_biases, output_bias };
                LayerSpec { mixer, feed_forward: FeedForward::Dense { ffn } }
            })
            .collect();
        let token_embedding = file.tensor(&self.tensor_name(Role::TokenEmbedding, 0));
        Ok(ModelSpec {
            architecture: keys.architecture().to_owned(),
            n_layers,
            d,
            n_heads,
            n_kv_heads,
            head_dim_k,
            head_dim_v: head_dim("attention.value_length")?,
            attention_scale: (1.0 / (head_dim_k as f64).sqrt()) as f32,
            ffn,
            // None when the tensor is missing, which the inventory then says.
            vocab: token_embedding.map_or(0, |tensor| tensor.n()),
            context_len: context_len(&keys)?,
            norm_eps: keys.positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            rope: rope(&keys, head_dim_k)?,
            tied: file.tensor(&self.tensor_name(Role::Output, 0)).is_none(),
            layers,
        })
    }
}

fn refuse_experts(keys: &Keys<'_>) -> Result<()> {
    match keys.whole("expert_count")? {
        None | Some(0) => Ok(()),
        Some(n) => {
            let key = keys.key("expert_count");
            Err(keys.unsupported(format!("a mixture of experts ({key} is {n})")))
        }
    }
}

/// The trained context; with a sliding window only as far as the window makes no difference.
fn context_len(keys: &Keys<'_>) -> Result<u32> {
    let max = u32::MAX as usize;
    let trained = keys.count_required("context_length", max)?;
    let window = match keys.whole("attention.sliding_window")? {
        None | Some(0) => trained,
        Some(window) => usize::try_from(window).unwrap_or(max),
    };
    Ok(u32::try_from(trained.min(window)).expect("not above u32::MAX, as was just checked"))
}

fn rope(keys: &Keys<'_>, head_dim: usize) -> Result<Rope> {
    let dims = keys.count("rope.dimension_count", HEAD_DIM_MAX)?.unwrap_or(head_dim);
    if dims > head_dim || !dims.is_multiple_of(2) {
        let wanted = format!("even and at most the head's width, {head_dim}");
        return Err(keys.wrong("rope.dimension_count", &dims, &wanted));
    }
    let base = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
    // Written before `rope.scaling` was.
    let old = keys.positive("rope.scale_linear")?;
    let factor = match keys.text("rope.scaling.type")? {
        None => old.unwrap_or(1.0),
        Some("none") => 1.0,
        Some("linear") => keys.positive("rope.scaling.factor")?.or(old).unwrap_or(1.0),
        Some(other) => {
            let key = keys.key("rope.scaling.type");
            return Err(
                keys.unsupported(format!("another scaling of positions ({key} is {other})"))
            );
        }
    };
    let mut rope = Rope::new(RopePairing::Interleaved, head_dim, dims, base);
    for frequency in &mut rope.inverse_frequencies {
        *frequency /= factor;
    }
    Ok(rope)
}
