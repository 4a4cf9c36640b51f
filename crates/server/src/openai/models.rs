//! `GET /v1/models`: what is served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};

use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/v1/models",
    summary: "The models that are served.",
    handler: || get(models),
};

async fn models(State(house): State<Arc<House>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [describe(&house)] }))
}

/// A model in OpenAI's words, with the context under the two names that clients look for.
pub(crate) fn describe(house: &House) -> Value {
    let context_len = house.model.context_len();
    json!({
        "id": house.model.name(),
        "object": "model",
        "created": house.started_unix_s,
        "owned_by": "hob",
        "context_length": context_len,
        "max_model_len": context_len,
    })
}
