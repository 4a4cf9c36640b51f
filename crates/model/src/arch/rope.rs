//! The rules by which files say how positions turn.

use gguf::GgufFile;
use tensor::{Rope, RopePairing};

use super::read::Keys;
use crate::limits::HEAD_DIM_MAX;
use crate::{Error, Result};

/// `rope.dimension_count`, or the whole head.
pub(super) fn dims(keys: &Keys<'_>, head_dim: usize) -> Result<usize> {
    let dims = keys.count("rope.dimension_count", HEAD_DIM_MAX)?.unwrap_or(head_dim);
    if dims > head_dim || !dims.is_multiple_of(2) {
        let wanted = format!("even and at most the head's width, {head_dim}");
        return Err(keys.wrong("rope.dimension_count", &dims, &wanted));
    }
    Ok(dims)
}

/// `rope.freq_base`, or the usual one.
pub(super) fn base(keys: &Keys<'_>) -> Result<f32> {
    Ok(keys.positive("rope.freq_base")?.unwrap_or(10_000.0))
}

/// The rule of a whole file: base, scaling and the factors that Llama 3.1 and later bring as a
/// tensor.
pub(super) fn read(
    keys: &Keys<'_>,
    file: &GgufFile,
    (pairing, head_dim): (RopePairing, usize),
) -> Result<Rope> {
    let mut rope = Rope::new(pairing, head_dim, dims(keys, head_dim)?, base(keys)?);
    scale(keys, &mut rope)?;
    turn_slower(file, "rope_freqs.weight", &mut rope)?;
    Ok(rope)
}

/// Applies `rope.scaling`.
pub(super) fn scale(keys: &Keys<'_>, rope: &mut Rope) -> Result<()> {
    // Written before `rope.scaling` was.
    let old = keys.positive("rope.scale_linear")?;
    let factor = || -> Result<Option<f32>> { Ok(keys.positive("rope.scaling.factor")?.or(old)) };
    match keys.text("rope.scaling.type")? {
        None => linear(rope, old.unwrap_or(1.0)),
        // Phi's factors come as tensors, see `turn_slower`.
        Some("none" | "longrope") => {}
        Some("linear") => linear(rope, factor()?.unwrap_or(1.0)),
        Some("yarn") => yarn(keys, rope, factor()?.unwrap_or(1.0))?,
        Some(other) => {
            let key = keys.key("rope.scaling.type");
            return Err(
                keys.unsupported(format!("another scaling of positions ({key} is {other})"))
            );
        }
    }
    Ok(())
}

/// Positions count `1 / factor`. Source: Chen et al. 2023, arXiv 2306.15595, section 2.3.
fn linear(rope: &mut Rope, factor: f32) {
    for frequency in &mut rope.inverse_frequencies {
        *frequency /= factor;
    }
}

/// Slow pairs turn `factor` times slower, fast ones as they were, those between in part; and
/// rotated values grow. Source: Peng et al. 2023, arXiv 2309.00071, definition 1 and section 3.4.
fn yarn(keys: &Keys<'_>, rope: &mut Rope, factor: f32) -> Result<()> {
    let max = u32::MAX as usize;
    let trained = keys.count_required("rope.scaling.original_context_length", max)?;
    let fast = f64::from(keys.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0));
    let slow = f64::from(keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0));
    let dims = 2.0 * rope.inverse_frequencies.len() as f64;
    let base = f64::from(base(keys)?);
    // The pair that makes so many turns over the trained positions.
    let pair = |turns: f64| {
        dims * (trained as f64 / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln())
    };
    // gpt-oss takes the borders as they are, all others the whole pairs around them.
    let whole = keys.architecture() != "gpt-oss";
    let [first, last] = match [pair(fast), pair(slow)] {
        [first, last] if whole => [first.floor(), last.ceil()],
        exact => exact,
    };
    let [first, last] = [first.max(0.0), last.min(dims - 1.0)];
    let width = (last - first).max(0.001);
    for (i, frequency) in rope.inverse_frequencies.iter_mut().enumerate() {
        let stretched = ((i as f64 - first) / width).clamp(0.0, 1.0);
        let exact = f64::from(*frequency);
        let slower = exact / f64::from(factor);
        *frequency = (slower * stretched + exact * (1.0 - stretched)) as f32;
    }
    rope.magnitude = match keys.positive("rope.scaling.attn_factor")? {
        Some(magnitude) => magnitude,
        None => growth(factor, 1.0),
    };
    only_usual(keys, rope.magnitude)
}

/// Refuses what files may say of YaRN beside that.
fn only_usual(keys: &Keys<'_>, magnitude: f32) -> Result<()> {
    // Below 0 is the way to say nothing.
    let extrapolation = keys.number("rope.scaling.yarn_ext_factor")?.filter(|it| *it >= 0.0);
    let growth = keys.number("rope.scaling.yarn_attn_factor")?;
    for (name, value, wanted) in [
        ("rope.scaling.yarn_ext_factor", extrapolation, 1.0),
        ("rope.scaling.yarn_attn_factor", growth, magnitude),
    ] {
        if let Some(value) = value.filter(|value| (value - wanted).abs() > 1e-6) {
            let key = keys.key(name);
            return Err(keys.unsupported(format!("another form of YaRN ({key} is {value})")));
        }
    }
    Ok(())
}

/// `0.1 * weight * ln(factor) + 1`: how much YaRN makes rotated values grow.
pub(super) fn growth(factor: f32, weight: f32) -> f32 {
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

/// Divides the frequencies by the factors of this tensor, where it is there.
pub(super) fn turn_slower(file: &GgufFile, name: &str, rope: &mut Rope) -> Result<()> {
    let Some(tensor) = file.tensor(name) else { return Ok(()) };
    let wanted = vec![rope.inverse_frequencies.len() as u64];
    if tensor.shape != wanted {
        let found = tensor.shape.clone();
        return Err(Error::TensorShape { name: name.to_owned(), found, wanted });
    }
    let mut factors = vec![0.0; rope.inverse_frequencies.len()];
    tensor.format.dequantize_row(&file.bytes(tensor), &mut factors);
    for (frequency, factor) in rope.inverse_frequencies.iter_mut().zip(&factors) {
        if !(factor.is_finite() && *factor > 0.0) {
            return Err(Error::Metadata {
                key: format!("a value of the tensor {name}"),
                found: factor.to_string(),
                wanted: "a number above 0".to_owned(),
            });
        }
        *frequency /= factor;
    }
    Ok(())
}
