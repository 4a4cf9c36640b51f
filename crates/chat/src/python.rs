//! What Jinja in Python can do and minijinja cannot, as far as chat templates and llama.cpp's tests
//! of them ask for it.

#![expect(clippy::needless_pass_by_value, reason = "the template engine passes arguments so")]

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};

use crate::keyed;

type Result<T> = std::result::Result<T, Error>;

/// Teaches an environment Python's manners.
pub(crate) fn teach(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    keyed::teach(environment);
    environment.add_filter("sort", sort);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("first", first);
    environment.add_filter("last", last);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("items", items);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", wordcount);
    environment.add_function("dict", dict);
    // Templates ask this of `tools`; in Python `none` cannot be iterated.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    // Python makes a new object each time something undefined is named.
    environment.add_test("sameas", |value: &Value, other: &Value| {
        !value.is_undefined() && tests::is_sameas(value, other)
    });
}

fn wrong(words: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, words.to_owned())
}

fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value> {
    if let (Some(text), "rsplit") = (value.as_str(), name) {
        return rsplit(text, args);
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value> {
    let splits_max = match args.get(1) {
        None => None,
        Some(value) => usize::try_from(i64::try_from(value.clone())?).ok(),
    };
    let pieces_max = splits_max.map_or(usize::MAX, |splits| splits.saturating_add(1));
    let mut pieces: Vec<&str> = match args.first().filter(|mark| !mark.is_none()) {
        None => text.rsplitn(pieces_max, char::is_whitespace).filter(|p| !p.is_empty()).collect(),
        Some(mark) => match mark.as_str() {
            Some(mark) if !mark.is_empty() => text.rsplitn(pieces_max, mark).collect(),
            _ => return Err(wrong("rsplit: the separator is a text that is not empty")),
        },
    };
    pieces.reverse();
    Ok(pieces.into_iter().map(Value::from).collect())
}

/// An attribute by a path such as `a.b`, `0` or `-1`.
fn attribute(value: &Value, path: &Value) -> Result<Value> {
    let Some(path) = path.as_str() else { return item(value, path) };
    path.split('.').try_fold(value.clone(), |value, part| match part.parse::<i64>() {
        Ok(index) => item(&value, &Value::from(index)),
        Err(_) => value.get_attr(part),
    })
}

fn item(value: &Value, key: &Value) -> Result<Value> {
    match (i64::try_from(key.clone()), value.len()) {
        (Ok(index), Some(len)) if index < 0 && value.kind() == ValueKind::Seq => {
            let index = i64::try_from(len).unwrap_or(i64::MAX) + index;
            value.get_item(&Value::from(index))
        }
        _ => value.get_item(key),
    }
}

fn list(value: &Value) -> Result<Vec<Value>> {
    if value.is_undefined() { Ok(Vec::new()) } else { Ok(value.try_iter()?.collect()) }
}

fn sort(value: &Value, reverse: Option<bool>, options: Kwargs) -> Result<Value> {
    let named: Option<bool> = options.get("reverse")?;
    let case: bool = options.get::<Option<bool>>("case_sensitive")?.unwrap_or(false);
    let path: Option<Value> = options.get("attribute")?;
    options.assert_all_used()?;
    let paths: Vec<Value> = match &path {
        None => Vec::new(),
        Some(path) => match path.as_str() {
            Some(text) => text.split(',').map(|part| Value::from(part.trim())).collect(),
            None => vec![path.clone()],
        },
    };
    let fold = |value: Value| match value.as_str() {
        Some(text) if !case => Value::from(text.to_lowercase()),
        _ => value,
    };
    let keyed = |value: Value| {
        let keys = if paths.is_empty() {
            vec![fold(value.clone())]
        } else {
            let keys = paths.iter().map(|path| Ok(fold(attribute(&value, path)?)));
            keys.collect::<Result<Vec<Value>>>()?
        };
        Ok((keys, value))
    };
    let mut items = list(value)?.into_iter().map(keyed).collect::<Result<Vec<_>>>()?;
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    if reverse.or(named).unwrap_or(false) {
        items.reverse();
    }
    Ok(items.into_iter().map(|(_, value)| value).collect())
}

fn join(value: &Value, between: Option<&str>, options: Kwargs) -> Result<String> {
    let between = match between {
        Some(between) => between.to_owned(),
        None => options.get::<Option<String>>("d")?.unwrap_or_default(),
    };
    let path: Option<Value> = options.get("attribute")?;
    options.assert_all_used()?;
    let text = |value: Value| match &path {
        Some(path) => Ok(attribute(&value, path)?.to_string()),
        None => Ok(value.to_string()),
    };
    let parts = list(value)?.into_iter().map(text).collect::<Result<Vec<String>>>()?;
    Ok(parts.join(&between))
}

/// Widest indentation.
const INDENT_MAX: usize = 1024;

fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String> {
    let width = width.or(options.get("width")?).unwrap_or_else(|| Value::from(4));
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let by = match width.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(usize::try_from(width)?.min(INDENT_MAX)),
    };
    let mut out = if first { by.clone() } else { String::new() };
    // A line break at the end opens one more line, which only `blank` shows.
    for (number, line) in text.split('\n').enumerate() {
        let is_last = number > 0 && line.is_empty() && text.split('\n').count() == number + 1;
        if is_last && !blank {
            break;
        }
        if number > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&by);
            }
        }
        out.push_str(line);
    }
    Ok(out)
}

