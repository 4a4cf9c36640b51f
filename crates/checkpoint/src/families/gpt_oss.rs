//! gpt-oss: experts in MXFP4, gate and up in turns; biases and sinks.

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{How, OUTSIDE, QUERY_KEY, Row, VALUE_OUT, row, same};

pub(super) static GPT_OSS: Family = Family {
    classes: &["GptOssForCausalLM"],
    architecture: "gpt-oss",
    rows: &[OUTSIDE, QUERY_KEY, VALUE_OUT, OTHERS, EXPERTS],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const OTHERS: &[Row] = &[
    same("blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight"),
    same("blk.{l}.post_attention_norm.weight", "model.layers.{l}.post_attention_layernorm.weight"),
    same("blk.{l}.attn_sinks.weight", "model.layers.{l}.self_attn.sinks"),
    same("blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.router.weight"),
    same("blk.{l}.ffn_gate_inp.bias", "model.layers.{l}.mlp.router.bias"),
];

/// As released, in MXFP4; and as `transformers` writes them, turned, in 16 or 32 bits.
const EXPERTS: &[Row] = &[
    row(
        "blk.{l}.ffn_gate_exps.weight",
        "model.layers.{l}.mlp.experts.gate_up_proj_blocks",
        How::BlocksTurns(0),
    ),
    row(
        "blk.{l}.ffn_up_exps.weight",
        "model.layers.{l}.mlp.experts.gate_up_proj_blocks",
        How::BlocksTurns(1),
    ),
    row(
        "blk.{l}.ffn_down_exps.weight",
        "model.layers.{l}.mlp.experts.down_proj_blocks",
        How::Blocks,
    ),
    row(
        "blk.{l}.ffn_gate_exps.weight",
        "model.layers.{l}.mlp.experts.gate_up_proj",
        How::TurnedTurns(0),
    ),
    row(
        "blk.{l}.ffn_up_exps.weight",
        "model.layers.{l}.mlp.experts.gate_up_proj",
        How::TurnedTurns(1),
    ),
    row("blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.down_proj", How::Turned),
    row(
        "blk.{l}.ffn_gate_exps.bias",
        "model.layers.{l}.mlp.experts.gate_up_proj_bias",
        How::Turns(0),
    ),
    row(
        "blk.{l}.ffn_up_exps.bias",
        "model.layers.{l}.mlp.experts.gate_up_proj_bias",
        How::Turns(1),
    ),
    same("blk.{l}.ffn_down_exps.bias", "model.layers.{l}.mlp.experts.down_proj_bias"),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    keys.layer_types(|layer| layer % 2 == 0)?;
    let limit = keys.config.float("swiglu_limit")?.unwrap_or(7.0);
    keys.must(limit == 7.0, "swiglu_limit")?;
    // Where nothing is said the rule is YaRN's.
    let is_said = keys.config.has("rope_scaling") || keys.config.has("rope_parameters");
    keys.must(is_said, "rope_scaling")?;
    keys.common()?;
    keys.experts()?;
    keys.need_window()?;
    keys.copy_whole("expert_feed_forward_length", "intermediate_size")
}
