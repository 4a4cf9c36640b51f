//! Llama 1 to 3, Mistral, Mixtral, SmolLM 1 and 2: rows of queries and keys in pairs.

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{DENSE, NORMS, OUTSIDE, QUERY_KEY_PAIRED, Row, VALUE_OUT, same};

pub(super) static LLAMA: Family = Family {
    classes: &["LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM"],
    architecture: "llama",
    rows: &[OUTSIDE, NORMS, QUERY_KEY_PAIRED, VALUE_OUT, DENSE, MIXTRAL],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const MIXTRAL: &[Row] = &[
    same("blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.block_sparse_moe.gate.weight"),
    same("blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight"),
    same("blk.{l}.ffn_down_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight"),
    same("blk.{l}.ffn_up_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight"),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    keys.common()?;
    keys.experts()?;
    // The first Mistral has one; files of llama.cpp's converter cannot say so.
    if keys.is_a("MistralForCausalLM") {
        // Null is no window; where nothing is said there is one.
        keys.must(keys.config.says("sliding_window"), "sliding_window")?;
    }
    if !keys.is_a("LlamaForCausalLM") {
        keys.copy_whole("attention.sliding_window", "sliding_window")?;
    }
    of_llama(keys)
}

/// What llama's files say beside that.
pub(super) fn of_llama(keys: &mut Keys<'_>) -> Told<()> {
    keys.copy_whole("vocab_size", "vocab_size")?;
    let head_dim = keys.head_dim()?;
    keys.put_whole("rope.dimension_count", head_dim);
    Ok(())
}
