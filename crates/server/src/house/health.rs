//! `GET /health`: whether requests are being answered, and how many wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};

use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/health",
    summary: "Status, model and load.",
    handler: || get(health),
};

async fn health(State(house): State<Arc<House>>) -> Json<Value> {
    let model = house.model.name();
    let stats = house.model.status().stats;
    let (waiting, running) = (stats.waiting, stats.running);
    Json(json!({ "status": "ok", "model": model, "waiting": waiting, "running": running }))
}
