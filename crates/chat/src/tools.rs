//! The tools that a request offers: names and JSON schemas, bounded.

use serde_json::Value;

use crate::limits::{DEPTH_MAX, TOOLS_BYTES_MAX, TOOLS_MAX};
use crate::{Error, Result};

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// JSON schema of its arguments; null where it takes none.
    pub parameters: Value,
    /// Whether a call that the model decides on by itself must fit them too.
    pub strict: bool,
}

/// The tools of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tools {
    list: Vec<Tool>,
    /// As the request gave them, for templates.
    source: Value,
}

impl Tools {
    /// Reads OpenAI's list: `{"type": "function", "function": {"name", "parameters"}}` each.
    ///
    /// # Errors
    /// When there are too many, they are too large, or one has no name.
    pub fn new(list: &Value) -> Result<Tools> {
        let wrong = |what: String| Err(Error::Tools(what));
        let items = match list {
            Value::Null => return Ok(Tools::default()),
            Value::Array(items) => items,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return wrong("must be a list".to_owned());
            }
        };
        if items.len() > TOOLS_MAX {
            return wrong(format!("are {}; {TOOLS_MAX} are the most", items.len()));
        }
        check_value("tools", list, TOOLS_BYTES_MAX).map_err(Error::Tools)?;
        let tool = |(index, item): (usize, &Value)| {
            let function = item.get("function").unwrap_or(item);
            let Some(name) = function["name"].as_str().filter(|name| !name.is_empty()) else {
                return Err(Error::Tools(format!("lack a `name` at number {index}")));
            };
            let strict = match &function["strict"] {
                Value::Null => false,
                Value::Bool(strict) => *strict,
                Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    let what = format!("have a `strict` of `{name}` that is not true or false");
                    return Err(Error::Tools(what));
                }
            };
            let parameters = function["parameters"].clone();
            Ok(Tool { name: name.to_owned(), parameters, strict })
        };
        let tools = items.iter().enumerate().map(tool).collect::<Result<Vec<Tool>>>()?;
        Ok(Tools { list: tools, source: list.clone() })
    }

    /// The tool of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.list.iter().find(|tool| tool.name == name)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.list.iter()
    }

    /// The list as it was given, for [`crate::RenderOptions::tools`]; none where it is empty.
    #[must_use]
    pub fn source(&self) -> Option<&Value> {
        (!self.is_empty()).then_some(&self.source)
    }

    /// Only the tool of this name, if it is there.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<Tools> {
        let place = self.list.iter().position(|tool| tool.name == name)?;
        let source = Value::from(vec![self.source[place].clone()]);
        Some(Tools { list: vec![self.list[place].clone()], source })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Bounds what a request hands to a template: depth and bytes as JSON.
pub(crate) fn check_value(
    what: &str,
    value: &Value,
    bytes_max: usize,
) -> std::result::Result<(), String> {
    if depth(value) > DEPTH_MAX {
        return Err(format!("{what} are nested deeper than {DEPTH_MAX} levels"));
    }
    let bytes = value.to_string().len();
    if bytes > bytes_max {
        return Err(format!("{what} have {bytes} bytes; {bytes_max} are the most"));
    }
    Ok(())
}

/// Levels of a value, counted without recursion and no further than is asked.
fn depth(value: &Value) -> usize {
    let mut level: Vec<&Value> = vec![value];
    let mut depth = 0;
    while !level.is_empty() && depth <= DEPTH_MAX {
        depth += 1;
        let below = level.iter().flat_map(|value| match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        });
        level = below.collect();
    }
    depth
}
