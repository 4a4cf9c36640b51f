//! `POST /v1/chat/completions`: answers a conversation, whole or streamed.

use std::sync::Arc;

use app::{CallEvent, ChatRequest, Message, TemplateWishes, TokenText, TokenUsage, Variables};
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::fields::Fields;
use super::sampling::{self, Common};
use super::stream::{self, Answer, Chunks};
use super::{Rejection, adapters, constraint, logprobs, tools, usage};
use crate::limits::{MESSAGES_MAX, TOP_LOGPROBS_MAX};
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v1/chat/completions",
    summary: "Answers a conversation.",
    handler: || post(chat),
};

async fn chat(State(house): State<Arc<House>>, fields: Fields) -> Result<Response, Rejection> {
    let chosen = adapters::choose(&fields, &house)?;
    // The old names of `tools` and `tool_choice`.
    fields.refuse("functions", |value| value.as_array().is_some_and(Vec::is_empty))?;
    fields.refuse("function_call", |value| value == "none" || value == "auto")?;
    let mut common = sampling::common(&fields)?;
    common.sampling.logprobs = wanted_logprobs(&fields)?;
    let wants_logprobs = common.sampling.logprobs.is_some();
    let Common { sampling, tokens_max, stop, user, stream, include_usage } = common;
    let request = ChatRequest {
        messages: messages(&fields)?,
        tools: tools::offered(&fields)?,
        tool_choice: tools::choice(&fields)?,
        one_call: fields.flag("parallel_tool_calls")? == Some(false),
        wishes: wishes(&fields)?,
        tokens_max,
        sampling,
        stop,
        constraint: constraint::constraint(&fields)?,
        prediction: prediction(&fields)?,
        adapters: chosen.adapters,
        user,
    };
    let model = house.model.clone();
    let name = chosen.model;
    // Rendering and tokenising a long conversation takes milliseconds: not on an async thread.
    let generation = tokio::task::spawn_blocking(move || model.chat(request))
        .await
        .map_err(|_| Rejection::from(app::Error::ended_early()))??;
    let head = Head { id: app::unique_id("chatcmpl-"), created: app::unix_time_s(), model: name };
    if stream {
        return Ok(stream::respond(generation, ChatChunks { head, wants_logprobs, include_usage }));
    }
    let (answer, usage) = stream::collect(generation).await?;
    let logprobs = if wants_logprobs { logprobs::chat(&answer.tokens) } else { Value::Null };
    let mut value = head.value("chat.completion");
    value["choices"] = json!([{
        "index": 0,
        "message": message_of(&answer),
        "logprobs": logprobs,
        "finish_reason": usage::finish_reason(usage.finished),
    }]);
    value["usage"] = usage::usage(&usage);
    Ok(Json(value).into_response())
}

/// What was said, as clients know it; reasoning under the name that most of them read.
fn message_of(answer: &Answer) -> Value {
    let only_calls = !answer.calls.is_empty() && answer.text.is_empty();
    let content = if only_calls { Value::Null } else { answer.text.as_str().into() };
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if !answer.reasoning.is_empty() {
        message["reasoning_content"] = answer.reasoning.as_str().into();
    }
    if !answer.calls.is_empty() {
        message["tool_calls"] = answer.calls.iter().map(tools::call).collect();
    }
    message
}

/// What a request may ask of the model's template: OpenAI's `reasoning_effort`, and
/// `chat_template_kwargs` as vLLM and llama.cpp know them.
fn wishes(fields: &Fields) -> Result<TemplateWishes, Rejection> {
    let mut variables = Variables::default();
    match fields.get("chat_template_kwargs") {
        None => {}
        Some(Value::Object(given)) => variables = given.clone(),
        Some(_) => {
            let message = "`chat_template_kwargs` must be an object".to_owned();
            return Err(Rejection::invalid("chat_template_kwargs", message));
        }
    }
    let effort = fields.text("reasoning_effort")?;
    let thinking = match variables.get("enable_thinking").or(variables.get("thinking")) {
        Some(wish) => wish.as_bool(),
        // OpenAI's word for an answer without reasoning.
        None => (effort == Some("none")).then_some(false),
    };
    let reasoning_effort = effort.filter(|effort| *effort != "none").map(str::to_owned);
    Ok(TemplateWishes { thinking, reasoning_effort, variables })
}

/// OpenAI's predicted output: what the answer may be for the most part.
fn prediction(fields: &Fields) -> Result<Option<String>, Rejection> {
    let Some(given) = fields.get("prediction") else { return Ok(None) };
    let refused = |what: String| Rejection::invalid("prediction", what);
    if given["type"] != "content" {
        let wanted = "`prediction` must be {\"type\": \"content\", \"content\": ...}";
        return Err(refused(wanted.to_owned()));
    }
    let text = content(&given["content"]);
    text.map(Some).map_err(|what| refused(format!("`prediction`: {what}")))
}

/// A text, or a list of text parts.
fn content(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            Ok(parts.iter().map(part).collect::<Result<Vec<&str>, String>>()?.join(""))
        }
        _ => Err("`content` must be a string or a list of text parts".to_owned()),
    }
}

fn wanted_logprobs(fields: &Fields) -> Result<Option<u32>, Rejection> {
    let top = fields.unsigned("top_logprobs")?;
    if top.is_some_and(|top| top > TOP_LOGPROBS_MAX) {
        let message = format!("`top_logprobs` must be at most {TOP_LOGPROBS_MAX}");
        return Err(Rejection::invalid("top_logprobs", message));
    }
    match fields.flag("logprobs")? {
        Some(true) => Ok(Some(top.unwrap_or(0))),
        _ if top.is_some_and(|top| top > 0) => Err(Rejection::invalid(
            "top_logprobs",
            "`top_logprobs` needs `logprobs` to be true".to_owned(),
        )),
        _ => Ok(None),
    }
}

