//! `GET /v1/models/{id}`: one model; ids may hold slashes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::routing::get;
use serde_json::Value;

use super::{Rejection, adapters, models};
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/v1/models/{*id}",
    summary: "One model.",
    handler: || get(model),
};

async fn model(
    State(house): State<Arc<House>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Rejection> {
    if id != house.model.name() && !adapters::is_adapter(&id, &house) {
        return Err(models::not_found(&id, &house));
    }
    Ok(Json(models::describe(&id, &house)))
}
