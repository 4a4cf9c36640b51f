//! DeepSeek V2, V3 and R1: keys and values from a latent, in one matrix there and two here.

use gguf::Value;

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::limits::COUNT_MAX;
use crate::rope::Rope;
use crate::rows::{DENSE, EXPERTS, How, NORMS, OUTSIDE, Row, row, same};

pub(super) static DEEPSEEK2: Family = Family {
    classes: &["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
    architecture: "deepseek2",
    rows: &[OUTSIDE, NORMS, LATENT, DENSE, EXPERTS, SHARED],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::After,
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
    keys.must(keys.config.flag("rope_interleave")?.unwrap_or(true), "rope_interleave")?;
    choice(keys)?;
    latent(keys)?;
    keys.copy_whole("leading_dense_block_count", "first_k_dense_replace")?;
    keys.copy_whole("vocab_size", "vocab_size")?;
    keys.copy_whole("expert_feed_forward_length", "moe_intermediate_size")?;
    keys.copy_whole("expert_shared_count", "n_shared_experts")?;
    if let Some(scale) = Rope::read(keys)?.all.float("mscale_all_dim")? {
        keys.put_float("rope.scaling.yarn_log_multiplier", 0.1 * scale);
    }
    Ok(())
}

/// How experts are chosen and weighed: in V3 by sigmoids in groups, to a sum of 1; in V2 by a
/// softmax, in groups where the method says so.
fn choice(keys: &mut Keys<'_>) -> Told<()> {
    let is_v3 = keys.is_a("DeepseekV3ForCausalLM");
    let usual = if is_v3 { ("noaux_tc", "sigmoid") } else { ("greedy", "softmax") };
    let method = keys.config.text("topk_method")?.unwrap_or(usual.0);
    let is_known = method == usual.0 || (!is_v3 && method == "group_limited_greedy");
    keys.must(is_known, "topk_method")?;
    let scoring = keys.config.text("scoring_func")?;
    keys.must(scoring.unwrap_or(usual.1) == usual.1, "scoring_func")?;
    if is_v3 || scoring.is_some() {
        keys.put_whole("expert_gating_func", if is_v3 { 2 } else { 1 });
    }
    if method == "greedy" {
        keys.must(keys.whole("n_group")?.unwrap_or(1) <= 1, "n_group")?;
    } else {
        for key in ["n_group", "topk_group"] {
            keys.need(key)?;
        }
    }
    keys.copy_whole("expert_group_count", "n_group")?;
    keys.copy_whole("expert_group_used_count", "topk_group")?;
    if is_v3 {
        keys.config.need_float("routed_scaling_factor")?;
    }
    keys.copy_float("expert_weights_scale", "routed_scaling_factor")?;
    let sums_to_one = keys.config.flag("norm_topk_prob")?.unwrap_or(is_v3);
    // V2's releases do not, and say in two ways what would be if they did.
    keys.must(is_v3 || !sums_to_one, "norm_topk_prob")?;
    if sums_to_one {
        keys.put("expert_weights_norm", Value::Bool(true));
    }
    Ok(())
}

/// Widths: of the latent with what turns, and of heads.
fn latent(keys: &mut Keys<'_>) -> Told<()> {
    let rank = keys.need("kv_lora_rank")?;
    let (turning, nope) = (keys.need("qk_rope_head_dim")?, keys.need("qk_nope_head_dim")?);
    let with_turning = |width: u64, key| -> Told<u64> {
        let sum = width + turning;
        keys.must(sum <= COUNT_MAX, key)?;
        Ok(sum)
    };
    let (of_latent, of_head) =
        (with_turning(rank, "kv_lora_rank")?, with_turning(nope, "qk_nope_head_dim")?);
    keys.copy_whole("attention.q_lora_rank", "q_lora_rank")?;
    keys.put_whole("attention.kv_lora_rank", rank);
    keys.put_whole("attention.key_length", of_latent);
    keys.put_whole("attention.value_length", rank);
    keys.put_whole("attention.key_length_mla", of_head);
    keys.copy_whole("attention.value_length_mla", "v_head_dim")?;
    keys.put_whole("rope.dimension_count", turning);
    Ok(())
}
