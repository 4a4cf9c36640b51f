//! What an answer must fit, in the words of OpenAI (`response_format`), llama.cpp (`grammar`,
//! `json_schema`) and vLLM (`guided_json`, `guided_regex`, `guided_choice`).

use app::{Constraint, GrammarKind};
use serde_json::Value;

use super::Rejection;
use super::fields::Fields;

/// The constraint of a request; one at most.
pub(crate) fn constraint(fields: &Fields) -> Result<Option<Constraint>, Rejection> {
    fields.refuse("guided_grammar", |_| false)?;
    fields.refuse("structured_outputs", |_| false)?;
    let found = [
        response_format(fields)?,
        grammar(fields)?,
        schema(fields, "json_schema")?,
        schema(fields, "guided_json")?,
        regex(fields)?,
        choice(fields)?,
    ];
    let mut found = found.into_iter().flatten();
    let first = found.next();
    if let (Some(first), Some(second)) = (&first, found.next()) {
        let message = format!("give one of `{}` and `{}`", first.field, second.field);
        return Err(Rejection::invalid(second.field, message));
    }
    Ok(first)
}

fn response_format(fields: &Fields) -> Result<Option<Constraint>, Rejection> {
    let field = "response_format";
    let Some(format) = fields.get(field) else { return Ok(None) };
    let wrong = |what: &str| Rejection::invalid(field, format!("`{field}` {what}"));
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => match &format["schema"] {
            Value::Null => {
                let (kind, source) = (GrammarKind::JsonObject, String::new());
                Ok(Some(Constraint { kind, source, field }))
            }
            // llama.cpp's word for the other type.
            schema => Ok(Some(of_schema(schema, field))),
        },
        Some("json_schema") => match &format["json_schema"]["schema"] {
            Value::Null => Err(wrong("of type `json_schema` needs `json_schema.schema`")),
            schema => Ok(Some(of_schema(schema, field))),
        },
        Some(_) | None => Err(wrong("has a `type`: `text`, `json_object` or `json_schema`")),
    }
}

fn of_schema(schema: &Value, field: &'static str) -> Constraint {
    Constraint { kind: GrammarKind::JsonSchema, source: schema.to_string(), field }
}

fn grammar(fields: &Fields) -> Result<Option<Constraint>, Rejection> {
    let source = fields.text("grammar")?.filter(|source| !source.is_empty());
    let of = |source: &str| Constraint {
        kind: GrammarKind::Gbnf,
        source: source.to_owned(),
        field: "grammar",
    };
    Ok(source.map(of))
}

/// A schema as an object, or, as vLLM's clients send it, as text.
fn schema(fields: &Fields, field: &'static str) -> Result<Option<Constraint>, Rejection> {
    Ok(fields.get(field).map(|schema| match schema {
        Value::String(source) => {
            Constraint { kind: GrammarKind::JsonSchema, source: source.clone(), field }
        }
        _ => of_schema(schema, field),
    }))
}

fn regex(fields: &Fields) -> Result<Option<Constraint>, Rejection> {
    let of = |source: &str| Constraint {
        kind: GrammarKind::Regex,
        source: source.to_owned(),
        field: "guided_regex",
    };
    Ok(fields.text("guided_regex")?.map(of))
}

fn choice(fields: &Fields) -> Result<Option<Constraint>, Rejection> {
    let of = |texts: &Value| Constraint {
        kind: GrammarKind::Choice,
        source: texts.to_string(),
        field: "guided_choice",
    };
    Ok(fields.get("guided_choice").map(of))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::{Fields, GrammarKind, constraint};

    fn read(body: &'static str) -> Result<Option<(GrammarKind, String)>, String> {
        let fields = Fields::parse(&Bytes::from_static(body.as_bytes())).expect("an object");
        match constraint(&fields) {
            Ok(found) => Ok(found.map(|found| (found.kind, found.source))),
            Err(rejection) => {
                Err(rejection.body()["error"]["message"].as_str().expect("text").to_owned())
            }
        }
    }

    #[test]
    fn each_dialect_has_its_words() {
        let schema = r#"{"type":"integer"}"#.to_owned();
        let cases = [
            (r#"{"response_format": {"type": "text"}}"#, None),
            (r#"{"response_format": null, "grammar": ""}"#, None),
            (
                r#"{"response_format": {"type": "json_object"}}"#,
                Some((GrammarKind::JsonObject, String::new())),
            ),
            (
                r#"{"response_format": {"type": "json_object", "schema": {"type": "integer"}}}"#,
                Some((GrammarKind::JsonSchema, schema.clone())),
            ),
            (
                r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "n",
                    "schema": {"type": "integer"}, "strict": true}}}"#,
                Some((GrammarKind::JsonSchema, schema.clone())),
            ),
            (
                r#"{"json_schema": {"type": "integer"}}"#,
                Some((GrammarKind::JsonSchema, schema.clone())),
            ),
            (
                r#"{"guided_json": "{\"type\":\"integer\"}"}"#,
                Some((GrammarKind::JsonSchema, schema)),
            ),
            (
                r#"{"grammar": "root ::= \"a\""}"#,
                Some((GrammarKind::Gbnf, "root ::= \"a\"".into())),
            ),
            (r#"{"guided_regex": "a+"}"#, Some((GrammarKind::Regex, "a+".into()))),
            (
                r#"{"guided_choice": ["a", "b"]}"#,
                Some((GrammarKind::Choice, r#"["a","b"]"#.into())),
            ),
        ];
        for (body, expect) in cases {
            assert_eq!(read(body), Ok(expect), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#"{"response_format": {"type": "xml"}}"#, "has a `type`"),
            (r#"{"response_format": {"type": "json_schema"}}"#, "needs `json_schema.schema`"),
            (r#"{"grammar": 7}"#, "`grammar` must be a string"),
            (
                r#"{"grammar": "root ::= \"a\"", "guided_regex": "a"}"#,
                "give one of `grammar` and `guided_regex`",
            ),
            (r#"{"structured_outputs": {}}"#, "`structured_outputs` is not supported"),
        ];
        for (body, words) in cases {
            let message = read(body).expect_err(body);
            assert!(message.contains(words), "{message}");
        }
    }
}
