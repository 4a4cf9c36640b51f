//! Calls in notations that are not JSON: Python's, and the braces of Gemma 4 and FunctionGemma.

use serde_json::{Map, Number, Value};

use super::events::ReadCall;
use super::payload::is_name;
use crate::limits::DEPTH_MAX;

/// Calls of functions with named arguments, one after another or in a list:
/// `f(a=1)`, `[f(a=1), g()]`, `print(f(a=1))`.
pub(crate) fn python_calls(text: &str) -> Option<Vec<ReadCall>> {
    let mut reader = Reader { rest: text.trim(), python: true };
    let listed = reader.sign('[');
    let mut calls = Vec::new();
    while !(listed && reader.sign(']')) {
        if reader.rest.is_empty() && !listed {
            break;
        }
        calls.push(reader.call()?);
        reader.sign(',');
        reader.sign(';');
    }
    (reader.rest.is_empty() && !calls.is_empty()).then_some(calls)
}

/// `call:name{key:value}`.
pub(crate) fn dict_call(text: &str) -> Option<ReadCall> {
    let body = text.trim().strip_prefix("call:")?;
    let (name, _) = body.split_once('{')?;
    let mut reader = Reader { rest: &body[name.len()..], python: false };
    let name = name.trim();
    let Value::Object(arguments) = reader.value(0)? else { return None };
    let whole = reader.rest.trim().is_empty() && is_name(name);
    let arguments = Value::Object(arguments).to_string();
    whole.then(|| ReadCall { id: None, name: name.to_owned(), arguments })
}

struct Reader<'a> {
    rest: &'a str,
    python: bool,
}

/// Quotes of texts that are no quotes: special tokens.
pub(crate) const QUOTES: &[&str] = &["<|\"|>", "<escape>"];

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn sign(&mut self, sign: char) -> bool {
        self.space();
        let found = self.rest.strip_prefix(sign);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn word(&mut self) -> Option<&'a str> {
        self.space();
        let fine = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
        let end = self.rest.find(|letter| !fine(letter)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn call(&mut self) -> Option<ReadCall> {
        let name = self.word()?;
        self.sign('(').then_some(())?;
        if name == "print" {
            let call = self.call()?;
            self.sign(')').then_some(())?;
            return Some(call);
        }
        let mut arguments = Map::new();
        while !self.sign(')') {
            let key = self.word()?.to_owned();
            self.sign('=').then_some(())?;
            arguments.insert(key, self.value(1)?);
            if !self.sign(',') && !self.rest.trim_start().starts_with(')') {
                return None;
            }
        }
        // Llama's own tools are called as `search.call(query=..)`.
        let name = name.strip_suffix(".call").unwrap_or(name);
        let arguments = Value::Object(arguments).to_string();
        is_name(name).then(|| ReadCall { id: None, name: name.to_owned(), arguments })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        if depth > DEPTH_MAX {
            return None;
        }
        if self.sign('[') {
            return self.items(depth);
        }
        if self.sign('{') {
            return self.fields(depth);
        }
        if let Some(quote) = QUOTES.iter().find(|quote| self.rest.starts_with(**quote)) {
            let (text, rest) = self.rest[quote.len()..].split_once(quote)?;
            self.rest = rest;
            return Some(text.into());
        }
        match self.rest.chars().next()? {
            quote @ ('"' | '\'') => self.text(quote),
            _ => self.scalar(),
        }
    }

    fn items(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while !self.sign(']') {
            items.push(self.value(depth + 1)?);
            if !self.sign(',') && !self.rest.trim_start().starts_with(']') {
                return None;
            }
        }
        Some(Value::Array(items))
    }

    fn fields(&mut self, depth: usize) -> Option<Value> {
        let mut fields = Map::new();
        while !self.sign('}') {
            let key = match self.rest.chars().next()? {
                '"' | '\'' | '<' => self.value(depth + 1)?.as_str()?.to_owned(),
                _ => self.word()?.to_owned(),
            };
            self.sign(':').then_some(())?;
            fields.insert(key, self.value(depth + 1)?);
            if !self.sign(',') && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
        Some(Value::Object(fields))
    }

    /// A text in quotes, with the escapes that Python and JSON share.
    fn text(&mut self, quote: char) -> Option<Value> {
        let triple: String = [quote; 3].iter().collect();
        let mark = if self.rest.starts_with(&triple) { triple } else { quote.to_string() };
        self.rest = &self.rest[mark.len()..];
        let mut out = String::new();
        while !self.rest.starts_with(&mark) {
            let mut letters = self.rest.chars();
            let letter = letters.next()?;
            if letter == '\\' {
                out.push(match letters.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => {
                        let digits = letters.as_str().get(..4)?;
                        letters = letters.as_str()[4..].chars();
                        char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                    }
                    other => other,
                });
            } else {
                out.push(letter);
            }
            self.rest = letters.as_str();
        }
        self.rest = &self.rest[mark.len()..];
        Some(out.into())
    }

    fn scalar(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ')', ']', '}', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let word = word.trim();
        Some(match word {
            "True" | "true" => true.into(),
            "False" | "false" => false.into(),
            "None" | "null" => Value::Null,
            _ => match serde_json::from_str::<Number>(word) {
                Ok(number) => Value::Number(number),
                // In braces a text may stand without quotes; in Python that is a variable.
                Err(_) if !self.python && !word.is_empty() => word.into(),
                Err(_) => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{dict_call, python_calls};

    #[test]
    fn calls_in_python_are_read() {
        let check = |text: &str, wanted: &[(&str, &str)]| {
            let calls = python_calls(text).unwrap_or_default();
            let found: Vec<_> =
                calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
            assert_eq!(found, wanted, "{text}");
        };
        check("f()", &[("f", "{}")]);
        check("[f(a=1), g(b='x\\'y')]", &[("f", r#"{"a":1}"#), ("g", r#"{"b":"x'y"}"#)]);
        check("print(f(a=[1, {'k': None}],))", &[("f", r#"{"a":[1,{"k":null}]}"#)]);
        check(
            "f(a=\"\"\"two\nlines\"\"\")\ng(b=True)",
            &[("f", r#"{"a":"two\nlines"}"#), ("g", r#"{"b":true}"#)],
        );
        check("search.call(query=\"x\")", &[("search", r#"{"query":"x"}"#)]);
        for wrong in ["", "f", "f(", "f(1)", "f(a=b)", "x = f(a=1)", "[f(a=1)", "f(a=1) and"] {
            check(wrong, &[]);
        }
    }

    #[test]
    fn calls_in_braces_are_read() {
        let check = |text: &str, wanted: Option<&str>| {
            let found = dict_call(text).map(|call| format!("{}{}", call.name, call.arguments));
            assert_eq!(found.as_deref(), wanted, "{text}");
        };
        check("call:f{}", Some("f{}"));
        check("call:f{a:<|\"|>x, {y}<|\"|>,b:-1.5}", Some(r#"f{"a":"x, {y}","b":-1.5}"#));
        check("call:f{a:{b:[true,null]}}", Some(r#"f{"a":{"b":[true,null]}}"#));
        check("call:f{a:<escape>x<escape>}", Some(r#"f{"a":"x"}"#));
        check("call:f{a:<|\"|>x}", None);
        check("f{}", None);
        check(&format!("call:f{{a:{}{}}}", "[".repeat(100), "]".repeat(100)), None);
    }
}
