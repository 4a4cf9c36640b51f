//! SmolLM 3: as Llama; every fourth layer has no positions.

use super::llama::of_llama;
use super::{Family, Guesses, SILU};
use crate::error::Told;
use crate::keys::Keys;
use crate::rows::{DENSE, NORMS, OUTSIDE, QUERY_KEY_PAIRED, VALUE_OUT};

pub(super) static SMOLLM3: Family = Family {
    classes: &["SmolLM3ForCausalLM"],
    architecture: "smollm3",
    rows: &[OUTSIDE, NORMS, QUERY_KEY_PAIRED, VALUE_OUT, DENSE],
    keys,
    activations: SILU,
    tied: true,
    guesses: Guesses::None,
};

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    if let Some(turns) = keys.config.wholes("no_rope_layers")? {
        let usual = |(i, turns): (usize, &u64)| (*turns == 0) == (i % 4 == 3);
        let is_whole = turns.len() as u64 == keys.need("num_hidden_layers")?;
        keys.must(is_whole && turns.iter().enumerate().all(usual), "no_rope_layers")?;
    } else {
        let interval = keys.whole("no_rope_layer_interval")?.unwrap_or(4);
        keys.must(interval == 4, "no_rope_layer_interval")?;
    }
    keys.layer_types(|_| false)?;
    let is_used = keys.config.flag("use_sliding_window")?.unwrap_or(false);
    keys.must(!is_used, "use_sliding_window")?;
    keys.common()?;
    of_llama(keys)
}
