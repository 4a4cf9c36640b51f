//! From a source to what llguidance reads, with the checks that need no compiler.

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::{Error, Kind, Limits, Result, Vocabulary, gbnf};

/// White space between the parts of JSON; llguidance puts no end to it by itself, and a small model
/// finds none.
const JSON_SPACE: &str = r"[\x20\x0A\x0D\x09]{1,40}";

/// The key by which a schema could turn checks of the compiler off.
const OVERRIDES: &str = "x-guidance";

pub(crate) fn read(
    vocabulary: &Vocabulary,
    kind: Kind,
    source: &str,
    limits: &Limits,
) -> Result<TopLevelGrammar> {
    let refused = |why: String| Error::Source { kind: kind.name(), why };
    if source.len() > limits.source_bytes {
        let (bytes, limit) = (source.len(), limits.source_bytes);
        return Err(Error::TooLong { kind: kind.name(), bytes, limit });
    }
    // The reader of GBNF counts by itself.
    if !matches!(kind, Kind::Gbnf | Kind::JsonObject)
        && let Some(at) = too_deep(source, kind, limits.depth)
    {
        return Err(Error::TooDeep { kind: kind.name(), at, limit: limits.depth });
    }
    match kind {
        Kind::Choice => choice(source).map_err(refused),
        Kind::Gbnf => {
            let lark = gbnf::to_lark(source, limits.depth, &|name| vocabulary.named(name))
                .map_err(refused)?;
            Ok(TopLevelGrammar::from_lark(lark))
        }
        Kind::JsonObject => Ok(schema(json!({ "type": "object" }))),
        Kind::JsonSchema => {
            let value: Value = serde_json::from_str(source)
                .map_err(|error| refused(format!("it is no JSON: {error}")))?;
            checked_schema(value).map(schema).map_err(refused)
        }
        Kind::Lark => Ok(TopLevelGrammar::from_lark(source.to_owned())),
        Kind::Regex => Ok(TopLevelGrammar::from_regex(source)),
    }
}

fn checked_schema(value: Value) -> std::result::Result<Value, String> {
    match value {
        Value::Bool(true) => Ok(json!({})),
        Value::Bool(false) => Err("`false` allows no value: nothing can be answered".to_owned()),
        Value::Object(map) if map.contains_key(OVERRIDES) => {
            Err(format!("`{OVERRIDES}` is not supported: leave it out"))
        }
        Value::Object(_) => Ok(value),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err("a schema is an object, `true` or `false`".to_owned())
        }
    }
}

fn schema(mut schema: Value) -> TopLevelGrammar {
    if let Some(map) = schema.as_object_mut() {
        map.insert(OVERRIDES.to_owned(), json!({ "whitespace_pattern": JSON_SPACE }));
    }
    TopLevelGrammar::from_json_schema(schema)
}

fn choice(source: &str) -> std::result::Result<TopLevelGrammar, String> {
    let texts: Vec<String> = serde_json::from_str(source)
        .map_err(|error| format!("it is no JSON array of texts: {error}"))?;
    if texts.is_empty() {
        return Err("it has no texts: give one at least".to_owned());
    }
    if let Some(at) = texts.iter().position(String::is_empty) {
        return Err(format!("text {at} is empty: give it a letter at least"));
    }
    let regex: Vec<String> = texts.iter().map(|text| gbnf::literal_regex(text)).collect();
    Ok(TopLevelGrammar::from_lark(format!("start: /{}/\n", regex.join("|"))))
}

/// Where brackets outside of texts nest deeper than `limit`.
fn too_deep(source: &str, kind: Kind, limit: usize) -> Option<usize> {
    // Of a regular expression's brackets all count, but those of classes and those escaped.
    let quotes: &[u8] = match kind {
        Kind::Choice | Kind::Gbnf | Kind::JsonObject | Kind::JsonSchema => b"\"",
        Kind::Lark => b"\"/",
        Kind::Regex => b"",
    };
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, byte) in source.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            // No text of these languages spans lines.
            b'\n' => quote = None,
            _ if quote == Some(byte) => quote = None,
            _ if quote.is_some() => {}
            _ if quotes.contains(&byte) => quote = Some(byte),
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > limit {
                    return Some(at);
                }
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
