//! Messages as a template wants them: every template has its own idea of where reasoning, content
//! and the arguments of calls stand.

use serde_json::{Map, Value, json};

use crate::json;
use crate::parser::{arguments_object, call_id};
use crate::{Error, Message, Result};

/// What a template wants of messages, found out by asking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Content as a list of parts; else as a text.
    pub(crate) parts: bool,
    /// No content where there are calls and nothing was said; else an empty text.
    pub(crate) null_content: bool,
    /// Arguments of calls as a text that holds JSON; else as an object.
    pub(crate) argument_text: bool,
    /// Ids of calls have nine letters and digits.
    pub(crate) short_ids: bool,
    /// The template knows no system role: what would be said there begins the next question.
    pub(crate) merge_system: bool,
    /// The template shows tools to the model.
    pub(crate) reads_tools: bool,
    /// The template shows calls that were made, and what came of them.
    pub(crate) reads_calls: bool,
    /// The key under which reasoning stands.
    pub(crate) reasoning_key: &'static str,
}

/// A conversation as templates see it. Fields that a message lacks are not there: templates ask
/// `if message.tool_calls`.
pub(crate) fn to_json(messages: &[Message], manner: Manner) -> Result<Value> {
    let message = |(number, message): (usize, &Message)| {
        message_json(message, manner)
            .map_err(|what| Error::Request(format!("message {number}: {what}")))
    };
    let merged: Vec<Message>;
    let messages = if manner.merge_system {
        merged = without_system(messages);
        &merged
    } else {
        messages
    };
    messages.iter().enumerate().map(message).collect()
}

/// Each system message stands before the question after it, on lines of its own.
fn without_system(messages: &[Message]) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    let mut system = String::new();
    for message in messages {
        if message.role == "system" {
            system.push_str(&message.content);
            system.push('\n');
            continue;
        }
        let mut message = message.clone();
        if message.role == "user" {
            message.content.insert_str(0, &std::mem::take(&mut system));
        }
        out.push(message);
    }
    if !system.is_empty() {
        out.push(Message::new("user", system.trim_end_matches('\n')));
    }
    out
}

fn message_json(message: &Message, manner: Manner) -> std::result::Result<Value, String> {
    let only_calls = message.content.is_empty() && message.tool_calls.is_some();
    let content = if only_calls && manner.null_content {
        Value::Null
    } else if manner.parts {
        json!([{ "type": "text", "text": message.content }])
    } else {
        Value::from(message.content.as_str())
    };
    let mut value = json!({ "role": message.role, "content": content });
    if let Some(calls) = &message.tool_calls {
        value["tool_calls"] = calls_json(calls, manner)?;
    }
    if let Some(id) = &message.tool_call_id {
        value["tool_call_id"] = id_for(id, manner).into();
    }
    if let Some(name) = &message.name {
        value["name"] = name.as_str().into();
    }
    if let Some(reasoning) = message.reasoning_content.as_ref().filter(|text| !text.is_empty()) {
        value[manner.reasoning_key] = reasoning.as_str().into();
    }
    Ok(value)
}

/// Calls in OpenAI's shape, whether the arguments came as an object or as a text that holds one,
/// with `function` around name and arguments or not.
fn calls_json(calls: &Value, manner: Manner) -> std::result::Result<Value, String> {
    let list = calls.as_array().ok_or("`tool_calls` must be a list")?;
    let call = |call: &Value| {
        let function = call.get("function").unwrap_or(call);
        let name = function["name"].as_str().ok_or("a call in `tool_calls` has no name")?;
        let given = &function["arguments"];
        let arguments = arguments_object(given)
            .ok_or_else(|| format!("the arguments of the call of `{name}` are no JSON object"))?;
        let arguments = match given {
            // A text stays as the model wrote it.
            Value::String(text) if manner.argument_text && !text.is_empty() => given.clone(),
            _ if manner.argument_text => json::dumps(&Value::Object(arguments)).into(),
            _ => Value::Object(arguments),
        };
        let mut out = Map::new();
        if let Some(id) = call["id"].as_str() {
            out.insert("id".to_owned(), id_for(id, manner).into());
        }
        out.insert("type".to_owned(), "function".into());
        out.insert("function".to_owned(), json!({ "name": name, "arguments": arguments }));
        Ok(Value::Object(out))
    };
    list.iter().map(call).collect()
}

/// An id in the form that the template takes; the same id always becomes the same.
fn id_for(id: &str, manner: Manner) -> String {
    let short = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !manner.short_ids || short {
        return id.to_owned();
    }
    // FNV-1a: one id's form depends on nothing but the id.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    call_id(hash, 0)
}
