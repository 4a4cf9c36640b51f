//! Qwen 3 Next and 3.5: gated delta nets with every fourth layer gated attention.

use gguf::{Array, Value};

use super::qwen3::all_experts;
use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::limits::COUNT_MAX;
use crate::rope::Rope;
use crate::rows::{DENSE, EXPERTS, EXPERTS_FUSED, How, QUERY_KEY, Row, VALUE_OUT, row, same};

pub(super) static QWEN3_NEXT: Family = Family {
    classes: &["Qwen3NextForCausalLM"],
    architecture: "qwen3next",
    rows: &[NORMS, QUERY_KEY, VALUE_OUT, NET, NET_NEXT, EXPERTS, EXPERTS_FUSED, SHARED],
    keys: |keys| {
        next(keys)?;
        all_experts(keys)
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::Apart,
};

pub(super) static QWEN35: Family = Family {
    classes: &["Qwen3_5ForCausalLM"],
    architecture: "qwen35",
    rows: &[NORMS, QUERY_KEY, VALUE_OUT, NET, NET_35, DENSE],
    keys: |keys| {
        next(keys)?;
        sections(keys)
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::Apart,
};

pub(super) static QWEN35_MOE: Family = Family {
    classes: &["Qwen3_5MoeForCausalLM"],
    architecture: "qwen35moe",
    rows: &[NORMS, QUERY_KEY, VALUE_OUT, NET, NET_35, EXPERTS, EXPERTS_FUSED, SHARED],
    keys: |keys| {
        next(keys)?;
        sections(keys)?;
        all_experts(keys)
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::Apart,
};

const NORMS: &[Row] = &[
    same("token_embd.weight", "model.embed_tokens.weight"),
    same("output.weight", "lm_head.weight"),
    row("output_norm.weight", "model.norm.weight", How::PlusOne),
    row("blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight", How::PlusOne),
    row(
        "blk.{l}.post_attention_norm.weight",
        "model.layers.{l}.post_attention_layernorm.weight",
        How::PlusOne,
    ),
    row("blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight", How::PlusOne),
    row("blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight", How::PlusOne),
];

const NET: &[Row] = &[same("blk.{l}.ssm_norm.weight", "model.layers.{l}.linear_attn.norm.weight")];

/// Group by group, as GGUF has them too.
const NET_NEXT: &[Row] = &[
    row(
        "blk.{l}.attn_qkv.weight",
        "model.layers.{l}.linear_attn.in_proj_qkvz.weight",
        How::GroupedInput,
    ),
    row(
        "blk.{l}.attn_gate.weight",
        "model.layers.{l}.linear_attn.in_proj_qkvz.weight",
        How::GroupedGate,
    ),
    same("blk.{l}.ssm_ba.weight", "model.layers.{l}.linear_attn.in_proj_ba.weight"),
    same("blk.{l}.ssm_conv1d.weight", "model.layers.{l}.linear_attn.conv1d.weight"),
    same("blk.{l}.ssm_dt.bias", "model.layers.{l}.linear_attn.dt_bias"),
    row("blk.{l}.ssm_a", "model.layers.{l}.linear_attn.A_log", How::MinusExp { tiled: false }),
    same("blk.{l}.ssm_out.weight", "model.layers.{l}.linear_attn.out_proj.weight"),
];

/// Value heads take turns over groups in GGUF.
const NET_35: &[Row] = &[
    row(
        "blk.{l}.attn_qkv.weight",
        "model.layers.{l}.linear_attn.in_proj_qkv.weight",
        How::TiledInput,
    ),
    row("blk.{l}.attn_gate.weight", "model.layers.{l}.linear_attn.in_proj_z.weight", How::Tiled),
    row("blk.{l}.ssm_beta.weight", "model.layers.{l}.linear_attn.in_proj_b.weight", How::Tiled),
    row("blk.{l}.ssm_alpha.weight", "model.layers.{l}.linear_attn.in_proj_a.weight", How::Tiled),
    row("blk.{l}.ssm_conv1d.weight", "model.layers.{l}.linear_attn.conv1d.weight", How::TiledInput),
    row("blk.{l}.ssm_dt.bias", "model.layers.{l}.linear_attn.dt_bias", How::Tiled),
    row("blk.{l}.ssm_a", "model.layers.{l}.linear_attn.A_log", How::MinusExp { tiled: true }),
    row(
        "blk.{l}.ssm_out.weight",
        "model.layers.{l}.linear_attn.out_proj.weight",
        How::TiledColumns,
    ),
];

const SHARED: &[Row] = &[
    same("blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_expert.gate_proj.weight"),
    same("blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_expert.up_proj.weight"),
    same("blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_expert.down_proj.weight"),
    same("blk.{l}.ffn_gate_inp_shexp.weight", "model.layers.{l}.mlp.shared_expert_gate.weight"),
];

fn next(keys: &mut Keys<'_>) -> Told<()> {
    keys.sizes()?;
    let rope = Rope::read(keys)?;
    rope.put(keys)?;
    keys.copy_whole("ssm.conv_kernel", "linear_conv_kernel_dim")?;
    keys.copy_whole("ssm.state_size", "linear_key_head_dim")?;
    keys.copy_whole("ssm.group_count", "linear_num_key_heads")?;
    keys.copy_whole("ssm.time_step_rank", "linear_num_value_heads")?;
    let (width, heads) = ("linear_value_head_dim", "linear_num_value_heads");
    let inner = keys.need(width)?.saturating_mul(keys.need(heads)?);
    keys.must(inner <= COUNT_MAX, width)?;
    keys.put_whole("ssm.inner_size", inner);
    if let Some(types) = keys.config.texts("layer_types")? {
        let is_whole = types.len() as u64 == keys.need("num_hidden_layers")?;
        let is_known = |kind: &&str| matches!(*kind, "linear_attention" | "full_attention");
        keys.must(is_whole && types.iter().all(is_known), "layer_types")?;
        let recurrent = types.iter().map(|kind| *kind == "linear_attention").collect();
        keys.put_truths("attention.recurrent_layers", recurrent);
    }
    let interval = keys.whole("full_attention_interval")?.unwrap_or(4);
    keys.put_whole("full_attention_interval", interval);
    let part = rope.part_that_turns(keys)?.unwrap_or(0.25);
    let dims = (part * keys.head_dim()? as f64) as u64;
    keys.put_whole("rope.dimension_count", dims);
    Ok(())
}

/// Of positions in pictures; for text they change nothing.
fn sections(keys: &mut Keys<'_>) -> Told<()> {
    let found = Rope::read(keys)?.all.wholes("mrope_section")?;
    let mut sections = found.unwrap_or_else(|| vec![11, 11, 10]);
    keys.must(sections.len() <= 4, "mrope_section")?;
    sections.resize(4, 0);
    let sections: Result<Vec<i32>, _> = sections.into_iter().map(i32::try_from).collect();
    let sections = sections.map_err(|_| "mrope_section has numbers beyond measure".to_owned())?;
    keys.put("rope.dimension_sections", Value::Array(Array::I32(sections)));
    Ok(())
}
