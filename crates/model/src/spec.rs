//! What a model is, as data: read from a file's headers alone.

use gguf::GgufFile;
use tensor::Rope;

use crate::arch::{self, Role};
use crate::inventory;
use crate::{Error, Result};

/// A model, whatever its architecture.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// As in `general.architecture`.
    pub architecture: String,
    /// Layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d: usize,
    /// Query heads of a layer.
    pub n_heads: usize,
    /// Key/value heads of a layer.
    pub n_kv_heads: usize,
    /// Width of a query and key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Factor on query-key products before the softmax.
    pub attention_scale: f32,
    /// Widest feed-forward block.
    pub ffn: usize,
    /// Rows of the embedding table.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context_len: u32,
    /// Added to the mean square in norms.
    pub norm_eps: f32,
    /// How positions turn queries and keys.
    pub rope: Rope,
    /// Whether the embedding table is the output matrix too.
    pub tied: bool,
    /// What each layer is made of.
    pub layers: Vec<LayerSpec>,
}

/// One layer: norm, mixer, residual, norm, feed-forward, residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What works on each position alone.
    pub feed_forward: FeedForward,
}

/// Kinds of mixer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixer {
    /// Causal attention over all positions, with grouped heads.
    Attention {
        /// Whether queries, keys and values have a bias.
        input_biases: bool,
        /// Whether the output has one.
        output_bias: bool,
    },
}

/// Kinds of feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// `down(silu(gate(x)) * up(x))`.
    Dense {
        /// Width between.
        ffn: usize,
    },
}

/// Reads and checks what the file is: metadata, and the name and shape of every tensor.
///
/// # Errors
/// [`Error`] names the key, tensor or feature that stands in the way.
pub fn spec(file: &GgufFile) -> Result<ModelSpec> {
    let architecture = arch::find(file)?;
    let mut spec = architecture.spec(file)?;
    inventory::check(file, architecture, &spec)?;
    check_vocabulary(file, spec.vocab)?;
    turn_slower(file, &architecture.tensor_name(Role::RopeFactors, 0), &mut spec.rope)?;
    Ok(spec)
}

/// Refuses a tokenizer that makes tokens the model has no embedding for.
fn check_vocabulary(file: &GgufFile, vocab: usize) -> Result<()> {
    let key = "tokenizer.ggml.tokens";
    match file.metadata().strings(key)? {
        Some(tokens) if tokens.len() > vocab => Err(Error::Metadata {
            key: key.to_owned(),
            found: format!("{} tokens", tokens.len()),
            wanted: format!("at most the {vocab} rows of the embedding table"),
        }),
        _ => Ok(()),
    }
}

/// Divides the frequencies by the factors that Llama 3.1 and later bring as a tensor.
fn turn_slower(file: &GgufFile, name: &str, rope: &mut Rope) -> Result<()> {
    let Some(tensor) = file.tensor(name) else { return Ok(()) };
    let mut factors = vec![0.0; rope.inverse_frequencies.len()];
    tensor.format.dequantize_row(file.bytes(tensor), &mut factors);
    for (frequency, factor) in rope.inverse_frequencies.iter_mut().zip(&factors) {
        if !(factor.is_finite() && *factor > 0.0) {
            return Err(Error::Metadata {
                key: format!("a value of the tensor {name}"),
                found: factor.to_string(),
                wanted: "a number above 0".to_owned(),
            });
        }
        *frequency /= factor;
    }
    Ok(())
}
