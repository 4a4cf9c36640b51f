//! Phi 3 and 4: queries, keys and values in one matrix, gate and up in another, factors on the
//! rope for long contexts.

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rope::{Rope, unknown};
use crate::rows::{NORMS, OUTSIDE, Row, same};

pub(super) static PHI3: Family = Family {
    classes: &["Phi3ForCausalLM"],
    architecture: "phi3",
    rows: &[OUTSIDE, NORMS, FUSED],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const FUSED: &[Row] = &[
    same("blk.{l}.attn_qkv.weight", "model.layers.{l}.self_attn.qkv_proj.weight"),
    same("blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.o_proj.weight"),
    same("blk.{l}.ffn_up.weight", "model.layers.{l}.mlp.gate_up_proj.weight"),
    same("blk.{l}.ffn_down.weight", "model.layers.{l}.mlp.down_proj.weight"),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    let rope = Rope::read(keys)?;
    keys.sizes()?;
    let longest = keys.need("max_position_embeddings")?;
    let original = rope.all.whole("original_max_position_embeddings", longest)?;
    let original = original.unwrap_or(longest);
    keys.put_whole("rope.scaling.original_context_length", original);
    let part = rope.part_that_turns(keys)?.unwrap_or(1.0);
    let dims = (part * keys.head_dim()? as f64) as u64;
    keys.put_whole("rope.dimension_count", dims);
    if let Some(base) = rope.all.float("rope_theta")? {
        keys.put_float("rope.freq_base", base);
    }
    let window = keys.whole("sliding_window")?.unwrap_or(0);
    keys.put_whole("attention.sliding_window", window);
    match rope.kind()? {
        "default" => Ok(()),
        "longrope" | "su" => factors(keys, &rope, longest as f64 / original.max(1) as f64),
        other => Err(unknown(other)),
    }
}

/// Source: Ding et al. 2024, arXiv 2402.13753.
fn factors(keys: &mut Keys<'_>, rope: &Rope, stretch: f64) -> Told<()> {
    for key in ["short_mscale", "long_mscale"] {
        rope.all.must(!rope.all.has(key), key, keys.architecture)?;
    }
    let original = rope.all.need_float("original_max_position_embeddings")?.max(2.0);
    let usual = if stretch > 1.0 { (1.0 + stretch.ln() / original.ln()).sqrt() } else { 1.0 };
    let growth = rope.all.float("attention_factor")?.unwrap_or(usual);
    keys.put_float("rope.scaling.attn_factor", growth);
    for (name, key) in
        [("rope_factors_long.weight", "long_factor"), ("rope_factors_short.weight", "short_factor")]
    {
        let factors = rope.all.floats(key)?.ok_or_else(|| format!("{key} is missing"))?;
        keys.computed.push((name, factors.iter().map(|factor| *factor as f32).collect()));
    }
    Ok(())
}
