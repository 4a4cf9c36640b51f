//! Tools for models whose template knows none: an instruction shows them, calls and results are
//! texts. Models that were never taught to call do so less reliably; but what is offered is told.

use serde_json::Value;

use crate::dialects::Dialect;
use crate::json::dumps;
use crate::parser::arguments_object;
use crate::tools::Tools;
use crate::{Error, Message, Result};

/// The conversation in messages that any template takes: calls and results are texts.
pub(crate) fn as_text(messages: &[Message], dialect: &'static Dialect) -> Result<Vec<Message>> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        if is_result {
            let text = format!("<tool_response>\n{}\n</tool_response>", message.content);
            match out.last_mut().filter(|_| after_result) {
                // Templates want question and answer in turn.
                Some(results) => results.content = format!("{}\n{text}", results.content),
                None => out.push(Message::new("user", &text)),
            }
        } else {
            out.push(without_calls(message, dialect)?);
        }
        after_result = is_result;
    }
    Ok(out)
}

/// Shows the tools in the system message.
pub(crate) fn tell(messages: &mut Vec<Message>, tools: &Tools, dialect: &'static Dialect) {
    let shown = instruction(tools, dialect);
    match messages.first_mut().filter(|first| first.role == "system") {
        Some(system) => system.content = format!("{}\n\n{shown}", system.content),
        None => messages.insert(0, Message::new("system", &shown)),
    }
}

fn without_calls(message: &Message, dialect: &'static Dialect) -> Result<Message> {
    let mut message = message.clone();
    let Some(calls) = message.tool_calls.take() else { return Ok(message) };
    let wrong = |what: &str| Error::Request(format!("`tool_calls`: {what}"));
    for call in calls.as_array().ok_or_else(|| wrong("must be a list"))? {
        let function = call.get("function").unwrap_or(call);
        let name = function["name"].as_str().ok_or_else(|| wrong("a call has no name"))?;
        let arguments = arguments_object(&function["arguments"]);
        let arguments = arguments.ok_or_else(|| wrong("arguments are no JSON object"))?;
        if !message.content.is_empty() {
            message.content.push('\n');
        }
        message.content.push_str(&written(dialect, name, &dumps(&Value::Object(arguments))));
    }
    Ok(message)
}

/// A call as models of this dialect write it, or as JSON with its name.
fn written(dialect: &'static Dialect, name: &str, arguments: &str) -> String {
    let json = || format!("{{\"name\": \"{name}\", \"arguments\": {arguments}}}");
    dialect.written(name, arguments).unwrap_or_else(json)
}

fn instruction(tools: &Tools, dialect: &'static Dialect) -> String {
    let listed: Vec<String> =
        tools.source().and_then(Value::as_array).into_iter().flatten().map(dumps).collect();
    let form = written(dialect, "NAME", "{\"ARGUMENT\": VALUE}");
    format!(
        "You can call these tools, given as JSON with a schema of their arguments:\n{}\n\n\
         To call one, write nothing but this, with its name and arguments:\n{form}\n\n\
         You then get what it says in <tool_response> tags.\n\
         Call a tool where it helps, and answer by yourself where none does.",
        listed.join("\n")
    )
}
