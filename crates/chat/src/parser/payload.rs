//! What stands inside a call, in every form that models write it: JSON objects, a name before JSON,
//! functions as XML. Functions here take a text from its beginning and say what it is.

use serde_json::{Map, Value};

use super::events::ReadCall;
use super::literal;
use super::scan::{Begins, begins};
use crate::tools::Tools;

/// How a call is written between its markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{"name": .., "arguments": {..}}`, or a list of them.
    Object,
    /// A list of objects, or `name[ARGS]{..}`, with `[CALL_ID]..` between them or not.
    Mistral,
    /// `name<｜tool▁sep｜>{..}`, or `function<｜tool▁sep｜>name` and JSON in a fence.
    DeepSeek,
    /// `name>{..}`.
    NameAndJson,
    /// `name>` and `<parameter=key>value</parameter>` each.
    Functions,
    /// `name`, and `<arg_key>key</arg_key><arg_value>value</arg_value>` each.
    KeysAndValues,
    /// `functions.name:0<|tool_call_argument_begin|>{..}`.
    Kimi,
    /// `call:name{key:value}` up to the end marker.
    Dict,
    /// `name(key=value)`, on a line each, up to the end marker.
    PythonCalls,
    /// Code for an interpreter, or a JSON object, up to the end of the answer.
    PythonTag,
}

impl Shape {
    /// Whether the arguments of a call stand as a JSON object.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Shape::Object | Shape::Mistral | Shape::DeepSeek | Shape::NameAndJson | Shape::Kimi => {
                true
            }
            Shape::Functions
            | Shape::KeysAndValues
            | Shape::Dict
            | Shape::PythonCalls
            | Shape::PythonTag => false,
        }
    }

    /// Whether a model can be held to calls of this shape.
    pub(crate) fn is_held(self) -> bool {
        self.is_json() || matches!(self, Shape::Functions | Shape::KeysAndValues)
    }

    /// Markers inside a call.
    pub(crate) fn markers(self) -> &'static [&'static str] {
        match self {
            Shape::Mistral => &[ARGS, CALL_ID],
            Shape::DeepSeek => &[DEEPSEEK_SEPARATOR],
            Shape::KeysAndValues => &["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
            Shape::Kimi => &[KIMI_SEPARATOR],
            Shape::Dict => literal::QUOTES,
            Shape::Functions
            | Shape::NameAndJson
            | Shape::Object
            | Shape::PythonCalls
            | Shape::PythonTag => &[],
        }
    }
}

/// How far the beginning of a call says what it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Head {
    /// More text decides.
    More,
    /// It is no call.
    Broken,
    /// The arguments, a JSON object, begin at this byte. Where `wrapped`, another object is around
    /// them and ends after them.
    Arguments { id: Option<String>, name: String, at: usize, wrapped: Option<usize> },
    /// A JSON value that must be whole to be read begins at this byte.
    Json { at: usize },
    /// XML parameters begin at this byte.
    Parameters { name: String, at: usize },
    /// All up to the end marker must be there to be read.
    UpToEnd,
}

/// Why a text does not go on as hoped.
enum Stop {
    More,
    Other,
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    last: bool,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn word(&mut self, word: &str) -> Result<(), Stop> {
        match begins(self.rest(), word, self.last) {
            Begins::Yes => {
                self.at += word.len();
                Ok(())
            }
            Begins::Maybe => Err(Stop::More),
            Begins::No => Err(Stop::Other),
        }
    }

    /// A JSON text without escapes.
    fn string(&mut self) -> Result<&'a str, Stop> {
        self.word("\"")?;
        let rest = self.rest();
        let end = rest.find(['"', '\\']).ok_or(if self.last { Stop::Other } else { Stop::More })?;
        if rest[end..].starts_with('\\') {
            return Err(Stop::Other);
        }
        self.at += end + 1;
        Ok(&rest[..end])
    }

    /// `"key": ` with white space as one likes.
    fn key(&mut self, keys: &[&str]) -> Result<(), Stop> {
        self.space();
        let key = self.string()?;
        self.space();
        self.word(":")?;
        self.space();
        if keys.contains(&key) { Ok(()) } else { Err(Stop::Other) }
    }
}

/// Where the arguments of an object begin that says its name first, as nearly all do: these can be
/// passed on while they are being written.
fn name_first(text: &str, last: bool) -> Result<(String, usize, usize), Stop> {
    let mut cursor = Cursor { text, at: 0, last };
    cursor.space();
    let open = cursor.at;
    cursor.word("{")?;
    cursor.key(&["name"])?;
    let name = cursor.string()?;
    cursor.space();
    cursor.word(",")?;
    cursor.key(&["arguments", "parameters"])?;
    // The arguments may also be a text that holds JSON: then they must be whole.
    if cursor.word("{").is_err() {
        return Err(if cursor.rest().is_empty() && !last { Stop::More } else { Stop::Other });
    }
    Ok((name.to_owned(), cursor.at - 1, open))
}

