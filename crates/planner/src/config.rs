//! A model's `config.json` as far as memory and speed depend on it: its shape, and what its layers
//! keep of the positions before. One row for each `model_type`; one that is not here is refused.

use serde::Deserialize;

use crate::facts::{Mixer, MixerGroup};

/// What `config.json` says; only what is wanted of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ModelConfig {
    model_type: Option<String>,
    /// Of the model of text, where there are towers for images beside it.
    text_config: Option<Box<ModelConfig>>,
    hidden_size: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_attention_heads: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    intermediate_size: Option<u64>,
    max_position_embeddings: Option<u64>,
    layer_types: Option<Vec<String>>,
    sliding_window: Option<u64>,
    sliding_window_pattern: Option<u64>,
    attention_chunk_size: Option<u64>,
    full_attention_interval: Option<u64>,
    kv_lora_rank: Option<u64>,
    qk_rope_head_dim: Option<u64>,
    #[serde(alias = "num_experts", alias = "n_routed_experts")]
    num_local_experts: Option<u64>,
    #[serde(alias = "top_k_experts")]
    num_experts_per_tok: Option<u64>,
    moe_intermediate_size: Option<u64>,
    linear_num_value_heads: Option<u64>,
    linear_num_key_heads: Option<u64>,
    linear_key_head_dim: Option<u64>,
    linear_value_head_dim: Option<u64>,
    linear_conv_kernel_dim: Option<u64>,
    #[serde(alias = "mamba_num_heads")]
    mamba_n_heads: Option<u64>,
    #[serde(alias = "mamba_head_dim")]
    mamba_d_head: Option<u64>,
    #[serde(alias = "ssm_state_size")]
    mamba_d_state: Option<u64>,
    #[serde(alias = "n_groups")]
    mamba_n_groups: Option<u64>,
    #[serde(alias = "conv_kernel")]
    mamba_d_conv: Option<u64>,
    hybrid_override_pattern: Option<String>,
    #[serde(rename = "conv_L_cache")]
    conv_l_cache: Option<u64>,
}

/// Why a checkpoint cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// A kind of model without a row.
    #[error(
        "hob does not know models of the type {model_type:?} (config.json): which of their \
        layers keep what is missing; known are {}. A GGUF file of it says so itself",
        known()
    )]
    UnknownType {
        /// As `config.json` says.
        model_type: String,
    },
    /// Nothing says what kind of model it is.
    #[error("config.json does not say its model_type")]
    NoType,
    /// A number that such a model needs.
    #[error("config.json of a {model_type} lacks {field}, or it is not from 1 to {NUMBER_MAX}")]
    Missing {
        /// The kind of model.
        model_type: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A kind of layer that nothing is known of.
    #[error("config.json has layers of the kind {kind:?}, and hob does not know what they keep")]
    LayerKind {
        /// As `config.json` says.
        kind: String,
    },
    /// The list of layers and their number differ.
    #[error("config.json says {layers} layers and what {listed} of them are")]
    LayerCount {
        /// The number.
        layers: u64,
        /// Length of the list.
        listed: u64,
    },
    /// The files have fewer layers than the configuration.
    #[error(
        "config.json says {layers} layers, and there is no tensor of the last: a file is \
        missing, or they do not belong together"
    )]
    Incomplete {
        /// The number.
        layers: u64,
    },
    /// Weights in a form whose shape is not told.
    #[error(
        "{tensor} is packed as {dtype}, which hob cannot count: its GGUF file can be planned, \
        or a name of the table with --quant, e.g. AWQ"
    )]
    Packed {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
}

type Result<T> = std::result::Result<T, CheckpointError>;

/// Numbers above are no geometry: products of four stay whole in 128 bits, and sums saturate.
const NUMBER_MAX: u64 = 1 << 32;
const LAYERS_MAX: u64 = 4096;

/// Bytes of a number in a recurrent state.
const STATE_BYTES: u64 = 4;

/// A kind of model.
struct Row {
    /// As `config.json` calls it.
    model_type: &'static str,
    /// As GGUF files name it.
    architecture: &'static str,
    /// What layers are where nothing lists them.
    layers: Usual,
    /// Positions that it was trained for, where its files leave that out.
    context: Option<u64>,
}

/// What layers are where nothing lists them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usual {
    /// All see everything.
    Full,
    /// All see a window but the last of each group of so many.
    Windows(u64),
    /// All keep a latent vector.
    Latent,
    /// All have a gated delta net but the last of each `full_attention_interval`.
    Linear,
    /// The list has to be there.
    Listed,
}

