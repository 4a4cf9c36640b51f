//! One turn of a conversation, as templates see it.

/// A message. `tool_calls` and the rest are passed to the template as they stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`; a template may know others.
    pub role: String,
    /// The text.
    pub content: String,
    /// Calls an assistant made, in OpenAI's shape.
    pub tool_calls: Option<serde_json::Value>,
    /// Which call a `tool` message answers.
    pub tool_call_id: Option<String>,
    /// Name of the speaker or tool.
    pub name: Option<String>,
}

impl Message {
    /// A message of text alone.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
    }
}