fn messages(fields: &Fields) -> Result<Vec<Message>, Rejection> {
    let wrong = |what: &str| Rejection::invalid("messages", what.to_owned());
    let list = fields.get("messages").and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong("`messages` must be a list of messages"))?;
    if list.is_empty() || list.len() > MESSAGES_MAX {
        return Err(wrong(&format!("give between 1 and {MESSAGES_MAX} messages")));
    }
    list.iter()
        .enumerate()
        .map(|(index, item)| {
            message(item).map_err(|what| wrong(&format!("message {index}: {what}")))
        })
        .collect()
}

fn message(item: &Value) -> Result<Message, String> {
    let role = item["role"].as_str().ok_or("it has no `role`")?;
    let known = ["system", "developer", "user", "assistant", "tool", "function"];
    if !known.contains(&role) {
        return Err(format!("role `{role}` is none of {}", known.join(", ")));
    }
    let content = match &item["content"] {
        Value::Null if role == "assistant" => String::new(),
        other => content(other)?,
    };
    let text = |name: &str| item[name].as_str().map(str::to_owned);
    // Templates know `system`; `developer` is OpenAI's newer word for it.
    let role = if role == "developer" { "system" } else { role };
    let tool_calls = Some(item["tool_calls"].clone()).filter(|calls| !calls.is_null());
    Ok(Message {
        role: role.to_owned(),
        content,
        tool_calls,
        tool_call_id: text("tool_call_id"),
        name: text("name"),
        reasoning_content: text("reasoning_content").or_else(|| text("reasoning")),
    })
}

fn part(part: &Value) -> Result<&str, String> {
    match part["type"].as_str() {
        Some("text") => part["text"].as_str().ok_or_else(|| "a text part has no `text`".to_owned()),
        Some(other) => Err(format!("parts of type `{other}` are not supported: send text")),
        None => Err("a part has no `type`".to_owned()),
    }
}

/// What every chunk of an answer repeats.
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
}

impl Head {
    pub(crate) fn value(&self, object: &str) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("b1-hob-", env!("CARGO_PKG_VERSION")),
        })
    }
}

struct ChatChunks {
    head: Head,
    wants_logprobs: bool,
    include_usage: bool,
}

impl ChatChunks {
    fn chunk(&self, delta: &Value, logprobs: &Value, finish_reason: Option<&str>) -> Value {
        let mut value = self.head.value("chat.completion.chunk");
        value["choices"] = json!([{
            "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason,
        }]);
        if self.include_usage {
            value["usage"] = Value::Null;
        }
        value
    }
}

impl Chunks for ChatChunks {
    fn first(&mut self) -> Option<Value> {
        Some(self.chunk(&json!({ "role": "assistant", "content": "" }), &Value::Null, None))
    }

    fn text(&mut self, text: &str, token: Option<&TokenText>) -> Option<Value> {
        let wanted = token.filter(|_| self.wants_logprobs);
        if text.is_empty() && wanted.is_none() {
            return None;
        }
        let logprobs =
            wanted.map_or(Value::Null, |token| logprobs::chat(std::slice::from_ref(token)));
        Some(self.chunk(&json!({ "content": text }), &logprobs, None))
    }

    fn reasoning(&mut self, text: &str) -> Option<Value> {
        let delta = json!({ "reasoning_content": text });
        (!text.is_empty()).then(|| self.chunk(&delta, &Value::Null, None))
    }

    fn call(&mut self, call: &CallEvent) -> Option<Value> {
        let delta = tools::call_delta(call)?;
        Some(self.chunk(&json!({ "tool_calls": [delta] }), &Value::Null, None))
    }

    fn last(&mut self, usage: &TokenUsage) -> Vec<Value> {
        let reason = usage::finish_reason(usage.finished);
        let mut last = self.chunk(&json!({}), &Value::Null, Some(reason));
        if !self.include_usage {
            last["hob"] = usage::own(usage);
            return vec![last];
        }
        let mut totals = self.head.value("chat.completion.chunk");
        totals["choices"] = json!([]);
        totals["usage"] = usage::usage(usage);
        vec![last, totals]
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::{Fields, prediction};

    fn read(body: &'static str) -> Result<Option<String>, String> {
        let fields = Fields::parse(&Bytes::from_static(body.as_bytes())).expect("an object");
        prediction(&fields).map_err(|rejection| {
            rejection.body()["error"]["message"].as_str().expect("text").to_owned()
        })
    }

    #[test]
    fn a_prediction_is_a_text_or_parts_of_one() {
        let given = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"prediction": null}"#), Ok(None));
        assert_eq!(read(r#"{"prediction": {"type": "content", "content": "ab"}}"#), given("ab"));
        let parts = r#"{"prediction": {"type": "content", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}"#;
        assert_eq!(read(parts), given("ab"));
        let refused = |body| read(body).expect_err(body);
        assert_eq!(
            refused(r#"{"prediction": "ab"}"#),
            r#"`prediction` must be {"type": "content", "content": ...}"#
        );
        assert_eq!(
            refused(r#"{"prediction": {"type": "content", "content": 7}}"#),
            "`prediction`: `content` must be a string or a list of text parts"
        );
    }
}
