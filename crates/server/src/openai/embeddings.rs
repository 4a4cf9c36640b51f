//! `POST /v1/embeddings`: texts as vectors of length 1, as numbers or in base64.

use std::future::poll_fn;
use std::sync::Arc;

use app::{EmbedRequest, Passage, Retrieval, Retrieved};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::routing::post;
use serde_json::{Value, json};

use super::Rejection;
use super::chat::check_model;
use super::fields::Fields;
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v1/embeddings",
    summary: "Embeds texts.",
    handler: || post(embeddings),
};

async fn embeddings(
    State(house): State<Arc<House>>,
    body: Bytes,
) -> Result<Json<Value>, Rejection> {
    let fields = Fields::parse(&body)?;
    check_model(&fields, &house)?;
    let written = match fields.text("encoding_format")? {
        None | Some("float") => |vector: &[f32]| json!(vector),
        Some("base64") => |vector: &[f32]| Value::String(base64(vector)),
        Some(other) => {
            let message = format!("`encoding_format` is {other}: `float` or `base64` go");
            return Err(Rejection::invalid("encoding_format", message));
        }
    };
    let request = EmbedRequest {
        passages: passages(&fields)?,
        dimensions: fields.unsigned("dimensions")?,
        truncate: fields.flag("truncate")?.unwrap_or(false),
    };
    let model = house.model.clone();
    let retrieved = retrieved(move || model.embed(request)).await?;
    let data = retrieved.values.iter().enumerate().map(|(index, vector)| {
        json!({ "object": "embedding", "index": index, "embedding": written(vector) })
    });
    Ok(Json(json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": house.model.name(),
        "usage": usage(&retrieved),
    })))
}

/// Starts a request off the runtime, as texts may be long, and waits. Dropping the future gives it
/// up.
pub(crate) async fn retrieved(
    start: impl FnOnce() -> app::Result<Retrieval> + Send + 'static,
) -> Result<Retrieved, Rejection> {
    let started = tokio::task::spawn_blocking(start).await;
    let mut retrieval = started.map_err(|_| Rejection::from(app::Error::ended_early()))??;
    Ok(poll_fn(|context| retrieval.poll(context)).await?)
}

pub(crate) fn usage(of: &Retrieved) -> Value {
    json!({
        "prompt_tokens": of.prompt_tokens,
        "total_tokens": of.prompt_tokens,
        // Beside the standard's fields; its clients keep what they do not know.
        "hob": {
            "energy_joules": of.energy.joules,
            "energy_basis": of.energy.basis.name(),
        },
    })
}

/// A text, token ids, or a list of either.
fn passages(fields: &Fields) -> Result<Vec<Passage>, Rejection> {
    let wrong = || {
        let what = "`input` must be a text, a list of texts, or token ids, or a list of those";
        Rejection::invalid("input", what.to_owned())
    };
    let text = |text: &str| Passage::Text(text.to_owned());
    match fields.get("input").ok_or_else(wrong)? {
        Value::String(one) => Ok(vec![text(one)]),
        Value::Array(items) if items.first().is_some_and(Value::is_u64) => {
            Ok(vec![tokens(items).ok_or_else(wrong)?])
        }
        Value::Array(items) => {
            let passage = |item: &Value| match item {
                Value::String(one) => Some(text(one)),
                Value::Array(ids) => tokens(ids),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            };
            items.iter().map(passage).collect::<Option<_>>().ok_or_else(wrong)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

fn tokens(ids: &[Value]) -> Option<Passage> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Some(Passage::Tokens(ids.iter().map(id).collect::<Option<_>>()?))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Values as little-endian f32 in base64 with padding. Source: RFC 4648, section 4.
fn base64(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_python() {
        // base64.b64encode(struct.pack("<2f", 1.5, -0.1)), and of fewer
        assert_eq!(base64(&[1.5, -0.1]), "AADAP83MzL0=");
        assert_eq!(base64(&[1.5]), "AADAPw==");
        assert_eq!(base64(&[0.0, 1.0, 2.0]), "AAAAAAAAgD8AAABA");
        assert_eq!(base64(&[]), "");
    }
}