/// First keys of objects that may be calls.
const FIRST_KEYS: &[&str] =
    &["name", "type", "function", "tool_name", "tool_call_id", "id", "arguments", "parameters"];

/// Reads the beginning of an object or a list of objects.
pub(crate) fn object_head(text: &str, last: bool) -> Head {
    let body = text.trim_start();
    let at = text.len() - body.len();
    let mut cursor = Cursor { text: body, at: 0, last };
    let opened = if cursor.word("[").is_ok() {
        cursor.space();
        cursor.word("{")
    } else {
        cursor.word("{")
    };
    let first_key = opened.and_then(|()| {
        cursor.space();
        cursor.string()
    });
    match first_key {
        Err(Stop::More) => return Head::More,
        Ok(key) if FIRST_KEYS.contains(&key) => {}
        Ok(_) | Err(Stop::Other) => return Head::Broken,
    }
    match name_first(text, last) {
        Ok((name, at, open)) if is_name(&name) => {
            Head::Arguments { id: None, name, at, wrapped: Some(open) }
        }
        Err(Stop::More) => Head::More,
        Ok(_) | Err(Stop::Other) => Head::Json { at },
    }
}

/// Longest name of a tool, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Whether a text can be a tool's name.
pub(crate) fn is_name(name: &str) -> bool {
    let fine = |letter: char| letter.is_alphanumeric() || "_-.:/".contains(letter);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(fine)
}

/// A name and which of the separators follows it; `Stop::Other` where neither can come.
fn name_before<'a>(
    text: &'a str,
    separators: &[&str],
    last: bool,
) -> Result<(&'a str, usize), Stop> {
    let places = separators.iter().enumerate().filter_map(|(n, word)| Some((text.find(word)?, n)));
    if let Some((end, separator)) = places.min() {
        return if is_name(&text[..end]) {
            Ok((&text[..end], separator))
        } else {
            Err(Stop::Other)
        };
    }
    // What is there may be a name and the beginning of a separator.
    let fine = |at: usize| {
        let (name, rest) = text.split_at(at);
        (name.is_empty() || is_name(name)) && separators.iter().any(|word| word.starts_with(rest))
    };
    let possible = !last && text.char_indices().map(|(at, _)| at).chain([text.len()]).any(fine);
    Err(if possible { Stop::More } else { Stop::Other })
}

const ARGS: &str = "[ARGS]";
const CALL_ID: &str = "[CALL_ID]";

/// Reads the beginning of a call of Mistral's.
pub(crate) fn mistral_head(text: &str, last: bool) -> Head {
    let body = text.trim_start();
    let skipped = text.len() - body.len();
    if body.is_empty() && !last {
        return Head::More;
    }
    if body.starts_with('[') {
        return match object_head(text, last) {
            Head::Arguments { .. } => Head::Json { at: skipped },
            other => other,
        };
    }
    let (name, separator) = match name_before(body, &[ARGS, CALL_ID, "{"], last) {
        Ok(found) => found,
        Err(Stop::More) => return Head::More,
        Err(Stop::Other) => return Head::Broken,
    };
    let mut at = skipped + name.len();
    let mut id = None;
    if separator == 1 {
        at += CALL_ID.len();
        let rest = &text[at..];
        match name_before(rest, &[ARGS, "{"], last) {
            Ok((found, _)) => id = Some(found.to_owned()),
            Err(Stop::More) => return Head::More,
            Err(Stop::Other) => return Head::Broken,
        }
        at += id.as_ref().map_or(0, String::len);
    }
    if text[at..].starts_with(ARGS) {
        at += ARGS.len();
    }
    arguments_head(text, at, last, (id, name))
}

/// The arguments' bracket after a name, with white space before it.
fn arguments_head(text: &str, at: usize, last: bool, call: (Option<String>, &str)) -> Head {
    let mut cursor = Cursor { text, at, last };
    cursor.space();
    let at = cursor.at;
    match cursor.word("{") {
        Ok(()) => Head::Arguments { id: call.0, name: call.1.to_owned(), at, wrapped: None },
        Err(Stop::More) => Head::More,
        Err(Stop::Other) => Head::Broken,
    }
}

/// Reads `name>` and what follows it.
pub(crate) fn named_head(text: &str, last: bool) -> Head {
    match name_before(text, &[">"], last) {
        Ok((name, _)) => arguments_head(text, name.len() + 1, last, (None, name)),
        Err(Stop::More) => Head::More,
        Err(Stop::Other) => Head::Broken,
    }
}

/// Reads `name>`, before XML parameters.
pub(crate) fn functions_head(text: &str, last: bool) -> Head {
    match name_before(text, &[">"], last) {
        Ok((name, _)) => Head::Parameters { name: name.to_owned(), at: name.len() + 1 },
        Err(Stop::More) => Head::More,
        Err(Stop::Other) => Head::Broken,
    }
}

