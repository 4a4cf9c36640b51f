//! How large a model is loaded, and whether that makes sense.

use tensor::{KvFormat, KvLayout, StateLayout};

use crate::limits::{STATE_SLOTS_MAX, STEP_ROWS_MAX};
use crate::spec::KvShape;
use crate::{Error, ModelSpec, Result};

/// What a model is loaded for.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Positions a sequence may have, at most what the model was trained for.
    pub context_len: u32,
    /// Rows of the largest step.
    pub rows_max: usize,
    /// Positions of a KV page.
    pub kv_page_len: usize,
    /// KV pages, shared by all sequences.
    pub kv_page_count: usize,
    /// How keys and values are stored.
    pub kv_format: KvFormat,
    /// Sequences that may run at once: each has a state in models whose layers keep one.
    pub state_slots: usize,
}

/// The cache that these options ask for.
pub(crate) fn kv_layout(spec: &ModelSpec, options: &LoadOptions) -> Result<KvLayout> {
    let in_range = |option, found: usize, max: usize| {
        if (1..=max).contains(&found) {
            return Ok(());
        }
        Err(Error::Option { option, found: found as u64, wanted: format!("1 to {max}") })
    };
    in_range("context_len", options.context_len as usize, spec.context_len as usize)?;
    in_range("rows_max", options.rows_max, STEP_ROWS_MAX)?;
    in_range("state_slots", options.state_slots, STATE_SLOTS_MAX)?;
    in_range("kv_page_len", options.kv_page_len, u32::MAX as usize)?;
    in_range("kv_page_count", options.kv_page_count, u32::MAX as usize)?;
    let (shape, n_layers) = spec.kv_shape();
    // What is looked at both ways is computed in one step: layers take turns with one cache.
    let n_layers = if spec.is_bidirectional() { 1 } else { n_layers };
    let KvShape { n_kv_heads, head_dim_k, head_dim_v } = shape.expect("every spec has one");
    let layout = KvLayout {
        n_layers,
        n_kv_heads,
        head_dim_k,
        head_dim_v,
        page_len: options.kv_page_len,
        page_count: options.kv_page_count,
        format: options.kv_format,
    };
    layout.check()?;
    // The limits on metadata keep one position small; positions are the caller's.
    let positions = options.kv_page_len.checked_mul(options.kv_page_count);
    let total = positions.and_then(|positions| positions.checked_mul(layout.position_bytes()));
    if total.is_none_or(|total| total > isize::MAX as usize) {
        let found = options.kv_page_count as u64;
        let wanted = "so few pages that the cache fits an address space".to_owned();
        return Err(Error::Option { option: "kv_page_count", found, wanted });
    }
    Ok(layout)
}

/// The states that these options ask for; none where no layer keeps any.
pub(crate) fn state_layout(spec: &ModelSpec, options: &LoadOptions) -> Option<StateLayout> {
    let (net, n_layers) = spec.state();
    let (conv_values, recurrent_values) = net?.state_values();
    let slots = options.state_slots;
    Some(StateLayout { n_layers, slots, conv_values, recurrent_values })
}
