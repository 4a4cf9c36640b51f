//! OLMo 2: norms after blocks, and of all queries and keys at once.

use super::{Family, Guesses, SILU};
use crate::rows::{DENSE, OUTSIDE, QUERY_KEY, QUERY_KEY_NORMS, Row, VALUE_OUT, same};

pub(super) static OLMO2: Family = Family {
    classes: &["Olmo2ForCausalLM"],
    architecture: "olmo2",
    rows: &[OUTSIDE, NORMS_AFTER, QUERY_KEY, QUERY_KEY_NORMS, VALUE_OUT, DENSE],
    keys: |keys| keys.common(),
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

const NORMS_AFTER: &[Row] = &[
    same("blk.{l}.post_attention_norm.weight", "model.layers.{l}.post_attention_layernorm.weight"),
    same("blk.{l}.post_ffw_norm.weight", "model.layers.{l}.post_feedforward_layernorm.weight"),
];