const fn row(model_type: &'static str, architecture: &'static str, layers: Usual) -> Row {
    Row { model_type, architecture, layers, context: None }
}

/// Every row, sorted. Sources: the configuration classes of Hugging Face's transformers.
static ROWS: &[Row] = &[
    row("cohere", "command-r", Usual::Full),
    row("cohere2", "cohere2", Usual::Windows(4)),
    row("deepseek_v2", "deepseek2", Usual::Latent),
    row("deepseek_v3", "deepseek2", Usual::Latent),
    row("gemma", "gemma", Usual::Full),
    row("gemma2", "gemma2", Usual::Windows(2)),
    Row { context: Some(131_072), ..row("gemma3_text", "gemma3", Usual::Windows(6)) },
    row("glm4", "glm4", Usual::Full),
    row("glm4_moe", "glm4moe", Usual::Full),
    row("glm4_moe_lite", "deepseek2", Usual::Latent),
    row("gpt_oss", "gpt-oss", Usual::Listed),
    row("granite", "granite", Usual::Full),
    row("granitemoe", "granitemoe", Usual::Full),
    row("granitemoehybrid", "granitehybrid", Usual::Listed),
    row("granitemoeshared", "granitemoe", Usual::Full),
    row("kimi_k2", "deepseek2", Usual::Latent),
    row("lfm2", "lfm2", Usual::Listed),
    row("lfm2_moe", "lfm2moe", Usual::Listed),
    row("llama", "llama", Usual::Full),
    row("llama4_text", "llama4", Usual::Windows(4)),
    row("minimax_m2", "minimax-m2", Usual::Full),
    row("ministral3", "mistral3", Usual::Full),
    row("mistral", "llama", Usual::Full),
    row("mixtral", "llama", Usual::Full),
    row("nemotron_h", "nemotron_h", Usual::Listed),
    row("olmo2", "olmo2", Usual::Full),
    row("olmo3", "olmo2", Usual::Listed),
    row("olmoe", "olmoe", Usual::Full),
    row("phi3", "phi3", Usual::Full),
    row("qwen2", "qwen2", Usual::Full),
    row("qwen2_5_vl", "qwen2vl", Usual::Full),
    row("qwen2_5_vl_text", "qwen2vl", Usual::Full),
    row("qwen2_moe", "qwen2moe", Usual::Full),
    row("qwen3", "qwen3", Usual::Full),
    row("qwen3_5_moe_text", "qwen35moe", Usual::Linear),
    row("qwen3_5_text", "qwen35", Usual::Linear),
    row("qwen3_moe", "qwen3moe", Usual::Full),
    row("qwen3_next", "qwen3next", Usual::Linear),
    row("qwen3_vl_moe_text", "qwen3vlmoe", Usual::Full),
    row("qwen3_vl_text", "qwen3vl", Usual::Full),
    row("smollm3", "smollm3", Usual::Full),
];

fn known() -> String {
    ROWS.iter().map(|row| row.model_type).collect::<Vec<_>>().join(", ")
}

/// What a configuration says, checked.
pub(crate) struct Geometry {
    /// As `config.json` calls the kind.
    pub(crate) model_type: &'static str,
    /// As GGUF files name it.
    pub(crate) architecture: &'static str,
    pub(crate) width: u64,
    pub(crate) layers: u64,
    /// None where the configuration leaves it to the kind's own number.
    pub(crate) heads: Option<u64>,
    pub(crate) head_dim: Option<u64>,
    pub(crate) feed_forward: u64,
    pub(crate) context_max: u64,
    /// All of a layer, and those that a token passes.
    pub(crate) experts: Option<(u64, u64)>,
    pub(crate) expert_width: u64,
    kinds: Vec<Kind>,
    kv_heads: Option<u64>,
}

/// What one layer mixes positions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    Window(u64),
    Latent(u64),
    State(u64),
    Nothing,
}

