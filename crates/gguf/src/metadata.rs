//! Metadata: keys in order of the file, with typed access that names the key when it fails.

use crate::{Array, Error, Result, Strings, Value};

/// The key-value pairs of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// No entries.
    #[must_use]
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// Adds or replaces an entry.
    pub fn insert(&mut self, key: &str, value: Value) {
        match self.entries.iter_mut().find(|(known, _)| known == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    /// Takes an entry out, where it is there.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(known, _)| known != key);
    }

    /// Adds an entry whose key the caller knows to be new: no search.
    pub(crate) fn push_new(&mut self, key: String, value: Value) {
        self.entries.push((key, value));
    }

    /// A value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Every entry in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A whole number of any width.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none, or negative.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number", |value| match value {
            Value::U8(v) => Some(u64::from(*v)),
            Value::U16(v) => Some(u64::from(*v)),
            Value::U32(v) => Some(u64::from(*v)),
            Value::U64(v) => Some(*v),
            Value::I8(v) => u64::try_from(*v).ok(),
            Value::I16(v) => u64::try_from(*v).ok(),
            Value::I32(v) => u64::try_from(*v).ok(),
            Value::I64(v) => u64::try_from(*v).ok(),
            _ => None,
        })
    }

    /// A whole number below 2^32.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.u64(key)? else { return Ok(None) };
        let wrong = || self.wrong(key, "a whole number below 2^32");
        u32::try_from(value).map(Some).map_err(|_| wrong())
    }

    /// [`Metadata::u32`] of a key that must be there.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] when it is not.
    pub fn u32_required(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| Error::KeyMissing(key.to_owned()))
    }

    /// A float.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |value| match value {
            Value::F32(v) => Some(*v),
            Value::F64(v) => Some(*v as f32),
            _ => None,
        })
    }

    /// [`Metadata::f32`] of a key that must be there.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] when it is not.
    pub fn f32_required(&self, key: &str) -> Result<f32> {
        self.f32(key)?.ok_or_else(|| Error::KeyMissing(key.to_owned()))
    }

    /// True or false.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is neither.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(v) => Some(*v),
            _ => None,
        })
    }

    /// Text.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(v) => Some(v.as_str()),
            _ => None,
        })
    }

    /// [`Metadata::str`] of a key that must be there.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] when it is not.
    pub fn str_required(&self, key: &str) -> Result<&str> {
        self.str(key)?.ok_or_else(|| Error::KeyMissing(key.to_owned()))
    }

    /// Texts.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::String(v)) => Some(v),
            _ => None,
        })
    }

    /// Floats.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn f32s(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "an array of 32-bit floats", |value| match value {
            Value::Array(Array::F32(v)) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// Whole numbers of 32 bits, signed or not.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.typed(key, "an array of whole numbers", |value| match value {
            Value::Array(Array::I32(v)) => Some(v.clone()),
            Value::Array(Array::U32(v)) => {
                v.iter().map(|number| i32::try_from(*number).ok()).collect()
            }
            _ => None,
        })
    }

    /// Truths.
    ///
    /// # Errors
    /// [`Error::KeyType`] when it is none.
    pub fn bools(&self, key: &str) -> Result<Option<&[bool]>> {
        self.typed(key, "an array of truths", |value| match value {
            Value::Array(Array::Bool(v)) => Some(v.as_slice()),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, wanted))
    }

    fn wrong(&self, key: &str, wanted: &'static str) -> Error {
        let found = self.get(key).map_or("missing", Value::kind);
        Error::KeyType { key: key.to_owned(), found, wanted }
    }
}
