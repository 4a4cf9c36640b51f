//! `POST /v1/embeddings`: texts as vectors of length 1, as numbers or in base64.

use std::future::poll_fn;
use std::sync::Arc;

use app::{EmbedRequest, Passage, Retrieval, Retrieved};
use axum::extract::State;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{Fields, integer};
use super::{Rejection, models};
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v1/embeddings",
    summary: "Embeds texts.",
    handler: || post(embeddings),
};

async fn embeddings(
    State(house): State<Arc<House>>,
    fields: Fields,
) -> Result<Response, Rejection> {
    models::check(&fields, &house)?;
    let in_base64 = match fields.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("`encoding_format` is {other}: `float` or `base64` go");
            return Err(Rejection::invalid("encoding_format", message));
        }
    };
    // Every embedding here has length 1, and no model has one for each task.
    fields.refuse("normalize", |value| value.as_bool() == Some(true))?;
    fields.refuse("task", |_| false)?;
    fields.refuse("truncate_prompt_tokens", |_| false)?;
    let request = EmbedRequest {
        passages: passages(&fields)?,
        dimensions: fields.unsigned("dimensions")?,
        truncate: fields.flag("truncate")?.unwrap_or(false),
    };
    let model = house.model.clone();
    let retrieved = retrieved(move || model.embed(request)).await?;
    let model = house.model.name().to_owned();
    // Millions of numbers take their time too.
    let written = move || written(&retrieved, &model, in_base64);
    let body = tokio::task::spawn_blocking(written).await.map_err(|_| app::Error::ended_early())?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// A list of embeddings, as OpenAI has it.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Value,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Floats(&'a [f32]),
    Base64(String),
}

fn written(retrieved: &Retrieved, model: &str, in_base64: bool) -> Vec<u8> {
    let data = retrieved.values.iter().enumerate().map(|(index, values)| Item {
        object: "embedding",
        index,
        embedding: match in_base64 {
            true => Vector::Base64(base64(values)),
            false => Vector::Floats(values),
        },
    });
    let data = data.collect();
    let list = List { object: "list", data, model, usage: usage(retrieved) };
    serde_json::to_vec(&list).expect("numbers and texts")
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
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
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
    let id = |value: &Value| u32::try_from(integer(value)?).ok();
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
