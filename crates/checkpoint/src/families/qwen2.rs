//! Qwen 2 and 2.5.

use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{DENSE, NORMS, OUTSIDE, QUERY_KEY, VALUE_OUT};

pub(super) static QWEN2: Family = Family {
    classes: &["Qwen2ForCausalLM"],
    architecture: "qwen2",
    rows: &[OUTSIDE, NORMS, QUERY_KEY, VALUE_OUT, DENSE],
    keys,
    activations: SILU,
    tied: false,
    guesses: Guesses::None,
};

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    no_window(keys)?;
    keys.common()
}

/// Windows are in these configurations, and switched off in all that were released. Where they are
/// on, layers from `max_window_layers` have one, and by experts all have.
pub(super) fn no_window(keys: &Keys<'_>) -> Told<()> {
    let is_used = keys.config.flag("use_sliding_window")?.unwrap_or(false);
    let from = keys.whole("max_window_layers")?.unwrap_or(0);
    let layers = keys.need("num_hidden_layers")?;
    let is_none = from >= layers && !keys.is_a("Qwen3MoeForCausalLM");
    keys.must(!is_used || is_none, "use_sliding_window")?;
    keys.layer_types(|_| false)
}
