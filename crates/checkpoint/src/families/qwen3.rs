//! Qwen 3, dense and by experts.

use super::qwen2::no_window;
use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{
    DENSE, EXPERTS, EXPERTS_FUSED, NORMS, OUTSIDE, QUERY_KEY, QUERY_KEY_NORMS, VALUE_OUT,
};

pub(super) static QWEN3: Family = Family {
    classes: &["Qwen3ForCausalLM"],
    architecture: "qwen3",
    rows: &[OUTSIDE, NORMS, QUERY_KEY, QUERY_KEY_NORMS, VALUE_OUT, DENSE],
    keys: |keys| {
        no_window(keys)?;
        keys.common()
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

pub(super) static QWEN3_MOE: Family = Family {
    classes: &["Qwen3MoeForCausalLM"],
    architecture: "qwen3moe",
    rows: &[OUTSIDE, NORMS, QUERY_KEY, QUERY_KEY_NORMS, VALUE_OUT, EXPERTS, EXPERTS_FUSED],
    keys: |keys| {
        no_window(keys)?;
        keys.common()?;
        all_experts(keys)
    },
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

/// Experts in all layers, whose weights sum to 1.
pub(super) fn all_experts(keys: &mut Keys<'_>) -> Told<()> {
    keys.experts()?;
    // Where nothing is said Qwen 3's do not, and later ones do.
    let usual = !keys.is_a("Qwen3MoeForCausalLM");
    keys.must(keys.config.flag("norm_topk_prob")?.unwrap_or(usual), "norm_topk_prob")?;
    keys.must(keys.whole("decoder_sparse_step")?.unwrap_or(1) == 1, "decoder_sparse_step")?;
    let dense = keys.config.wholes("mlp_only_layers")?.unwrap_or_default();
    keys.must(dense.is_empty(), "mlp_only_layers")?;
    keys.copy_whole("expert_feed_forward_length", "moe_intermediate_size")?;
    keys.copy_whole("expert_shared_feed_forward_length", "shared_expert_intermediate_size")
}
