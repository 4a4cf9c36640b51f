//! DeepSeek V2, V3 and R1: keys and values from a latent, in one matrix there and two here.

use gguf::Value;

use super::{Family, SILU};
use crate::error::Told;
use crate::keys::{Keys, Rope};
use crate::rows::{DENSE, EXPERTS, How, NORMS, OUTSIDE, Row, row, same};

pub(super) static DEEPSEEK2: Family = Family {
    classes: &["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
    architecture: "deepseek2",
    rows: &[OUTSIDE, NORMS, LATENT, DENSE, EXPERTS, SHARED],
    keys,
    activations: SILU,
    tied: false,
    guesses: true,
};

const LATENT: &[Row] = &[
    same("blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight"),
    same("blk.{l}.attn_q_a.weight", "model.layers.{l}.self_attn.q_a_proj.weight"),
    same("blk.{l}.attn_q_a_norm.weight", "model.layers.{l}.self_attn.q_a_layernorm.weight"),
    same("blk.{l}.attn_q_b.weight", "model.layers.{l}.self_attn.q_b_proj.weight"),
    same("blk.{l}.attn_kv_a_mqa.weight", "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight"),
    same("blk.{l}.attn_kv_a_norm.weight", "model.layers.{l}.self_attn.kv_a_layernorm.weight"),
    row("blk.{l}.attn_k_b.weight", "model.layers.{l}.self_attn.kv_b_proj.weight", How::LatentKey),
    row("blk.{l}.attn_v_b.weight", "model.layers.{l}.self_attn.kv_b_proj.weight", How::LatentValue),
    same("blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.o_proj.weight"),
];

const SHARED: &[Row] = &[
    same("blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.gate.e_score_correction_bias"),
    same("blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight"),
    same("blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight"),
    same("blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight"),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    keys.must(keys.whole("moe_layer_freq")?.unwrap_or(1) == 1, "moe_layer_freq")?;
    keys.common()?;
    keys.experts()?;
    // Of the latent there is one head, which all others share.
    keys.put_whole("attention.head_count_kv", 1);
    keys.copy_whole("expert_group_count", "n_group")?;
    keys.copy_whole("expert_group_used_count", "topk_group")?;
    match keys.config.text("scoring_func")? {
        None => {}
        Some("softmax") => keys.put_whole("expert_gating_func", 1),
        Some("sigmoid") => keys.put_whole("expert_gating_func", 2),
        Some(_) => return keys.must(false, "scoring_func"),
    }
    latent(keys)?;
    keys.copy_whole("leading_dense_block_count", "first_k_dense_replace")?;
    keys.copy_whole("vocab_size", "vocab_size")?;
    keys.copy_whole("expert_feed_forward_length", "moe_intermediate_size")?;
    keys.copy_whole("expert_shared_count", "n_shared_experts")?;
    keys.copy_float("expert_weights_scale", "routed_scaling_factor")?;
    if keys.config.flag("norm_topk_prob")? == Some(true) {
        keys.put("expert_weights_norm", Value::Bool(true));
    }
    if let Some(scale) = Rope::read(keys.config)?.all.float("mscale_all_dim")? {
        keys.put_float("rope.scaling.yarn_log_multiplier", 0.1 * scale);
    }
    Ok(())
}

/// Widths: of the latent with what turns, and of heads.
fn latent(keys: &mut Keys<'_>) -> Told<()> {
    let rank = keys.need("kv_lora_rank")?;
    let (turning, nope) = (keys.need("qk_rope_head_dim")?, keys.need("qk_nope_head_dim")?);
    keys.copy_whole("attention.q_lora_rank", "q_lora_rank")?;
    keys.put_whole("attention.kv_lora_rank", rank);
    keys.put_whole("attention.key_length", rank.saturating_add(turning));
    keys.put_whole("attention.value_length", rank);
    keys.put_whole("attention.key_length_mla", nope.saturating_add(turning));
    keys.copy_whole("attention.value_length_mla", "v_head_dim")?;
    keys.put_whole("rope.dimension_count", turning);
    Ok(())
}
