//! How the calls of a request's tools are written, for a layer that holds a model to it.

use serde_json::{Map, Value, json};

use super::{Dialect, Form, HARMONY_FINAL};
use crate::parser::{Hold, Shape, Written, is_name, written_text};
use crate::tools::{Tool, Tools};
use crate::{Error, Result};

/// A part of how calls are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallPart {
    /// This text.
    Text(String),
    /// A marker: a control token where the vocabulary has one of this name, else its text.
    Marker(&'static str),
    /// The number of a call, from 0.
    Number,
    /// Arguments, or one of them, as JSON.
    Json {
        /// The tool whose they are.
        tool: String,
        /// Their schema, as JSON.
        schema: String,
    },
    /// Characters of any kind, and an end.
    Free {
        /// What does not stand among the characters.
        without: &'static str,
        /// What ends it, at the first place where it stands.
        end: String,
        /// Least number of characters.
        least: usize,
        /// Most characters.
        most: Option<usize>,
    },
    /// Words of the model's own.
    Words {
        /// What they do not begin with, white space aside.
        not_first: Vec<&'static str>,
        /// What does not stand among them.
        without: Vec<&'static str>,
        /// The marker that ends them; none where the answer ends with them.
        end: Option<&'static str>,
    },
    /// One of these rows.
    OneOf(Vec<Vec<CallPart>>),
    /// This row or nothing.
    Maybe(Vec<CallPart>),
    /// The first row once or more, with the second between.
    Several(Vec<CallPart>, Vec<CallPart>),
}

impl Dialect {
    /// How calls of these tools are written: of one of them, or of several in a row. `has_token`
    /// says whether the model's vocabulary has a token of this text: of several manners the model
    /// was taught the one that it has a marker for.
    ///
    /// # Errors
    /// A tool's name cannot be written, or its parameters are no object.
    pub fn calls(
        &'static self,
        tools: &Tools,
        several: bool,
        has_token: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<CallPart>> {
        let form = self.form(has_token);
        let single = tools.iter().count() == 1;
        let one = |tool: &Tool| self.call(form, tool, several);
        let mut each = tools.iter().map(one).collect::<Result<Vec<Vec<CallPart>>>>()?;
        let mut out = self.split(form.open);
        let each = if single { each.remove(0) } else { vec![CallPart::OneOf(each)] };
        match form.between.filter(|_| several) {
            Some(between) => out.push(CallPart::Several(each, self.split(between))),
            None => out.extend(each),
        }
        out.extend(self.split(form.close));
        Ok(joined(out))
    }

    /// An answer in which every call is written so, and else are words as the model likes; and how
    /// it is read. Calls come behind words where nothing but a call begins so.
    ///
    /// # Errors
    /// See [`Dialect::calls`].
    pub fn calls_or_words(
        &'static self,
        tools: &Tools,
        several: bool,
        prompt: &str,
        has_token: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<CallPart>, Hold)> {
        let calls = self.calls(tools, several, has_token)?;
        let (not_first, without) = (self.first_words(), self.call_words());
        if self.channels {
            let mut words = self.before_words(prompt);
            let (not_first, without) = (Vec::new(), Vec::new());
            words.push(CallPart::Words { not_first, without, end: None });
            return Ok((vec![CallPart::OneOf(vec![calls, words])], Hold::CallsOrWords));
        }
        let behind = after_marker(&calls).filter(|_| self.form(has_token).marked);
        let Some((marker, rest)) = behind else {
            let words = vec![CallPart::Words { not_first, without: Vec::new(), end: None }];
            let either = CallPart::OneOf(vec![calls, words]);
            return Ok((vec![CallPart::Maybe(vec![either])], Hold::CallsOrWords));
        };
        let words =
            |end| CallPart::Words { not_first: not_first.clone(), without: without.clone(), end };
        let mut calling = vec![words(Some(marker))];
        calling.extend(rest);
        let either = CallPart::OneOf(vec![calling, vec![words(None)]]);
        Ok((vec![CallPart::Maybe(vec![either])], Hold::CallsAfterWords))
    }

    /// What a reader takes for a marker wherever it stands.
    fn call_words(&self) -> Vec<&'static str> {
        let starts = self.calls.iter().map(|form| form.start);
        let wrappers = self.wrappers.iter().flat_map(|(before, after)| [*before, *after]);
        starts.chain(wrappers).filter(|word| !word.is_empty()).collect()
    }

