//! What a request has of the model's adapters.

use model::AdapterScale;

use crate::{Error, Result};

/// Refuses what is not among `count` adapters, a scale that is no number, and one adapter twice.
pub(crate) fn check(adapters: &[AdapterScale], count: usize) -> Result<()> {
    let refused = |why: String| Err(Error::Adapter(why));
    for (i, AdapterScale { adapter, scale }) in adapters.iter().enumerate() {
        if *adapter >= count {
            return refused(format!("there is no adapter {adapter}: the model has {count}"));
        }
        if !scale.is_finite() {
            return refused(format!("the scale {scale} of adapter {adapter} is no number"));
        }
        if adapters[..i].iter().any(|other| other.adapter == *adapter) {
            return refused(format!("adapter {adapter} is given twice: give one scale for each"));
        }
    }
    Ok(())
}

/// What tells apart the keys and values that these make, whatever the order; nothing where nothing
/// is added.
pub(crate) fn prelude(adapters: &[AdapterScale]) -> Vec<u64> {
    let active = adapters.iter().filter(|adapter| adapter.scale != 0.0);
    let mut words: Vec<u64> = active
        .map(|AdapterScale { adapter, scale }| (*adapter as u64) << 32 | u64::from(scale.to_bits()))
        .collect();
    words.sort_unstable();
    words
}
