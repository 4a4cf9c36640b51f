//! Tools as OpenAI's clients offer, choose and get them called.

use app::{CallEvent, ToolChoice, Tools};
use serde_json::{Value, json};

use super::Rejection;
use super::fields::Fields;
use super::stream::Call;

/// The `tools` of a request.
pub(crate) fn offered(fields: &Fields) -> Result<Tools, Rejection> {
    let wrong = |what: String| Rejection::invalid("tools", what);
    let Some(list) = fields.get("tools") else { return Ok(Tools::default()) };
    let kinds = list.as_array().into_iter().flatten().map(|tool| tool["type"].as_str());
    if let Some(kind) = kinds.flatten().find(|kind| *kind != "function") {
        return Err(wrong(format!("tools of type `{kind}` are not supported: offer functions")));
    }
    Tools::new(list).map_err(|error| wrong(error.to_string()))
}

/// The `tool_choice` of a request.
pub(crate) fn choice(fields: &Fields) -> Result<ToolChoice, Rejection> {
    let wrong = || {
        let message = "`tool_choice` must be `auto`, `none`, `required`, or an object that names a \
                       function";
        Rejection::invalid("tool_choice", message.to_owned())
    };
    match fields.get("tool_choice") {
        None => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            // `any` is Mistral's word.
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        },
        Some(choice) => match choice["function"]["name"].as_str() {
            Some(name) => Ok(ToolChoice::Named(name.to_owned())),
            None => Err(wrong()),
        },
    }
}

/// A call in a whole answer.
pub(crate) fn call(call: &Call) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

/// What a chunk says of a call; nothing of its end, which clients see by what follows.
pub(crate) fn call_delta(event: &CallEvent) -> Option<Value> {
    match event {
        CallEvent::Start { index, id, name } => Some(json!({
            "index": index,
            "id": id,
            "type": "function",
            "function": { "name": name, "arguments": "" },
        })),
        CallEvent::Arguments { index, text } => {
            Some(json!({ "index": index, "function": { "arguments": text } }))
        }
        CallEvent::End { .. } | CallEvent::Void { .. } => None,
    }
}
