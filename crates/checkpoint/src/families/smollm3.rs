//! SmolLM 3: as Llama; every fourth layer has no positions.

use super::llama::of_llama;
use super::{Family, SILU};
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
    guesses: false,
};

fn keys(keys: &mut Keys<'_>) -> Told<()> {
    if let Some(turns) = keys.config.wholes("no_rope_layers")? {
        let usual = |(i, turns): (usize, &u64)| (*turns == 0) == (i % 4 == 3);
        keys.must(turns.iter().enumerate().all(usual), "no_rope_layers")?;
    }
    let is_used = keys.config.flag("use_sliding_window")?.unwrap_or(false);
    keys.must(!is_used, "use_sliding_window")?;
    keys.common()?;
    of_llama(keys)
}
