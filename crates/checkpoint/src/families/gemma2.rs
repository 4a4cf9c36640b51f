//! Gemma 2: norms around blocks, kept as the difference from 1.

use super::{Family, GELU_TANH, Guesses};
use crate::error::Told;
use crate::keys::Keys;
use crate::rope::Rope;
use crate::rows::{DENSE, How, OUTSIDE, QUERY_KEY, Row, VALUE_OUT, row};

pub(super) static GEMMA2: Family = Family {
    classes: &["Gemma2ForCausalLM"],
    architecture: "gemma2",
    rows: &[EMBEDDING, NORMS_AROUND, QUERY_KEY, VALUE_OUT, DENSE],
    keys,
    activations: GELU_TANH,
    tied: true,
    guesses: Guesses::None,
};

/// What lies outside of layers; the last norm is one of theirs.
pub(super) const EMBEDDING: &[Row] = &[
    Row { ours: OUTSIDE[0].ours, theirs: OUTSIDE[0].theirs, how: How::Same },
    row("output_norm.weight", "model.norm.weight", How::PlusOne),
];

pub(super) const NORMS_AROUND: &[Row] = &[
    row("blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight", How::PlusOne),
    row(
        "blk.{l}.post_attention_norm.weight",
        "model.layers.{l}.post_attention_layernorm.weight",
        How::PlusOne,
    ),
    row(
        "blk.{l}.ffn_norm.weight",
        "model.layers.{l}.pre_feedforward_layernorm.weight",
        How::PlusOne,
    ),
    row(
        "blk.{l}.post_ffw_norm.weight",
        "model.layers.{l}.post_feedforward_layernorm.weight",
        How::PlusOne,
    ),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    keys.layer_types(|layer| layer % 2 == 0)?;
    // llama.cpp's converter writes nothing of the rope: all that were released have the usual one.
    let rope = Rope::read(keys)?;
    let must = |is_so, key| rope.all.must(is_so, key, keys.architecture);
    must(rope.kind()? == "default", "rope_type")?;
    must(rope.all.float("rope_theta")?.unwrap_or(10_000.0) == 10_000.0, "rope_theta")?;
    must(rope.part_that_turns(keys)?.unwrap_or(1.0) == 1.0, "partial_rotary_factor")?;
    scale(keys, 46)?;
    keys.sizes()?;
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        // Null is no cap; where nothing is said there is one.
        if !keys.config.says(key) {
            return Err(format!("{key} is missing"));
        }
        keys.copy_float(key, key)?;
    }
    keys.need_window()
}

/// The scale of scores has no key: it follows from the width of a head, and in the 27B, told by
/// its layers, from that of the model.
pub(super) fn scale(keys: &Keys<'_>, layers_27b: u64) -> Told<()> {
    let found = keys.config.float("query_pre_attn_scalar")?.unwrap_or(256.0);
    let is_27b = keys.need("num_hidden_layers")? == layers_27b;
    let heads = keys.need("num_attention_heads")?;
    let of_model = keys.need("hidden_size")?.checked_div(heads).unwrap_or(0);
    let wanted = if is_27b { of_model } else { keys.head_dim()? };
    keys.must(found == wanted as f64, "query_pre_attn_scalar")
}
