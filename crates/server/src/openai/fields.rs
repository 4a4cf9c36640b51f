//! Reads a JSON body as clients really send it: null means unset, `8.0` is an integer, unknown
//! fields are passed over, and a wrong type is refused with its name.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::Rejection;
use crate::limits::BODY_BYTES_MAX;

/// The fields of a request.
pub(crate) struct Fields(Map<String, Value>);

/// Reads the body whatever its content type says, as clients often mislabel it.
impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &S) -> Result<Fields, Rejection> {
        let refused = |cause: BytesRejection| match cause.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                let most = BODY_BYTES_MAX >> 20;
                let message = format!("the body is larger than {most} MiB: send less");
                Rejection::not_taken(status, message)
            }
            status => Rejection::not_taken(status, cause.body_text()),
        };
        let body = Bytes::from_request(request, state).await;
        Fields::parse(&body.map_err(refused)?)
    }
}

impl Fields {
    pub(crate) fn parse(body: &Bytes) -> Result<Fields, Rejection> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(Rejection::invalid("", "the body must be a JSON object".to_owned())),
            Err(error) => {
                Err(Rejection::invalid("", format!("the body is not valid JSON: {error}")))
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Rejection> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Rejection> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, Rejection> {
        self.typed(name, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    pub(crate) fn unsigned(&self, name: &str) -> Result<Option<u32>, Rejection> {
        let wanted = "a whole number, 0 or more";
        self.typed(name, wanted, |value| integer(value).and_then(|n| u32::try_from(n).ok()))
    }

    pub(crate) fn signed(&self, name: &str) -> Result<Option<i64>, Rejection> {
        self.typed(name, "a whole number", integer)
    }

    /// A string, or a list of strings.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Rejection> {
        let wanted = "a string or a list of strings";
        let read = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        Ok(self.typed(name, wanted, read)?.unwrap_or_default())
    }

    /// Refuses a field that would change the answer and cannot be honoured here.
    pub(crate) fn refuse(
        &self,
        name: &str,
        harmless: impl FnOnce(&Value) -> bool,
    ) -> Result<(), Rejection> {
        match self.get(name) {
            Some(value) if !harmless(value) => {
                let message =
                    format!("`{name}` is not supported by this version of hob: leave it out");
                Err(Rejection::invalid(name, message))
            }
            _ => Ok(()),
        }
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Rejection> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || Rejection::invalid(name, format!("`{name}` must be {wanted}"));
        read(value).map(Some).ok_or_else(wrong)
    }
}

/// An integer, also one that a client wrote as a float.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT)?;
        Some(number as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Fields};

    fn fields(text: &'static str) -> Fields {
        Fields::parse(&Bytes::from_static(text.as_bytes())).expect("an object")
    }

    #[test]
    fn null_is_unset_and_integral_floats_are_integers() {
        let fields = fields(r#"{"a": null, "b": 8.0, "c": 3, "d": "x", "e": ["x", "y"]}"#);
        assert_eq!(fields.unsigned("a").expect("unset"), None);
        assert_eq!(fields.unsigned("b").expect("8"), Some(8));
        assert_eq!(fields.float("c").expect("3"), Some(3.0));
        assert_eq!(fields.texts("d").expect("x"), ["x"]);
        assert_eq!(fields.texts("e").expect("x y"), ["x", "y"]);
    }

    #[test]
    fn a_wrong_type_is_refused_by_name() {
        let fields = fields(r#"{"a": -1, "b": 1.5, "c": "yes"}"#);
        for (name, result) in [
            ("a", fields.unsigned("a").err()),
            ("b", fields.unsigned("b").err()),
            ("c", fields.flag("c").map(|_| None::<u32>).err()),
        ] {
            let body = result.expect("refused").body();
            assert_eq!(body["error"]["param"], name);
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in ["", "[1]", "{", "\u{7f}"] {
            assert!(Fields::parse(&Bytes::copy_from_slice(body.as_bytes())).is_err(), "{body}");
        }
    }
}