    /// What a reader takes for something else than words where an answer begins so.
    fn first_words(&self) -> Vec<&'static str> {
        let mut out = self.call_words();
        out.extend(self.reasoning.iter().map(|tag| tag.open));
        out.extend(self.dropped);
        if self.calls.iter().any(|form| form.start.is_empty()) {
            out.extend(["{", "["]);
        }
        out
    }

    /// A call as text, where its arguments stand as JSON.
    pub(crate) fn written(&'static self, name: &str, arguments: &str) -> Option<String> {
        let form = &self.calls[0];
        let before = form.before.replace("{name}", name).replace("{number}", "0");
        form.shape
            .is_json()
            .then(|| format!("{}{before}{arguments}{}{}", form.open, form.after, form.close))
    }

    /// What stands before an answer of words to this prompt.
    #[must_use]
    pub fn before_words(&'static self, prompt: &str) -> Vec<CallPart> {
        if self.channels && !prompt.ends_with(HARMONY_FINAL) {
            self.split(HARMONY_FINAL)
        } else {
            Vec::new()
        }
    }

    /// The form that a model with these tokens writes.
    fn form(&'static self, has_token: &dyn Fn(&str) -> bool) -> &'static Form {
        let first = &self.calls[0];
        let known = |form: &&Form| form.marked && form.shape.is_held() && has_token(form.start);
        if first.start.is_empty() || has_token(first.start) {
            return first;
        }
        self.calls.iter().find(known).unwrap_or(first)
    }

    fn call(&'static self, form: &Form, tool: &Tool, several: bool) -> Result<Vec<CallPart>> {
        let Tool { name, .. } = tool;
        if !is_name(name) {
            let what =
                format!("have one named {name:?}: letters, digits and `_-.:/` can be called");
            return Err(Error::Tools(what));
        }
        let schema = parameters(tool)?;
        let before = form.before.replace("{name}", name);
        let mut out = Vec::new();
        let mut texts = before.split("{number}");
        out.extend(texts.next().into_iter().flat_map(|text| self.split(text)));
        for text in texts {
            out.push(if several { CallPart::Number } else { CallPart::Text("0".to_owned()) });
            out.extend(self.split(text));
        }
        if form.shape.is_json() {
            let schema = Value::Object(schema).to_string();
            out.push(CallPart::Json { tool: name.clone(), schema });
        } else {
            out.extend(self.parameters(form, name, &schema)?);
        }
        out.extend(self.split(form.after));
        Ok(joined(out))
    }

    /// Arguments in tags, in the schema's order.
    fn parameters(
        &'static self,
        form: &Form,
        tool: &str,
        schema: &Map<String, Value>,
    ) -> Result<Vec<CallPart>> {
        let (open, middle, close) = match form.shape {
            Shape::KeysAndValues => ("<arg_key>", "</arg_key>\n<arg_value>", ("", "</arg_value>")),
            _ => ("<parameter=", ">\n", ("\n", "</parameter>")),
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |key: &str| required.is_some_and(|keys| keys.iter().any(|it| it == key));
        let mut out = Vec::new();
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        if let Some(missing) = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|key| !properties.contains_key(*key))
        {
            let what = format!("cannot be called: `{tool}` requires `{missing}` and lacks it");
            return Err(Error::Tools(what));
        }
        for (key, value) in properties {
            if key.trim() != key || key.is_empty() || key.contains(['<', '>', '\n']) {
                return Err(Error::Tools(format!("have a parameter {key:?}, which is no name")));
            }
            let mut parts = self.split(open);
            parts.push(CallPart::Text(key.clone()));
            parts.extend(self.split(middle));
            parts.extend(self.value((tool, key), (schema, value), close)?);
            parts.push(CallPart::Text("\n".to_owned()));
            if is_required(key) {
                out.extend(parts);
            } else {
                out.push(CallPart::Maybe(joined(parts)));
            }
        }
        Ok(out)
    }

    /// A value and its closing tag.
    fn value(
        &'static self,
        (tool, key): (&str, &str),
        (root, schema): (&Map<String, Value>, &Value),
        (space, close): (&'static str, &'static str),
    ) -> Result<Vec<CallPart>> {
        let closed = |mut parts: Vec<CallPart>| {
            parts.push(CallPart::Text(space.to_owned()));
            parts.extend(self.split(close));
            parts
        };
        let wrong =
            |why: &str| Err(Error::Tools(format!("cannot be held: `{key}` of `{tool}` {why}")));
        Ok(match written_text(root, schema) {
            Written::Json => {
                let schema = within(root, schema).to_string();
                closed(vec![CallPart::Json { tool: tool.to_owned(), schema }])
            }
            Written::OneOf(texts) => {
                if texts.iter().any(|text| text.contains(close)) {
                    return wrong(&format!("may have {close} in it"));
                }
                let row = |text: &String| vec![CallPart::Text(text.clone())];
                closed(vec![CallPart::OneOf(texts.iter().map(row).collect())])
            }
            Written::Free { least: 0, most: None } => {
                vec![CallPart::Free { without: close, end: close.to_owned(), least: 0, most: None }]
            }
            Written::Free { least, most } => {
                let end = format!("{space}{close}");
                vec![CallPart::Free { without: close, end, least, most }]
            }
            Written::Ruled(keyword) => {
                return wrong(&format!(
                    "has the keyword `{keyword}`, which this model's manner of calling cannot be \
                     held to: leave it out"
                ));
            }
        })
    }

    /// A text with its markers told apart.
    fn split(&'static self, text: &str) -> Vec<CallPart> {
        let markers = self.markers();
        let mut out = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let first = markers
                .iter()
                .filter_map(|marker| Some((rest.find(marker)?, marker)))
                .min_by_key(|(at, marker)| (*at, usize::MAX - marker.len()));
            let Some((at, marker)) = first else { break };
            if at > 0 {
                out.push(CallPart::Text(rest[..at].to_owned()));
            }
            out.push(CallPart::Marker(marker));
            rest = &rest[at + marker.len()..];
        }
        if !rest.is_empty() {
            out.push(CallPart::Text(rest.to_owned()));
        }
        out
    }
}

