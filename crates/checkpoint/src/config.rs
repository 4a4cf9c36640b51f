//! `config.json`: fields of known types, within bounds.

use serde_json::{Map, Value};

use crate::error::{Told, shown, shown_message};

/// The fields of a configuration, or of a part of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    fields: Map<String, Value>,
}

impl Config {
    pub(crate) fn parse(text: &[u8]) -> Told<Config> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(Config { fields }),
            Ok(_) => Err("it is no list of fields".to_owned()),
            Err(error) => Err(shown_message(&error)),
        }
    }

    /// A field; none where it is absent or null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// Whether it says anything about this.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether the field is there, be it null.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Whether fields other than these are there.
    pub(crate) fn has_others(&self, than: &[&str]) -> bool {
        self.fields.keys().any(|key| !than.contains(&key.as_str()))
    }

    /// Refuses a model that says something else of itself here than what hob does.
    pub(crate) fn must(&self, is_so: bool, key: &str, architecture: &str) -> Told<()> {
        let refused = || {
            let found = self.fields.get(key).map(|value| shown(&value.to_string()));
            let found = found.as_deref().unwrap_or("not there");
            format!("{key} is {found}: hob does not run such a {architecture}")
        };
        is_so.then_some(()).ok_or_else(refused)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Told<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let found = || shown(&value.to_string());
        read(value).map(Some).ok_or_else(|| format!("{key} is {}, and {wanted} is wanted", found()))
    }

    /// A whole number up to `max`.
    pub(crate) fn whole(&self, key: &str, max: u64) -> Told<Option<u64>> {
        let wanted = format!("a whole number up to {max}");
        self.typed(key, &wanted, |value| value.as_u64().filter(|number| *number <= max))
    }

    /// One that must be there.
    pub(crate) fn need(&self, key: &str, max: u64) -> Told<u64> {
        self.whole(key, max)?.ok_or_else(|| format!("{key} is missing"))
    }

    pub(crate) fn float(&self, key: &str) -> Told<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn need_float(&self, key: &str) -> Told<f64> {
        self.float(key)?.ok_or_else(|| format!("{key} is missing"))
    }

    pub(crate) fn text(&self, key: &str) -> Told<Option<&str>> {
        self.typed(key, "a text", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Told<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn texts(&self, key: &str) -> Told<Option<Vec<&str>>> {
        self.typed(key, "a list of texts", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    pub(crate) fn wholes(&self, key: &str) -> Told<Option<Vec<u64>>> {
        self.typed(key, "a list of whole numbers", |value| {
            value.as_array()?.iter().map(Value::as_u64).collect()
        })
    }

    pub(crate) fn floats(&self, key: &str) -> Told<Option<Vec<f64>>> {
        self.typed(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    /// A part with fields of its own; an empty one where it is absent.
    pub(crate) fn part(&self, key: &str) -> Told<Config> {
        let fields = self.typed(key, "a list of fields", Value::as_object)?;
        Ok(Config { fields: fields.cloned().unwrap_or_default() })
    }

    /// Fields of a list of parts.
    pub(crate) fn parts(&self, key: &str) -> Told<Vec<Config>> {
        let parts = self.typed(key, "a list", |value| {
            let part = |part: &Value| Some(Config { fields: part.as_object()?.clone() });
            value.as_array()?.iter().map(part).collect()
        })?;
        Ok(parts.unwrap_or_default())
    }

    /// Ids of tokens: one, or a list of them.
    pub(crate) fn ids(&self, key: &str) -> Told<Vec<u32>> {
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let read = |value: &Value| match value.as_array() {
            Some(several) => several.iter().map(id).collect(),
            None => id(value).map(|one| vec![one]),
        };
        Ok(self.typed(key, "the id of a token or a list of them", read)?.unwrap_or_default())
    }

    /// A special token: its text, or a field `content` with it.
    pub(crate) fn token(&self, key: &str) -> Option<&str> {
        let value = self.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    /// A text, where the field may also be of another kind.
    pub(crate) fn maybe_text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The names of all fields.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Puts a list of one text in a field.
    pub(crate) fn replace(&mut self, key: &str, text: &str) {
        self.fields.insert(key.to_owned(), Value::from(vec![text]));
    }

    /// Takes over a field of another configuration, where it has it.
    pub(crate) fn take(&mut self, from: &Config, key: &str) {
        if let Some(value) = from.fields.get(key) {
            self.fields.insert(key.to_owned(), value.clone());
        }
    }

    /// Adds fields that are not there.
    pub(crate) fn complete(&mut self, more: &Config, keys: &[(&str, &str)]) {
        for (key, theirs) in keys {
            if let (false, Some(value)) = (self.has(key), more.get(theirs)) {
                self.fields.insert((*key).to_owned(), value.clone());
            }
        }
    }
}
