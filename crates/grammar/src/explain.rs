//! What the compiler says of a JSON schema, with the place and what to do.

use serde_json::Value;

use crate::Kind;

/// The message in this house's words where it is a known one.
pub(crate) fn explain(kind: Kind, source: &str, message: &str) -> String {
    if kind != Kind::JsonSchema {
        return message.to_owned();
    }
    if let Some(keys) = message.strip_prefix("Unimplemented keys: ") {
        let keys: Vec<String> = serde_json::from_str(keys).unwrap_or_default();
        if let Some(key) = keys.first() {
            let at = place(source, key).map(|at| format!("at {at} ")).unwrap_or_default();
            return format!("{at}the keyword `{key}` is not supported: leave it out");
        }
    }
    if message.starts_with("Only absolute $ref")
        && let Some((_, target)) = message.split_once("ref '")
    {
        let target = target.trim_end_matches('\'');
        return format!("`$ref` to `{target}`: only `#/...`, within the schema, is supported");
    }
    if message.starts_with("oneOf constraints") {
        let at = place(source, "oneOf").map(|at| format!("at {at} ")).unwrap_or_default();
        return format!("{at}more than one of `oneOf` may hold: use `anyOf`");
    }
    message.to_owned()
}

/// The first object that has the key, as a JSON pointer.
fn place(source: &str, key: &str) -> Option<String> {
    let schema: Value = serde_json::from_str(source).ok()?;
    let mut open = vec![("#".to_owned(), &schema)];
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Object(map) => {
                if map.contains_key(key) {
                    return Some(at);
                }
                let within = map.iter().rev();
                open.extend(within.map(|(name, value)| (format!("{at}/{name}"), value)));
            }
            Value::Array(items) => {
                let within = items.iter().enumerate().rev();
                open.extend(within.map(|(place, value)| (format!("{at}/{place}"), value)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    None
}
