//! Which parameters make sense; checked once, at submission.

use super::params::SamplingParams;

/// Most biased tokens of a request.
const LOGIT_BIAS_MAX: usize = 4096;
/// Most alternatives told with a token.
const LOGPROBS_MAX: u32 = 100;
/// Most texts that DRY counts no repetition across.
const BREAKERS_MAX: usize = 64;
/// Far above every sensible parameter and far below where sums of them overflow.
const MAGNITUDE_MAX: f32 = 1e6;

/// A parameter that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}: it must be {expected}")]
pub struct ParamsError {
    /// Name of the parameter.
    pub field: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be.
    pub expected: String,
}

impl SamplingParams {
    /// Checks every parameter.
    ///
    /// # Errors
    /// The first parameter that is out of its range, and the range.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let any = -MAGNITUDE_MAX;
        within("temperature", self.temperature, any, MAGNITUDE_MAX)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("typical_p", self.typical_p, 0.0, 1.0)?;
        within("repeat_penalty", self.repeat_penalty, 1e-3, 1e3)?;
        at_least("repeat_last_n", self.repeat_last_n, -1)?;
        within("presence_penalty", self.presence_penalty, any, MAGNITUDE_MAX)?;
        within("frequency_penalty", self.frequency_penalty, any, MAGNITUDE_MAX)?;
        within("mirostat_tau", self.mirostat_tau, 0.0, 100.0)?;
        within("mirostat_eta", self.mirostat_eta, 0.0, 10.0)?;
        within("dry.multiplier", self.dry.multiplier, 0.0, MAGNITUDE_MAX)?;
        within("dry.base", self.dry.base, 1.0, MAGNITUDE_MAX)?;
        at_least("dry.penalty_last_n", self.dry.penalty_last_n, -1)?;
        within("xtc_probability", self.xtc_probability, 0.0, 1.0)?;
        within("xtc_threshold", self.xtc_threshold, 0.0, 1.0)?;
        at_most("dry.sequence_breakers", self.dry.sequence_breakers.len(), BREAKERS_MAX)?;
        at_most("logit_bias", self.logit_bias.len(), LOGIT_BIAS_MAX)?;
        for (_, bias) in &self.logit_bias {
            if *bias != f32::NEG_INFINITY {
                within("logit_bias", *bias, any, MAGNITUDE_MAX)?;
            }
        }
        at_most("logprobs", self.logprobs.unwrap_or(0) as usize, LOGPROBS_MAX as usize)
    }
}

fn within(field: &'static str, value: f32, least: f32, most: f32) -> Result<(), ParamsError> {
    let expected = || format!("between {least} and {most}");
    ensure((least..=most).contains(&value), field, || value.to_string(), expected)
}

fn at_least(field: &'static str, value: i32, least: i32) -> Result<(), ParamsError> {
    ensure(value >= least, field, || value.to_string(), || format!("{least} or more"))
}

fn at_most(field: &'static str, value: usize, most: usize) -> Result<(), ParamsError> {
    ensure(value <= most, field, || value.to_string(), || format!("{most} at most"))
}

fn ensure(
    holds: bool,
    field: &'static str,
    value: impl FnOnce() -> String,
    expected: impl FnOnce() -> String,
) -> Result<(), ParamsError> {
    if holds {
        return Ok(());
    }
    Err(ParamsError { field, value: value(), expected: expected() })
}
