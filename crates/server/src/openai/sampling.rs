//! The sampling fields that chat and completions share.

use app::SamplingParams;
use serde_json::Value;

use super::Rejection;
use super::fields::Fields;
use crate::limits::{LOGIT_BIAS_MAX, STOPS_MAX};

/// What both endpoints read alike.
pub(crate) struct Common {
    pub(crate) sampling: SamplingParams,
    pub(crate) tokens_max: Option<u32>,
    pub(crate) stop: Vec<String>,
    pub(crate) user: u64,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

pub(crate) fn common(fields: &Fields) -> Result<Common, Rejection> {
    fields.refuse("n", |value| value.as_f64() == Some(1.0))?;
    let stop = fields.texts("stop")?;
    if stop.len() > STOPS_MAX {
        let message = format!("{} stop texts are too many: at most {STOPS_MAX}", stop.len());
        return Err(Rejection::invalid("stop", message));
    }
    let tokens_max = match fields.unsigned("max_completion_tokens")? {
        None => fields.unsigned("max_tokens")?,
        asked => asked,
    };
    let options = fields.get("stream_options").and_then(|options| options.get("include_usage"));
    Ok(Common {
        sampling: sampling(fields)?,
        tokens_max,
        stop,
        user: user(fields)?,
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: options.and_then(Value::as_bool).unwrap_or(false),
    })
}

/// OpenAI's defaults (temperature 1, top-p 1) where it has the field, hob's where it has not.
fn sampling(fields: &Fields) -> Result<SamplingParams, Rejection> {
    let mut params =
        SamplingParams { temperature: 1.0, top_p: 1.0, min_p: 0.0, ..SamplingParams::default() };
    let floats: [(&[&str], &mut f32); 8] = [
        (&["temperature"], &mut params.temperature),
        (&["top_p"], &mut params.top_p),
        (&["min_p"], &mut params.min_p),
        (&["typical_p"], &mut params.typical_p),
        (&["repeat_penalty", "repetition_penalty"], &mut params.repeat_penalty),
        (&["presence_penalty"], &mut params.presence_penalty),
        (&["frequency_penalty"], &mut params.frequency_penalty),
        (&["xtc_probability"], &mut params.xtc_probability),
    ];
    for (names, target) in floats {
        for name in names {
            if let Some(value) = fields.float(name)? {
                *target = value;
            }
        }
    }
    if params.temperature < 0.0 {
        let message = "`temperature` must be 0 or more".to_owned();
        return Err(Rejection::invalid("temperature", message));
    }
    if let Some(top_k) = fields.signed("top_k")? {
        // Several clients say "all tokens" with -1.
        params.top_k = u32::try_from(top_k.max(0)).unwrap_or(u32::MAX);
    }
    params.seed = fields.signed("seed")?.map(i64::cast_unsigned);
    params.logit_bias = logit_bias(fields)?;
    Ok(params)
}

fn logit_bias(fields: &Fields) -> Result<Vec<(u32, f32)>, Rejection> {
    let wrong = || {
        let message = "`logit_bias` must map token ids to numbers from -100 to 100".to_owned();
        Rejection::invalid("logit_bias", message)
    };
    let Some(value) = fields.get("logit_bias") else { return Ok(Vec::new()) };
    let map = value.as_object().filter(|map| map.len() <= LOGIT_BIAS_MAX).ok_or_else(wrong)?;
    let entry = |(id, bias): (&String, &Value)| {
        let bias = bias.as_f64().filter(|bias| bias.abs() <= 100.0)?;
        // OpenAI documents -100 as a ban.
        let bias = if bias <= -100.0 { f32::NEG_INFINITY } else { bias as f32 };
        Some((id.parse().ok()?, bias))
    };
    map.iter().map(entry).collect::<Option<Vec<_>>>().ok_or_else(wrong)
}

/// A fairness key from the `user` field; people without one share a place.
fn user(fields: &Fields) -> Result<u64, Rejection> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let Some(name) = fields.text("user")? else { return Ok(0) };
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    Ok(hasher.finish())
}
