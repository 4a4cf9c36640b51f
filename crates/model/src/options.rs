//! How large a model is loaded, and whether that makes sense.

use tensor::{KvFormat, KvLayout, StateLayout, WINDOW_SLACK};

use crate::limits::{STATE_SLOTS_MAX, STEP_ROWS_MAX};
use crate::spec::{KvShape, LayerSpec};
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

/// The caches that a model is loaded with.
pub(crate) struct KvLayouts {
    /// Of layers that see all positions; of all layers where `windowed` is none.
    pub(crate) full: KvLayout,
    /// Of layers that see only a window.
    pub(crate) windowed: Option<(KvLayout, KvWindow)>,
}

/// The pages of layers that see only a window, which are none of the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvWindow {
    /// Positions before a step's first that must be in their pages.
    pub reach: usize,
    /// Pages there are: those that each sequence's reach can touch, and those that a step fills.
    pub page_count: usize,
}

impl KvLayouts {
    pub(crate) fn total_bytes(&self) -> usize {
        let windowed = self.windowed.as_ref().map_or(0, |(layout, _)| layout.total_bytes());
        self.full.total_bytes() + windowed
    }
}

/// The caches that these options ask for: two where windows take less than all positions.
pub(crate) fn kv_layouts(spec: &ModelSpec, options: &LoadOptions) -> Result<KvLayouts> {
    let full = kv_layout(spec, options)?;
    let windows = spec.layers.iter().filter_map(|layer| layer.mixer.window());
    // Texts to be pooled are read by the caller's own pages, and none is kept for long.
    let widest = windows.max().filter(|_| spec.pooling.is_none());
    let Some(widest) = widest else { return Ok(KvLayouts { full, windowed: None }) };
    let (page_len, reach) = (full.page_len, widest - 1 + WINDOW_SLACK);
    let page_count = options
        .state_slots
        .saturating_mul(reach.div_ceil(page_len) + 2)
        .saturating_add(options.rows_max / page_len);
    if page_count >= full.page_count {
        return Ok(KvLayouts { full, windowed: None });
    }
    let sees_all = |layer: &LayerSpec| layer.mixer.kv_shape().is_some() && !layer.is_windowed();
    let n_full = spec.layers.iter().filter(|layer| sees_all(layer)).count();
    let windowed = KvLayout { n_layers: full.n_layers - n_full, page_count, ..full.clone() };
    let full = KvLayout { n_layers: n_full, ..full };
    Ok(KvLayouts { full, windowed: Some((windowed, KvWindow { reach, page_count })) })
}

/// One cache for all layers.
fn kv_layout(spec: &ModelSpec, options: &LoadOptions) -> Result<KvLayout> {
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
