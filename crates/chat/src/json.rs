//! `tojson` as Hugging Face's templates know it: Python's `json.dumps`, with letters as they are.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};

/// How a value is written.
struct Style {
    indent: Option<usize>,
    /// Between items.
    comma: String,
    /// Between a key and its value.
    colon: String,
    sort_keys: bool,
    ensure_ascii: bool,
}

/// A value as Python's `json.dumps` writes it, unless told otherwise.
pub(crate) fn dumps(value: &serde_json::Value) -> String {
    let mut out = String::new();
    Style::default().write(value, 0, &mut out);
    out
}

impl Default for Style {
    fn default() -> Style {
        Style {
            indent: None,
            comma: ", ".to_owned(),
            colon: ": ".to_owned(),
            sort_keys: false,
            ensure_ascii: false,
        }
    }
}

/// The filter. Escaping for web pages, which Jinja's own does, would spoil a prompt.
#[expect(clippy::needless_pass_by_value, reason = "the template engine passes it so")]
pub(crate) fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let style = Style {
        indent: indent.map(|width| width.min(INDENT_MAX)),
        comma: if indent.is_some() { "," } else { ", " }.to_owned(),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        ..Style::default()
    };
    options.assert_all_used()?;
    let style = match separators.as_deref() {
        None => style,
        Some([comma, colon]) => Style { comma: comma.clone(), colon: colon.clone(), ..style },
        Some(_) => {
            let words = "separators are a pair of texts";
            return Err(Error::new(ErrorKind::InvalidOperation, words));
        }
    };
    let value = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let mut out = String::new();
    style.write(&value, 0, &mut out);
    // Not marked as safe: `tojson | e` escapes, there as here.
    Ok(Value::from(out))
}

/// Spaces of one level.
const INDENT_MAX: usize = 16;

impl Style {
    fn write(&self, value: &serde_json::Value, depth: usize, out: &mut String) {
        let mut items: Vec<(Option<&String>, &serde_json::Value)> = match value {
            serde_json::Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
            serde_json::Value::Object(fields) => {
                fields.iter().map(|(key, item)| (Some(key), item)).collect()
            }
            scalar => return self.scalar(&scalar.to_string(), out),
        };
        if self.sort_keys {
            items.sort_by_key(|(key, _)| *key);
        }
        let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
        out.push(open);
        for (index, (key, item)) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.comma);
            }
            self.new_line(depth + 1, out);
            if let Some(key) = key {
                self.scalar(&serde_json::Value::from(key.as_str()).to_string(), out);
                out.push_str(&self.colon);
            }
            self.write(item, depth + 1, out);
        }
        if !items.is_empty() {
            self.new_line(depth, out);
        }
        out.push(close);
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(width) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    }

    fn scalar(&self, json: &str, out: &mut String) {
        if !self.ensure_ascii {
            return out.push_str(json);
        }
        for letter in json.chars() {
            if letter.is_ascii() {
                out.push(letter);
                continue;
            }
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}
