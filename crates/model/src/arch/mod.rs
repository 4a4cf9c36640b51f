//! The architectures that run, one file each, and how a file finds its own.

mod base;
mod bert;
mod deepseek2;
mod gemma2;
mod gemma3;
mod glm4;
mod gpt_oss;
mod granite;
mod llama;
mod nomic_bert;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3next;
mod read;
mod rope;
mod smollm3;
mod stretch;
#[cfg(test)]
mod tests;

use gguf::GgufFile;

pub use stretch::{RopeRule, RopeScaling, stretch};

use crate::{Error, ModelSpec, Result};

/// An architecture: how its metadata become a [`ModelSpec`] and what it calls its tensors.
pub trait Architecture: Sync {
    /// Values of `general.architecture`.
    fn names(&self) -> &'static [&'static str];

    /// Reads the metadata of a file of this architecture; tensors are looked at only to learn
    /// which are there.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::UnsupportedFeature`] with the key.
    fn spec(&self, file: &GgufFile) -> Result<ModelSpec>;

    /// What the tensor of this role is called.
    fn tensor_name(&self, role: Role, layer: usize) -> String {
        default_name(role, layer)
    }
}

/// All of them, sorted.
pub static ARCHITECTURES: &[&dyn Architecture] = &[
    &bert::Bert,
    &deepseek2::DeepSeek2,
    &gemma2::Gemma2,
    &gemma3::Gemma3,
    &glm4::Glm4,
    &gpt_oss::GptOss,
    &granite::Granite,
    &llama::Llama,
    &nomic_bert::NomicBert,
    &olmo2::Olmo2,
    &phi3::Phi3,
    &qwen2::Qwen2,
    &qwen3::Qwen3,
    &qwen3next::Qwen3Next,
    &smollm3::SmolLm3,
];

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[vocab, d]`.
    TokenEmbedding,
    /// `[context, d]`, added to embeddings.
    PositionEmbedding,
    /// `[types, d]`, added to embeddings.
    TokenTypes,
    /// `[d]`, of what comes of that.
    EmbeddingNorm,
    /// `[d]`.
    EmbeddingNormBias,
    /// `[d]`.
    OutputNorm,
    /// `[vocab, d]`, absent when tied.
    Output,
    /// `[d, d]`, of the head that makes scores.
    Classifier,
    /// `[d]`.
    ClassifierBias,
    /// `[labels, d]`.
    ClassifierOutput,
    /// `[labels]`.
    ClassifierOutputBias,
    /// `[d]`, of what the mixer reads.
    AttentionNorm,
    /// `[d]`, of what the mixer gives.
    AttentionPostNorm,
    /// `[d]`.
    AttentionPostNormBias,
    /// `[n_heads * head_dim_k, d]`.
    Query,
    /// `[n_heads * head_dim_k]`.
    QueryBias,
    /// `[n_kv_heads * head_dim_k, d]`.
    Key,
    /// `[n_kv_heads * head_dim_k]`.
    KeyBias,
    /// `[n_kv_heads * head_dim_v, d]`.
    Value,
    /// `[n_kv_heads * head_dim_v]`.
    ValueBias,
    /// The three above, one below the other.
    QueryKeyValue,
    /// `[head_dim_k]`, or of all heads.
    QueryNorm,
    /// `[head_dim_k]`, or of all heads.
    KeyNorm,
    /// `[n_heads]`.
    Sinks,
    /// `[d, n_heads * head_dim_v]`.
    AttentionOutput,
    /// `[d]`.
    AttentionOutputBias,
    /// `[query_rank, d]`.
    QueryDown,
    /// `[query_rank]`.
    QueryDownNorm,
    /// `[n_heads * (still_dim + turned_dim), query_rank]`.
    QueryUp,
    /// `[kv_rank + turned_dim, d]`.
    LatentDown,
    /// `[kv_rank]`.
    LatentNorm,
    /// `n_heads` of `[kv_rank, still_dim]`.
    KeyUp,
    /// `n_heads` of `[head_dim_v, kv_rank]`.
    ValueUp,
    /// `[n_v_heads * head_dim_v, d]` of a delta net.
    StateGate,
    /// The two below, in turns by key head.
    StateRates,
    /// `[n_v_heads, d]`.
    StateIntake,
    /// `[n_v_heads, d]`.
    StateStep,
    /// `[channels, kernel]`.
    StateConv,
    /// `[n_v_heads]`.
    StateStepBias,
    /// `[n_v_heads]`.
    StateDecay,
    /// `[head_dim_v]`.
    StateNorm,
    /// `[d, n_v_heads * head_dim_v]`.
    StateOutput,
    /// `[d]`, of what the feed-forward block reads.
    FeedForwardNorm,
    /// `[d]`, of what the feed-forward block gives.
    FeedForwardPostNorm,
    /// `[d]`.
    FeedForwardPostNormBias,
    /// `[ffn, d]`.
    Gate,
    /// `[ffn, d]`.
    Up,
    /// `[ffn]`.
    UpBias,
    /// Both, one below the other.
    GateUp,
    /// `[d, ffn]`.
    Down,
    /// `[d]`.
    DownBias,
    /// `[experts, d]`.
    Router,
    /// `[experts]`.
    RouterBias,
    /// `[experts]`.
    SelectionBias,
    /// `experts` of `[ffn, d]`.
    ExpertGates,
    /// `[experts, ffn]`.
    ExpertGateBiases,
    /// `experts` of `[ffn, d]`.
    ExpertUps,
    /// `[experts, ffn]`.
    ExpertUpBiases,
    /// `experts` of `[d, ffn]`.
    ExpertDowns,
    /// `[experts, d]`.
    ExpertDownBiases,
    /// `[shared ffn, d]`.
    SharedGate,
    /// `[shared ffn, d]`.
    SharedUp,
    /// `[d, shared ffn]`.
    SharedDown,
    /// `[1, d]`, how much the shared block counts.
    SharedScore,
}

/// The row for this file.
pub(crate) fn find(file: &GgufFile) -> Result<&'static dyn Architecture> {
    named(file.metadata().str_required(NAME)?)
}

/// What a file says it is of, or an adapter that it is for.
pub(crate) fn name(file: &GgufFile) -> Result<Option<&str>> {
    Ok(file.metadata().str(NAME)?)
}

/// Key of the architecture's name.
const NAME: &str = "general.architecture";

/// The row of this name.
pub(crate) fn named(name: &str) -> Result<&'static dyn Architecture> {
    let found = ARCHITECTURES.iter().find(|row| row.names().contains(&name));
    found.copied().ok_or_else(|| unsupported(name))
}

fn unsupported(name: &str) -> Error {
    let names = || ARCHITECTURES.iter().flat_map(|row| row.names()).copied();
    // Names are short; a hostile one need not be compared to its end.
    let short: String = name.chars().take(64).collect();
    let nearest = names().min_by_key(|known| distance(&short, known)).unwrap_or("none");
    let runnable = names().collect::<Vec<_>>().join(", ");
    Error::UnsupportedArchitecture { name: short, runnable, nearest }
}

/// Letters to insert, remove or replace to turn `a` into `b`.
/// Source: Wagner and Fischer 1974, doi 10.1145/321796.321811.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Tensors of factors that divide the frequencies of a rope; which are used is up to the
/// architecture.
pub(crate) const ROPE_FACTORS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// The names that most architectures use.
fn default_name(role: Role, layer: usize) -> String {
    let name = match role {
        Role::TokenEmbedding => return "token_embd.weight".to_owned(),
        Role::PositionEmbedding => return "position_embd.weight".to_owned(),
        Role::TokenTypes => return "token_types.weight".to_owned(),
        Role::EmbeddingNorm => return "token_embd_norm.weight".to_owned(),
        Role::EmbeddingNormBias => return "token_embd_norm.bias".to_owned(),
        Role::Classifier => return "cls.weight".to_owned(),
        Role::ClassifierBias => return "cls.bias".to_owned(),
        Role::ClassifierOutput => return "cls.output.weight".to_owned(),
        Role::ClassifierOutputBias => return "cls.output.bias".to_owned(),
        Role::OutputNorm => return "output_norm.weight".to_owned(),
        Role::Output => return "output.weight".to_owned(),
        Role::AttentionNorm => "attn_norm.weight",
        Role::AttentionPostNorm => "post_attention_norm.weight",
        Role::AttentionPostNormBias => "post_attention_norm.bias",
        Role::Query => "attn_q.weight",
        Role::QueryBias => "attn_q.bias",
        Role::Key => "attn_k.weight",
        Role::KeyBias => "attn_k.bias",
        Role::Value => "attn_v.weight",
        Role::ValueBias => "attn_v.bias",
        Role::QueryKeyValue => "attn_qkv.weight",
        Role::QueryNorm => "attn_q_norm.weight",
        Role::KeyNorm => "attn_k_norm.weight",
        Role::Sinks => "attn_sinks.weight",
        Role::AttentionOutput => "attn_output.weight",
        Role::AttentionOutputBias => "attn_output.bias",
        Role::QueryDown => "attn_q_a.weight",
        Role::QueryDownNorm => "attn_q_a_norm.weight",
        Role::QueryUp => "attn_q_b.weight",
        Role::LatentDown => "attn_kv_a_mqa.weight",
        Role::LatentNorm => "attn_kv_a_norm.weight",
        Role::KeyUp => "attn_k_b.weight",
        Role::ValueUp => "attn_v_b.weight",
        Role::StateGate => "attn_gate.weight",
        Role::StateRates => "ssm_ba.weight",
        Role::StateIntake => "ssm_beta.weight",
        Role::StateStep => "ssm_alpha.weight",
        Role::StateConv => "ssm_conv1d.weight",
        Role::StateStepBias => "ssm_dt.bias",
        Role::StateDecay => "ssm_a",
        Role::StateNorm => "ssm_norm.weight",
        Role::StateOutput => "ssm_out.weight",
        Role::FeedForwardNorm => "ffn_norm.weight",
        Role::FeedForwardPostNorm => "post_ffw_norm.weight",
        Role::FeedForwardPostNormBias => "post_ffw_norm.bias",
        Role::Gate => "ffn_gate.weight",
        Role::Up | Role::GateUp => "ffn_up.weight",
        Role::UpBias => "ffn_up.bias",
        Role::Down => "ffn_down.weight",
        Role::DownBias => "ffn_down.bias",
        Role::Router => "ffn_gate_inp.weight",
        Role::RouterBias => "ffn_gate_inp.bias",
        Role::SelectionBias => "exp_probs_b.bias",
        Role::ExpertGates => "ffn_gate_exps.weight",
        Role::ExpertGateBiases => "ffn_gate_exps.bias",
        Role::ExpertUps => "ffn_up_exps.weight",
        Role::ExpertUpBiases => "ffn_up_exps.bias",
        Role::ExpertDowns => "ffn_down_exps.weight",
        Role::ExpertDownBiases => "ffn_down_exps.bias",
        Role::SharedGate => "ffn_gate_shexp.weight",
        Role::SharedUp => "ffn_up_shexp.weight",
        Role::SharedDown => "ffn_down_shexp.weight",
        Role::SharedScore => "ffn_gate_inp_shexp.weight",
    };
    format!("blk.{layer}.{name}")
}
