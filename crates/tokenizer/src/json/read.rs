//! Reading JSON with the place of what is wrong in the error.

use serde_json::{Map, Value};

use crate::limits::{DEPTH_MAX, STEPS_MAX};
use crate::{Error, Result};

/// A value and where it stands.
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Node<'a> {
        Node { value, path: String::new() }
    }

    /// A part by its key; null where it is missing.
    pub(super) fn part(&self, key: &str) -> Node<'a> {
        let value = self.value.get(key).unwrap_or(&Value::Null);
        let dot = if self.path.is_empty() { "" } else { "." };
        Node { value, path: format!("{}{dot}{key}", self.path) }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// What is wrong here.
    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::Json(format!("`{}` {what}", self.path))
    }

    pub(super) fn str(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("must be a string"))
    }

    /// True or false, or `or` where there is nothing.
    pub(super) fn flag(&self, or: bool) -> Result<bool> {
        if self.is_null() {
            return Ok(or);
        }
        self.value.as_bool().ok_or_else(|| self.wrong("must be true or false"))
    }

    pub(super) fn id(&self) -> Result<u32> {
        let id = self.value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.wrong("must be a token's number"))
    }

    pub(super) fn list(&self) -> Result<&'a [Value]> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("must be a list"))?;
        Ok(list)
    }

    pub(super) fn map(&self) -> Result<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.wrong("must be an object"))
    }

    /// Refuses what is set and not supported.
    pub(super) fn must_be_unset(&self) -> Result<()> {
        let unset = match self.value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
        };
        if unset { Ok(()) } else { Err(self.wrong("is not supported")) }
    }

    /// The type of a step.
    pub(super) fn kind(&self) -> Result<&'a str> {
        self.part("type").str()
    }

    /// That a step of this type is not supported.
    pub(super) fn unknown_kind(&self, kind: &str) -> Error {
        Error::Json(format!("the {} `{kind}` is not supported", self.path))
    }

    /// A step, or those of a sequence under `key`, in order.
    pub(super) fn steps(&self, key: &str) -> Result<Vec<Node<'a>>> {
        let mut steps = Vec::new();
        self.collect(key, 0, &mut steps)?;
        Ok(steps)
    }

    fn collect(&self, key: &str, depth: usize, steps: &mut Vec<Node<'a>>) -> Result<()> {
        if self.is_null() {
            return Ok(());
        }
        if self.kind()? != "Sequence" {
            if steps.len() == STEPS_MAX {
                return Err(self.wrong(&format!("has more than {STEPS_MAX} steps")));
            }
            steps.push(Node { value: self.value, path: self.path.clone() });
            return Ok(());
        }
        if depth == DEPTH_MAX {
            return Err(self.wrong(&format!("is nested more than {DEPTH_MAX} deep")));
        }
        for value in self.part(key).list()? {
            Node { value, path: self.path.clone() }.collect(key, depth + 1, steps)?;
        }
        Ok(())
    }
}