/// What a row begins with that leaves no choice, and the rest of it. White space before a choice
/// stays there: a token may hold both.
#[must_use]
pub fn beginning(parts: &[CallPart]) -> (String, Vec<CallPart>) {
    let mut said = String::new();
    let mut rest = parts.iter();
    for part in rest.by_ref() {
        match part {
            CallPart::Text(text) => said.push_str(text),
            CallPart::Marker(marker) => said.push_str(marker),
            CallPart::Number
            | CallPart::Json { .. }
            | CallPart::Free { .. }
            | CallPart::Words { .. }
            | CallPart::OneOf(_)
            | CallPart::Maybe(_)
            | CallPart::Several(..) => {
                let space = said.split_off(said.trim_end().len());
                let mut left = vec![CallPart::Text(space), part.clone()];
                left.extend(rest.cloned());
                return (said, joined(left));
            }
        }
    }
    (said, Vec::new())
}

/// The marker that a row begins with, whatever is chosen in it, and what follows.
fn after_marker(parts: &[CallPart]) -> Option<(&'static str, Vec<CallPart>)> {
    let (first, rest) = parts.split_first()?;
    let (marker, mut out) = match first {
        CallPart::Marker(marker) => (*marker, Vec::new()),
        CallPart::OneOf(rows) => {
            let rows = rows.iter().map(|row| after_marker(row)).collect::<Option<Vec<_>>>()?;
            let marker = rows.first()?.0;
            let same = rows.iter().all(|(other, _)| *other == marker);
            let rows = rows.into_iter().map(|(_, row)| row).collect();
            same.then(|| (marker, vec![CallPart::OneOf(rows)]))?
        }
        CallPart::Several(item, between) => {
            let (marker, mut first) = after_marker(item)?;
            let mut more = between.clone();
            more.push(CallPart::Several(item.clone(), between.clone()));
            first.push(CallPart::Maybe(more));
            (marker, first)
        }
        CallPart::Text(_)
        | CallPart::Number
        | CallPart::Json { .. }
        | CallPart::Free { .. }
        | CallPart::Words { .. }
        | CallPart::Maybe(_) => return None,
    };
    out.extend(rest.iter().cloned());
    Some((marker, joined(out)))
}

/// Texts beside each other made one, and empty ones left out.
fn joined(parts: Vec<CallPart>) -> Vec<CallPart> {
    let mut out: Vec<CallPart> = Vec::with_capacity(parts.len());
    for part in parts {
        match (out.last_mut(), part) {
            (_, CallPart::Text(text)) if text.is_empty() => {}
            (Some(CallPart::Text(before)), CallPart::Text(text)) => before.push_str(&text),
            (_, part) => out.push(part),
        }
    }
    out
}

/// The schema of a tool's arguments, which are an object.
fn parameters(tool: &Tool) -> Result<Map<String, Value>> {
    let wrong =
        || Error::Tools(format!("cannot be called: `parameters` of `{}` is no object", tool.name));
    let mut schema = match &tool.parameters {
        Value::Null => {
            let none = json!({ "properties": {}, "additionalProperties": false });
            none.as_object().cloned().unwrap_or_default()
        }
        Value::Object(schema) => schema.clone(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(wrong());
        }
    };
    match schema.get("type") {
        None => {
            schema.insert("type".to_owned(), "object".into());
        }
        Some(kind) if kind == "object" => {}
        Some(_) => return Err(wrong()),
    }
    Ok(schema)
}

/// A property's schema with what its references point to.
fn within(root: &Map<String, Value>, property: &Value) -> Value {
    let mut property = property.clone();
    if let Value::Object(schema) = &mut property {
        for key in ["$defs", "definitions"] {
            if let Some(definitions) = root.get(key) {
                schema.entry(key).or_insert_with(|| definitions.clone());
            }
        }
    }
    property
}
