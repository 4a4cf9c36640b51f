//! `POST /v1/completions`: continues a text, whole or streamed.

use std::sync::Arc;

use app::{CompletionRequest, Prompt, TokenText, TokenUsage};
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::chat::Head;
use super::fields::Fields;
use super::sampling::{self, Common};
use super::stream::{self, Chunks};
use super::{Rejection, adapters, constraint, logprobs, usage};
use crate::limits::TOP_LOGPROBS_MAX;
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v1/completions",
    summary: "Continues a text.",
    handler: || post(completions),
};

/// OpenAI's default for this endpoint.
const TOKENS_MAX_DEFAULT: u32 = 16;

async fn completions(
    State(house): State<Arc<House>>,
    fields: Fields,
) -> Result<Response, Rejection> {
    let chosen = adapters::choose(&fields, &house)?;
    fields.refuse("echo", |value| value == &Value::Bool(false))?;
    fields.refuse("suffix", |value| value == "")?;
    fields.refuse("best_of", |value| value.as_f64() == Some(1.0))?;
    let mut common = sampling::common(&fields)?;
    common.sampling.logprobs = fields.unsigned("logprobs")?;
    if common.sampling.logprobs.is_some_and(|top| top > TOP_LOGPROBS_MAX) {
        let message = format!("`logprobs` must be at most {TOP_LOGPROBS_MAX}");
        return Err(Rejection::invalid("logprobs", message));
    }
    let wants_logprobs = common.sampling.logprobs.is_some();
    let Common { sampling, tokens_max, stop, user, stream, include_usage } = common;
    let tokens_max = Some(tokens_max.unwrap_or(TOKENS_MAX_DEFAULT));
    let request = CompletionRequest {
        prompt: prompt(&fields)?,
        tokens_max,
        sampling,
        stop,
        constraint: constraint::constraint(&fields)?,
        adapters: chosen.adapters,
        user,
    };
    let model = house.model.clone();
    let name = chosen.model;
    let generation = tokio::task::spawn_blocking(move || model.complete(request))
        .await
        .map_err(|_| Rejection::from(app::Error::ended_early()))??;
    let head = Head { id: app::unique_id("cmpl-"), created: app::unix_time_s(), model: name };
    if stream {
        let chunks = CompletionChunks { head, wants_logprobs, include_usage, offset: 0 };
        return Ok(stream::respond(generation, chunks));
    }
    let (answer, usage) = stream::collect(generation).await?;
    let logprobs =
        if wants_logprobs { logprobs::completions(&answer.tokens, 0) } else { Value::Null };
    let mut value = head.value("text_completion");
    value["choices"] = json!([{
        "index": 0,
        "text": answer.text,
        "logprobs": logprobs,
        "finish_reason": usage::finish_reason(usage.finished),
    }]);
    value["usage"] = usage::usage(&usage);
    Ok(Json(value).into_response())
}

/// One text, or one list of token ids.
fn prompt(fields: &Fields) -> Result<Prompt, Rejection> {
    let wrong = |what: &str| Rejection::invalid("prompt", what.to_owned());
    let text = |text: &str| Prompt::Text { text: text.to_owned(), parse_specials: true };
    let value = fields.get("prompt").ok_or_else(|| wrong("there is no `prompt`"))?;
    match value {
        Value::String(prompt) => Ok(text(prompt)),
        Value::Array(items) => match items.as_slice() {
            [Value::String(prompt)] => Ok(text(prompt)),
            [Value::String(_), ..] => Err(wrong("several prompts in one request: send one each")),
            [Value::Array(ids)] => tokens(ids).ok_or_else(|| wrong("token ids must be integers")),
            [Value::Array(_), ..] => Err(wrong("several prompts in one request: send one each")),
            ids => tokens(ids).ok_or_else(|| wrong("`prompt` must be a text or token ids")),
        },
        _ => Err(wrong("`prompt` must be a text or a list of token ids")),
    }
}

fn tokens(ids: &[Value]) -> Option<Prompt> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Some(Prompt::Tokens(ids.iter().map(id).collect::<Option<_>>()?))
}

struct CompletionChunks {
    head: Head,
    wants_logprobs: bool,
    include_usage: bool,
    offset: usize,
}

impl CompletionChunks {
    fn chunk(&self, text: &str, logprobs: &Value, finish_reason: Option<&str>) -> Value {
        let mut value = self.head.value("text_completion");
        value["choices"] = json!([{
            "index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason,
        }]);
        value
    }
}

impl Chunks for CompletionChunks {
    fn first(&mut self) -> Option<Value> {
        None
    }

    fn text(&mut self, text: &str, token: Option<&TokenText>) -> Option<Value> {
        let wanted = token.filter(|_| self.wants_logprobs);
        if text.is_empty() && wanted.is_none() {
            return None;
        }
        let logprobs = wanted.map_or(Value::Null, |token| {
            logprobs::completions(std::slice::from_ref(token), self.offset)
        });
        self.offset += text.chars().count();
        Some(self.chunk(text, &logprobs, None))
    }

    fn last(&mut self, usage: &TokenUsage) -> Vec<Value> {
        let mut last = self.chunk("", &Value::Null, Some(usage::finish_reason(usage.finished)));
        if !self.include_usage {
            last["hob"] = usage::own(usage);
            return vec![last];
        }
        last["usage"] = Value::Null;
        let mut totals = self.head.value("text_completion");
        totals["choices"] = json!([]);
        totals["usage"] = usage::usage(usage);
        vec![last, totals]
    }
}