impl ModelConfig {
    /// The geometry, or what is missing.
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let text = self.text_config.as_deref().unwrap_or(self);
        let named = text.model_type.as_ref().or(self.model_type.as_ref());
        let named = named.ok_or(CheckpointError::NoType)?;
        let unknown = || CheckpointError::UnknownType { model_type: short(named) };
        let row = ROWS.iter().find(|row| row.model_type == named).ok_or_else(unknown)?;
        let reader = Reader { config: text, row };
        let layers = reader.number("num_hidden_layers", text.num_hidden_layers)?;
        if layers > LAYERS_MAX {
            return Err(reader.missing("num_hidden_layers"));
        }
        let experts = match text.num_local_experts.filter(|count| *count > 1) {
            Some(_) => Some((
                reader.number("num_experts", text.num_local_experts)?,
                reader.number("num_experts_per_tok", text.num_experts_per_tok)?,
            )),
            None => None,
        };
        let optional = |value: Option<u64>| value.filter(|value| (1..=NUMBER_MAX).contains(value));
        let feed_forward = optional(text.intermediate_size).unwrap_or(0);
        let context = text.max_position_embeddings.or(row.context);
        Ok(Geometry {
            model_type: row.model_type,
            architecture: row.architecture,
            width: reader.number("hidden_size", text.hidden_size)?,
            layers,
            heads: optional(text.num_attention_heads),
            head_dim: optional(text.head_dim),
            feed_forward,
            context_max: reader.number("max_position_embeddings", context)?,
            experts,
            expert_width: optional(text.moe_intermediate_size).unwrap_or(feed_forward),
            kinds: reader.kinds(layers)?,
            kv_heads: optional(text.num_key_value_heads.or(text.num_attention_heads)),
        })
    }
}

/// A name out of a file, in a line of ours.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

struct Reader<'a> {
    config: &'a ModelConfig,
    row: &'static Row,
}

impl Reader<'_> {
    fn missing(&self, field: &'static str) -> CheckpointError {
        CheckpointError::Missing { model_type: self.row.model_type, field }
    }

    fn number(&self, field: &'static str, value: Option<u64>) -> Result<u64> {
        value.filter(|value| (1..=NUMBER_MAX).contains(value)).ok_or_else(|| self.missing(field))
    }

    fn kinds(&self, layers: u64) -> Result<Vec<Kind>> {
        if self.row.layers == Usual::Latent {
            let latent = self.number("kv_lora_rank", self.config.kv_lora_rank)?;
            let rope = self.number("qk_rope_head_dim", self.config.qk_rope_head_dim)?;
            return Ok((0..layers).map(|_| Kind::Latent(latent + rope)).collect());
        }
        let listed: Option<Vec<Kind>> = match (&self.config.layer_types, self.pattern()) {
            (Some(list), _) => {
                Some(list.iter().map(|kind| self.kind(kind)).collect::<Result<_>>()?)
            }
            (None, Some(pattern)) => {
                Some(pattern.chars().map(|letter| self.letter(letter)).collect::<Result<_>>()?)
            }
            (None, None) => None,
        };
        if let Some(listed) = listed {
            let count = listed.len() as u64;
            let differs = CheckpointError::LayerCount { layers, listed: count };
            return if count == layers { Ok(listed) } else { Err(differs) };
        }
        (0..layers).map(|layer| self.usual(layer)).collect()
    }

    fn pattern(&self) -> Option<&str> {
        self.config.hybrid_override_pattern.as_deref()
    }

    fn usual(&self, layer: u64) -> Result<Kind> {
        let is_last_of = |period: u64| (layer + 1).is_multiple_of(period);
        match self.row.layers {
            Usual::Full | Usual::Latent => Ok(Kind::Full),
            Usual::Windows(period) => {
                let period = self.config.sliding_window_pattern.unwrap_or(period);
                if period == 0 || is_last_of(period) { Ok(Kind::Full) } else { self.window() }
            }
            Usual::Linear => {
                let interval =
                    self.number("full_attention_interval", self.config.full_attention_interval)?;
                if is_last_of(interval) { Ok(Kind::Full) } else { self.delta_net() }
            }
            Usual::Listed => Err(self.missing("layer_types")),
        }
    }

    /// A word of `layer_types`.
    fn kind(&self, kind: &str) -> Result<Kind> {
        match kind {
            "full_attention" | "attention" => Ok(Kind::Full),
            "sliding_attention" | "chunked_attention" => self.window(),
            "linear_attention" => self.delta_net(),
            "mamba" => self.mamba(),
            "conv" => self.convolution(),
            other => Err(CheckpointError::LayerKind { kind: short(other) }),
        }
    }

    /// A letter of `hybrid_override_pattern`.
    fn letter(&self, letter: char) -> Result<Kind> {
        match letter {
            'M' => self.mamba(),
            '*' => Ok(Kind::Full),
            '-' | 'E' => Ok(Kind::Nothing),
            other => Err(CheckpointError::LayerKind { kind: other.to_string() }),
        }
    }

    fn window(&self) -> Result<Kind> {
        let length = self.config.sliding_window.or(self.config.attention_chunk_size);
        Ok(Kind::Window(self.number("sliding_window", length)?))
    }

    /// Source of this and the next: docs/planner.md; 149.6 MiB of Qwen3.6-27B are met exactly.
    fn delta_net(&self) -> Result<Kind> {
        let config = self.config;
        let values = self.number("linear_num_value_heads", config.linear_num_value_heads)?;
        let keys = self.number("linear_num_key_heads", config.linear_num_key_heads)?;
        let key_dim = self.number("linear_key_head_dim", config.linear_key_head_dim)?;
        let value_dim = self.number("linear_value_head_dim", config.linear_value_head_dim)?;
        let kernel = self.number("linear_conv_kernel_dim", config.linear_conv_kernel_dim)?;
        let mixed = times(&[values, value_dim]).saturating_add(times(&[2, keys, key_dim]));
        Ok(state(times(&[values, value_dim, key_dim]), kernel, mixed))
    }

    fn mamba(&self) -> Result<Kind> {
        let config = self.config;
        let heads = self.number("mamba_n_heads", config.mamba_n_heads)?;
        let head_dim = self.number("mamba_d_head", config.mamba_d_head)?;
        let states = self.number("mamba_d_state", config.mamba_d_state)?;
        let groups = self.number("mamba_n_groups", config.mamba_n_groups)?;
        let kernel = self.number("mamba_d_conv", config.mamba_d_conv)?;
        let inner = times(&[heads, head_dim]);
        let mixed = inner.saturating_add(times(&[2, groups, states]));
        Ok(state(times(&[inner, states]), kernel, mixed))
    }

    fn convolution(&self) -> Result<Kind> {
        let kernel = self.number("conv_L_cache", self.config.conv_l_cache)?;
        Ok(state(0, kernel, self.number("hidden_size", self.config.hidden_size)?))
    }
}