/// Reads a name before keys and values.
pub(crate) fn keys_head(text: &str, last: bool) -> Head {
    let body = text.trim_start();
    let at = text.len() - body.len();
    match name_before(body, &["\n", "<arg_key>", "</tool_call>"], last) {
        Ok((name, _)) => Head::Parameters { name: name.to_owned(), at: at + name.len() },
        Err(Stop::More) => Head::More,
        Err(Stop::Other) => Head::Broken,
    }
}

const KIMI_SEPARATOR: &str = "<|tool_call_argument_begin|>";

/// Reads Kimi K2's id, which holds the name.
pub(crate) fn kimi_head(text: &str, last: bool) -> Head {
    let body = text.trim_start();
    let (id, _) = match name_before(body, &[KIMI_SEPARATOR], last) {
        Ok(found) => found,
        Err(Stop::More) => return Head::More,
        Err(Stop::Other) => return Head::Broken,
    };
    let name = id.strip_prefix("functions.").unwrap_or(id);
    let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
    let at = text.len() - body.len() + id.len() + KIMI_SEPARATOR.len();
    arguments_head(text, at, last, (Some(id.to_owned()), name))
}

const DEEPSEEK_SEPARATOR: &str = "<｜tool▁sep｜>";
const FENCE: &str = "```json";

/// Reads both of DeepSeek's forms.
pub(crate) fn deepseek_head(text: &str, last: bool) -> Head {
    let (first, _) = match name_before(text, &[DEEPSEEK_SEPARATOR], last) {
        Ok(found) => found,
        Err(Stop::More) => return Head::More,
        Err(Stop::Other) => return Head::Broken,
    };
    let at = first.len() + DEEPSEEK_SEPARATOR.len();
    let rest = text[at..].trim_start();
    if first != "function" || rest.starts_with('{') {
        return arguments_head(text, at, last, (None, first));
    }
    let (name, _) = match name_before(&text[at..], &["\n"], last) {
        Ok(found) => found,
        Err(Stop::More) => return Head::More,
        Err(Stop::Other) => return Head::Broken,
    };
    let mut cursor = Cursor { text, at: at + name.len() + 1, last };
    cursor.space();
    match cursor.word(FENCE) {
        Ok(()) => arguments_head(text, cursor.at, last, (None, name)),
        Err(Stop::More) => Head::More,
        Err(Stop::Other) => Head::Broken,
    }
}

/// Calls of a JSON value: an object, or a list of them. None where it is something else.
pub(crate) fn calls_of_json(text: &str) -> Option<Vec<ReadCall>> {
    match serde_json::from_str(text).ok()? {
        Value::Array(items) if !items.is_empty() => items.iter().map(call_of_object).collect(),
        value => Some(vec![call_of_object(&value)?]),
    }
}

fn call_of_object(value: &Value) -> Option<ReadCall> {
    let outer = value.as_object()?;
    let inner = outer.get("function").and_then(Value::as_object).unwrap_or(outer);
    let text = |keys: &[&str], object: &Map<String, Value>| {
        keys.iter().find_map(|key| Some(object.get(*key)?.as_str()?.to_owned()))
    };
    let name = text(&["name", "tool_name", "function"], inner)?;
    let given = ["arguments", "parameters", "args"].iter().find_map(|key| inner.get(*key));
    let arguments = arguments_object(given.unwrap_or(&Value::Null))?;
    let id = text(&["id", "tool_call_id"], outer).filter(|id| is_name(id));
    is_name(&name).then(|| ReadCall { id, name, arguments: Value::Object(arguments).to_string() })
}

/// Arguments as an object, whether they came as one or as a text that holds one.
pub(crate) fn arguments_object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Null => Some(Map::new()),
        Value::Object(fields) => Some(fields.clone()),
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// Calls of what had to be whole.
pub(crate) fn calls_up_to_end(shape: Shape, text: &str, tools: &Tools) -> Option<Vec<ReadCall>> {
    match shape {
        Shape::Dict => Some(vec![literal::dict_call(text)?]),
        Shape::PythonCalls => literal::python_calls(text).or_else(|| calls_of_json(text.trim())),
        Shape::PythonTag => {
            let body = text.trim();
            if let Some(calls) = calls_of_json(body) {
                return Some(calls);
            }
            let known = |call: &ReadCall| tools.get(&call.name).is_some();
            if let Some(calls) = literal::python_calls(body).filter(|calls| calls.iter().all(known))
            {
                return Some(calls);
            }
            let name = INTERPRETERS.iter().find(|name| tools.get(name).is_some())?;
            let code = Map::from_iter([("code".to_owned(), Value::from(body))]);
            let arguments = Value::Object(code).to_string();
            Some(vec![ReadCall { id: None, name: (*name).to_owned(), arguments }])
        }
        Shape::Object
        | Shape::Mistral
        | Shape::DeepSeek
        | Shape::KeysAndValues
        | Shape::Kimi
        | Shape::NameAndJson
        | Shape::Functions => None,
    }
}

/// Tools that take code as it stands.
const INTERPRETERS: &[&str] = &["python", "ipython", "code_interpreter"];
