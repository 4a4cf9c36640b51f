//! Gemma 3 without images: five layers with a window, then one that sees all; norms of queries and
//! keys, and around blocks.

use super::gemma2::{EMBEDDING, NORMS_AROUND, scale};
use super::{Family, GELU_TANH, Guesses};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{DENSE, How, QUERY_KEY, Row, VALUE_OUT, row};

pub(super) static GEMMA3: Family = Family {
    classes: &["Gemma3ForCausalLM"],
    architecture: "gemma3",
    rows: &[EMBEDDING, NORMS_AROUND, QUERY_KEY, NORMS_OF_HEADS, VALUE_OUT, DENSE],
    keys,
    activations: GELU_TANH,
    tied: true,
    guesses: Guesses::None,
};

const NORMS_OF_HEADS: &[Row] = &[
    row("blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight", How::PlusOne),
    row("blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight", How::PlusOne),
];

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    for key in ["sliding_window_pattern", "_sliding_window_pattern"] {
        keys.must(keys.whole(key)?.unwrap_or(6) == 6, key)?;
    }
    keys.must(!keys.config.has("attn_logit_softcapping"), "attn_logit_softcapping")?;
    keys.layer_types(|layer| layer % 6 != 5)?;
    let attends = keys.config.flag("use_bidirectional_attention")?.unwrap_or(false);
    keys.must(!attends, "use_bidirectional_attention")?;
    scale(keys, 62)?;
    keys.common()?;
    keys.copy_float("final_logit_softcapping", "final_logit_softcapping")?;
    keys.need_window()
}