fn times(numbers: &[u64]) -> u64 {
    numbers.iter().fold(1, |product: u64, number| product.saturating_mul(*number))
}

/// Values that are kept, and what a convolution over `mixed` values holds of the positions before.
fn state(values: u64, kernel: u64, mixed: u64) -> Kind {
    let held = times(&[kernel - 1, mixed]);
    Kind::State(values.saturating_add(held).saturating_mul(STATE_BYTES))
}

impl Geometry {
    /// Key and value heads, as the configuration has them.
    pub(crate) fn kv_heads(&self) -> u64 {
        self.kv_heads.unwrap_or(0)
    }

    /// What layers keep; `values(layer)` are keys and values of one position by the shapes of the
    /// layer's own matrices, where those tell.
    ///
    /// # Errors
    /// When neither they nor the configuration do.
    pub(crate) fn mixers(&self, values: impl Fn(u64) -> Option<u64>) -> Result<Vec<MixerGroup>> {
        let mut groups: Vec<MixerGroup> = Vec::new();
        for (layer, kind) in (0_u64..).zip(&self.kinds) {
            let own = || values(layer).or_else(|| self.usual_values());
            let missing = self.missing("head_dim");
            let mixer = match *kind {
                Kind::Full => Mixer::Full { values: own().ok_or(missing)? },
                Kind::Window(length) => Mixer::Window { values: own().ok_or(missing)?, length },
                Kind::Latent(values) => Mixer::Full { values },
                Kind::State(state_bytes) => Mixer::Recurrent { state_bytes },
                Kind::Nothing => Mixer::Nothing,
            };
            match groups.iter_mut().find(|group| group.mixer == mixer) {
                Some(group) => group.layers += 1,
                None => groups.push(MixerGroup { layers: 1, mixer }),
            }
        }
        Ok(groups)
    }

    pub(crate) fn missing(&self, field: &'static str) -> CheckpointError {
        CheckpointError::Missing { model_type: self.model_type, field }
    }

    fn usual_values(&self) -> Option<u64> {
        let head_dim = self.head_dim.or_else(|| self.width.checked_div(self.heads?));
        Some(times(&[2, self.kv_heads?, head_dim?]))
    }
}

#[cfg(test)]
mod tests;