fn first(value: &Value) -> Result<Value> {
    if value.is_undefined() { Ok(Value::UNDEFINED) } else { filters::first(value) }
}

fn last(value: Value) -> Result<Value> {
    if value.is_undefined() { Ok(Value::UNDEFINED) } else { filters::last(value) }
}

fn length(value: &Value) -> Result<usize> {
    if value.is_undefined() { Ok(0) } else { filters::length(value) }
}

fn items(value: &Value) -> Result<Value> {
    if value.is_undefined() { Ok(Value::from(Vec::<Value>::new())) } else { filters::items(value) }
}

fn truncate(value: &Value, len: Option<usize>, options: Kwargs) -> Result<String> {
    let len = len.or(options.get("length")?).unwrap_or(255);
    let kill: bool = options.get::<Option<bool>>("killwords")?.unwrap_or(false);
    let end: String = options.get::<Option<String>>("end")?.unwrap_or_else(|| "...".to_owned());
    let leeway: usize = options.get::<Option<usize>>("leeway")?.unwrap_or(5);
    options.assert_all_used()?;
    let text = if value.is_undefined() { String::new() } else { value.to_string() };
    if text.chars().count() <= len.saturating_add(leeway) {
        return Ok(text);
    }
    let kept: String = text.chars().take(len.saturating_sub(end.chars().count())).collect();
    let kept = if kill { &kept } else { kept.rsplit_once(' ').map_or(&*kept, |(kept, _)| kept) };
    Ok(format!("{kept}{end}"))
}

fn wordcount(value: &Value) -> usize {
    let text = if value.is_undefined() { String::new() } else { value.to_string() };
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.split(|letter| !word(letter)).filter(|word| !word.is_empty()).count()
}

/// Python's `dict`: from another, from pairs, from names.
fn dict(value: Option<Value>, more: Kwargs) -> Result<Value> {
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    if let Some(value) = value.filter(|value| !value.is_undefined()) {
        let is_map = value.kind() == ValueKind::Map;
        for entry in value.try_iter()? {
            pairs.push(if is_map {
                let found = value.get_item(&entry)?;
                (entry, found)
            } else {
                (entry.get_item_by_index(0)?, entry.get_item_by_index(1)?)
            });
        }
    }
    for name in more.args() {
        pairs.push((Value::from(name), more.get::<Value>(name)?));
    }
    Ok(keyed::dictionary(pairs))
}
