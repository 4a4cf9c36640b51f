//! Arguments between tags: what a tool's schema makes of their text, and how it holds them.

use serde_json::{Map, Value};

use crate::tools::Tools;

/// References that are followed from one schema to the next.
const REFERENCES_MAX: usize = 8;

/// How a value is written between tags, so that [`typed_value`] reads it as its schema wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As JSON.
    Json,
    /// One of these texts as it is.
    OneOf(Vec<String>),
    /// A text as it is, with a number of characters.
    Free {
        /// The least.
        least: usize,
        /// The most.
        most: Option<usize>,
    },
    /// A text with a rule that text between tags cannot be held to.
    Ruled(&'static str),
}

/// How a value of this schema, a property of `root`'s, is written.
pub(crate) fn written_text(root: &Map<String, Value>, schema: &Value) -> Written {
    if !matches!(types(root, schema), Types::Text | Types::TextOrNull) {
        return Written::Json;
    }
    let mut texts = Vec::new();
    let mut free = None;
    for branch in branches(root, schema, 0) {
        if let Some(values) = constants(branch) {
            texts.extend(values.iter().map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }));
        } else if branch["type"] == "null" {
            texts.push("null".to_owned());
        } else if let Some(keyword) = ["pattern"].into_iter().find(|key| !branch[*key].is_null()) {
            return Written::Ruled(keyword);
        } else if free.is_some() {
            return Written::Ruled("anyOf");
        } else {
            let length = |key: &str| branch[key].as_u64().and_then(|it| usize::try_from(it).ok());
            free = Some((length("minLength").unwrap_or(0), length("maxLength")));
        }
    }
    match free {
        Some((least, most)) => Written::Free { least, most },
        None => Written::OneOf(texts),
    }
}

/// What is written between XML tags, as the tool's schema wants it.
pub(crate) fn typed_value(tools: &Tools, tool: &str, key: &str, text: &str) -> Value {
    let root = tools.get(tool).and_then(|tool| tool.parameters.as_object());
    let text_value = || Value::from(text);
    let parsed = || serde_json::from_str(text.trim()).ok();
    let property = root.and_then(|root| root.get("properties")?.get(key));
    match root.zip(property).map(|(root, schema)| types(root, schema)) {
        Some(Types::Text) => text_value(),
        Some(Types::TextOrNull) if text.trim() == "null" => Value::Null,
        Some(Types::TextOrNull) => text_value(),
        // Without a schema a text in quotes is most likely meant with them.
        None | Some(Types::Unknown) => {
            parsed().filter(|value: &Value| !value.is_string()).unwrap_or_else(text_value)
        }
        Some(Types::Other) => parsed().unwrap_or_else(text_value),
    }
}

enum Types {
    Text,
    TextOrNull,
    Other,
    Unknown,
}

fn types(root: &Map<String, Value>, schema: &Value) -> Types {
    let (mut text, mut null, mut other) = (false, false, false);
    for branch in branches(root, schema, 0) {
        let names: Vec<&str> = match (&branch["type"], constants(branch)) {
            (Value::String(name), _) => vec![name.as_str()],
            (Value::Array(names), _) => names.iter().filter_map(Value::as_str).collect(),
            (_, Some(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(_) => "string",
                    Value::Null => "null",
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => "",
                })
                .collect(),
            (_, None) => Vec::new(),
        };
        if names.is_empty() {
            return Types::Unknown;
        }
        for name in names {
            text |= name == "string";
            null |= name == "null";
            other |= !["string", "null"].contains(&name);
        }
    }
    match (text, null, other) {
        (true, false, false) => Types::Text,
        (true, true, false) => Types::TextOrNull,
        _ => Types::Other,
    }
}

/// The values that a schema names, where it names them all.
fn constants(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema["enum"].as_array()) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(values)) => Some(values.iter().collect()),
        (None, None) => None,
    }
}

/// The schemas of which a value fits one: what a schema refers to, and each of its alternatives.
fn branches<'a>(root: &'a Map<String, Value>, schema: &'a Value, hops: usize) -> Vec<&'a Value> {
    if hops > REFERENCES_MAX {
        return vec![&Value::Null];
    }
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/")) {
        let mut keys = path.split('/').map(|key| key.replace("~1", "/").replace("~0", "~"));
        let first = keys.next().and_then(|key| root.get(&key));
        let target = keys.fold(first, |value, key| value?.get(&key));
        return target.map_or(vec![&Value::Null], |target| branches(root, target, hops + 1));
    }
    let listed = ["anyOf", "oneOf", "allOf"].into_iter().find_map(|key| {
        let list = schema[key].as_array()?;
        // All of several is none of them alone.
        (key != "allOf" || list.len() == 1).then_some(list)
    });
    match listed {
        Some(list) => list.iter().flat_map(|item| branches(root, item, hops + 1)).collect(),
        None => vec![schema],
    }
}
