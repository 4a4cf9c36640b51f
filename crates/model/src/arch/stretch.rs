//! More positions than a model was trained for, where somebody asks for them: the file is seen with
//! another rule of turning in place of its own, so that all who read it agree.

use gguf::{GgufFile, Value};

use super::read::Keys;
use super::rope;
use crate::{Error, Result, spec};

/// How positions beyond the trained ones are brought among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeRule {
    /// All positions are so many times closer to each other.
    Linear,
    /// A larger base: fast pairs turn as they were, slow ones so many times slower. The form that
    /// does not depend on the length. Source: bloc97, "NTK-aware scaled RoPE", 2023-06, as quoted
    /// by Peng et al. 2023, arXiv 2309.00071, section 3.1.
    Ntk,
    /// Pairs that turn often over the trained positions stay, the others turn slower, and scores
    /// are sharpened. Source: arXiv 2309.00071, section 3.4.
    Yarn,
}

impl RopeRule {
    /// All of them.
    pub const ALL: [RopeRule; 3] = [RopeRule::Linear, RopeRule::Ntk, RopeRule::Yarn];

    /// As it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RopeRule::Linear => "linear",
            RopeRule::Ntk => "ntk",
            RopeRule::Yarn => "yarn",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeScaling {
    /// The rule.
    pub rule: RopeRule,
    /// The longest context over the original one; as the wanted context says when none.
    pub factor: Option<f64>,
}

/// The file with this rule in place of its own, and as much context as that gives: the factor times
/// the original one. What a file has as a tensor (`rope_freqs.weight`, Llama 3.1 and later) is part
/// of how the model was trained and stays below the rule.
///
/// # Errors
/// [`Error::Stretch`] where that makes no sense; what [`crate::spec`] refuses.
pub fn stretch(file: GgufFile, asked: RopeScaling, context_len: Option<u32>) -> Result<GgufFile> {
    let spec = spec(&file)?;
    let refused = |why: &str| Err(Error::Stretch(why.to_owned()));
    if spec.is_bidirectional() {
        return refused("a model that reads texts both ways holds what it was trained for");
    }
    if spec.ropes.is_empty() {
        return refused("positions turn nothing in this model");
    }
    if spec.long_ropes.is_some() {
        return Err(Error::Stretch(format!(
            "its file has factors of its own (LongRoPE) that hold up to {} tokens: ask for such a \
             context and for no rule",
            spec.context_len
        )));
    }
    let keys = Keys::of(&file)?;
    let original = original(&keys, spec.context_len)?;
    let (factor, context_len) = factor(asked.factor, context_len, original)?;
    let mut metadata = file.metadata().clone();
    // What goes with the factor that the file had.
    for name in [
        "rope.scale_linear",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_ext_factor",
    ] {
        metadata.remove(&keys.key(name));
    }
    let mut put = |name: &str, value| metadata.insert(&keys.key(name), value);
    put("context_length", Value::U32(context_len));
    let written = match asked.rule {
        RopeRule::Linear => "linear",
        RopeRule::Ntk => "none",
        RopeRule::Yarn => "yarn",
    };
    put("rope.scaling.type", Value::String(written.to_owned()));
    match asked.rule {
        RopeRule::Linear => put("rope.scaling.factor", Value::F32(factor as f32)),
        RopeRule::Ntk => {
            let dims = 2 * spec.ropes[0].inverse_frequencies.len();
            if dims <= 2 {
                return refused("only one pair of a head turns: there is no slower one");
            }
            let power = dims as f64 / (dims as f64 - 2.0);
            let base = f64::from(rope::base(&keys)?) * factor.powf(power);
            put("rope.freq_base", Value::F32(base as f32));
        }
        RopeRule::Yarn => {
            put("rope.scaling.factor", Value::F32(factor as f32));
            put("rope.scaling.original_context_length", Value::U32(original));
        }
    }
    Ok(file.with_metadata(metadata))
}

/// Positions before any rule of the file's own.
fn original(keys: &Keys<'_>, trained: u32) -> Result<u32> {
    let kind = keys.text("rope.scaling.type")?;
    if kind == Some("yarn") {
        let max = u32::MAX as usize;
        let original = keys.count_required("rope.scaling.original_context_length", max)?;
        return Ok(u32::try_from(original).expect("not above u32::MAX, as was just checked"));
    }
    let factor = match kind {
        None => keys.positive("rope.scale_linear")?,
        Some("linear") => {
            keys.positive("rope.scaling.factor")?.or(keys.positive("rope.scale_linear")?)
        }
        Some(_) => None,
    };
    let original = f64::from(trained) / f64::from(factor.unwrap_or(1.0)).max(1.0);
    Ok((original.round() as u32).max(1))
}

/// How much longer, and the context that this gives.
fn factor(asked: Option<f64>, context_len: Option<u32>, original: u32) -> Result<(f64, u32)> {
    let original = f64::from(original);
    let (factor, longest) = match (asked, context_len) {
        (Some(factor), _) => (factor, (factor * original).floor()),
        (None, Some(wanted)) => (f64::from(wanted) / original, f64::from(wanted)),
        (None, None) => {
            let why = "neither a factor nor a context says by how much";
            return Err(Error::Stretch(why.to_owned()));
        }
    };
    if !(factor >= 1.0 && longest <= f64::from(u32::MAX)) {
        return Err(Error::Stretch(format!(
            "a factor of {factor} is not from 1 on, or too large; the original context is \
             {original} tokens"
        )));
    }
    Ok((factor, longest as u32))
}
