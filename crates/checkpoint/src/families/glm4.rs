//! GLM-4: half of each head turns, norms around blocks, gate and up in one matrix.

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rope::Rope;
use crate::rows::{NORMS, OUTSIDE, QUERY_KEY, Row, VALUE_OUT, same};

pub(super) static GLM4: Family = Family {
    classes: &["Glm4ForCausalLM"],
    architecture: "glm4",
    rows: &[OUTSIDE, NORMS, NORMS_AFTER, QUERY_KEY, VALUE_OUT, FUSED],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const NORMS_AFTER: &[Row] = &[
    same("blk.{l}.post_attention_norm.weight", "model.layers.{l}.post_self_attn_layernorm.weight"),
    same("blk.{l}.post_ffw_norm.weight", "model.layers.{l}.post_mlp_layernorm.weight"),
];

const FUSED: &[Row] = &[
    same("blk.{l}.ffn_up.weight", "model.layers.{l}.mlp.gate_up_proj.weight"),
    same("blk.{l}.ffn_down.weight", "model.layers.{l}.mlp.down_proj.weight"),
];

/// The part of a head that turns where the configuration does not say.
const PART_THAT_TURNS: f64 = 0.5;

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    keys.sizes()?;
    let rope = Rope::read(keys)?;
    rope.put(keys)?;
    let part = rope.part_that_turns(keys)?.unwrap_or(PART_THAT_TURNS);
    let dims = (part * keys.head_dim()? as f64) as u64;
    keys.put_whole("rope.dimension_count", dims);
    Ok(())
}
