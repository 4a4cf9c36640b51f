//! Granite 3, dense and by experts: as Llama, with factors; gate and up of experts in one tensor.

use super::llama::of_llama;
use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{DENSE, How, NORMS, OUTSIDE, QUERY_KEY_PAIRED, Row, VALUE_OUT, row, same};

pub(super) static GRANITE: Family = Family {
    classes: &["GraniteForCausalLM"],
    architecture: "granite",
    rows: &[OUTSIDE, NORMS, QUERY_KEY_PAIRED, VALUE_OUT, DENSE],
    keys: factors,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

pub(super) static GRANITE_MOE: Family = Family {
    classes: &["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
    architecture: "granitemoe",
    rows: &[OUTSIDE, NORMS, QUERY_KEY_PAIRED, VALUE_OUT, EXPERTS],
    keys: |keys| {
        factors(keys)?;
        keys.experts()?;
        // 0 is the configuration's way to say that there are none.
        match keys.whole("shared_intermediate_size")? {
            None | Some(0) => Ok(()),
            Some(width) => {
                keys.put_whole("expert_shared_feed_forward_length", width);
                Ok(())
            }
        }
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const EXPERTS: &[Row] = &[
    same("blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.block_sparse_moe.router.layer.weight"),
    row(
        "blk.{l}.ffn_gate_exps.weight",
        "model.layers.{l}.block_sparse_moe.input_linear.weight",
        How::Half(0),
    ),
    row(
        "blk.{l}.ffn_up_exps.weight",
        "model.layers.{l}.block_sparse_moe.input_linear.weight",
        How::Half(1),
    ),
    same("blk.{l}.ffn_down_exps.weight", "model.layers.{l}.block_sparse_moe.output_linear.weight"),
    row(
        "blk.{l}.ffn_gate_shexp.weight",
        "model.layers.{l}.shared_mlp.input_linear.weight",
        How::Half(0),
    ),
    row(
        "blk.{l}.ffn_up_shexp.weight",
        "model.layers.{l}.shared_mlp.input_linear.weight",
        How::Half(1),
    ),
    same("blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.shared_mlp.output_linear.weight"),
];

fn factors(keys: &mut Keys<'_>) -> Told<()> {
    let whole = keys.need("num_attention_heads")?.checked_mul(keys.head_dim()?);
    keys.must(whole == Some(keys.need("hidden_size")?), "head_dim")?;
    keys.common()?;
    // Where nothing is said it is 1, and in GGUF the root of the width.
    let scale = keys.config.need_float("attention_multiplier")?;
    keys.put_float("attention.scale", scale);
    keys.copy_float("embedding_scale", "embedding_multiplier")?;
    keys.copy_float("residual_scale", "residual_multiplier")?;
    keys.copy_float("logit_scale", "logits_scaling")?;
    of_llama(keys)
}
