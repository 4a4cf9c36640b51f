//! One turn of a conversation, as templates see it.

use serde_json::Value;

use crate::{Error, Result};

/// A message. Templates get what is there, in the form that each of them wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`; a template may know others.
    pub role: String,
    /// The text.
    pub content: String,
    /// Calls an assistant made, in OpenAI's shape: a list of `{"id", "type", "function": {"name",
    /// "arguments"}}`. Arguments are an object, or a text that holds one.
    pub tool_calls: Option<Value>,
    /// Which call a `tool` message answers.
    pub tool_call_id: Option<String>,
    /// Name of the speaker or tool.
    pub name: Option<String>,
    /// What an assistant thought before it answered.
    pub reasoning_content: Option<String>,
}

impl Message {
    /// A message of text alone.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
    }

    /// The text of OpenAI's `content`: a text, a list of text parts, or nothing.
    ///
    /// # Errors
    /// When a part is no text: images, sound and files are named and refused.
    pub fn content_text(content: &Value) -> Result<String> {
        let wrong = |what: String| Error::Request(what);
        match content {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            Value::Array(parts) => parts
                .iter()
                .map(|part| match (part["type"].as_str(), part["text"].as_str()) {
                    (Some("text" | "input_text" | "output_text"), Some(text)) => Ok(text),
                    (Some("text" | "input_text" | "output_text"), None) => {
                        Err(wrong("a text part has no `text`".to_owned()))
                    }
                    (Some(kind), _) => {
                        Err(wrong(format!("parts of type `{kind}` are not supported: send text")))
                    }
                    (None, _) => Err(wrong("a part of the content has no `type`".to_owned())),
                })
                .collect(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(wrong("`content` must be a text or a list of text parts".to_owned()))
            }
        }
    }
}
