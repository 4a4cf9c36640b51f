//! `GET /v1/models`: what is served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};

use super::Rejection;
use super::fields::Fields;
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/v1/models",
    summary: "The models that are served.",
    handler: || get(models),
};

async fn models(State(house): State<Arc<House>>) -> Json<Value> {
    let adapters = house.model.adapters().iter().map(|adapter| &*adapter.name);
    let names = std::iter::once(house.model.name()).chain(adapters);
    let data: Vec<Value> = names.map(|name| describe(name, &house)).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// The model, or an adapter as a model of its own, in OpenAI's words, with the context under the
/// two names that clients look for.
pub(crate) fn describe(name: &str, house: &House) -> Value {
    let context_len = house.model.context_len();
    let mut value = json!({
        "id": name,
        "object": "model",
        "created": house.started_unix_s,
        "owned_by": "hob",
        "context_length": context_len,
        "max_model_len": context_len,
    });
    if name != house.model.name() {
        value["parent"] = house.model.name().into();
    }
    value
}

/// Says what is served instead.
pub(crate) fn not_found(asked: &str, house: &House) -> Rejection {
    let adapters = house.model.adapters().iter().map(|adapter| &*adapter.name);
    let names: Vec<&str> = std::iter::once(house.model.name()).chain(adapters).collect();
    Rejection::model_not_found(asked, &names.join(", "))
}

/// A request for another model than the served one is refused, never answered by a stand-in.
pub(crate) fn check(fields: &Fields, house: &House) -> Result<(), Rejection> {
    match fields.text("model")? {
        Some(asked) if asked != house.model.name() => Err(not_found(asked, house)),
        _ => Ok(()),
    }
}
