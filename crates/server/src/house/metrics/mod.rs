//! `GET /metrics`: the house in Prometheus' text format, version 0.0.4.

mod rows;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/metrics",
    summary: "Counters, for Prometheus.",
    handler: || get(metrics),
};

/// The format's media type, to the letter.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(State(house): State<Arc<House>>) -> Response {
    ([(CONTENT_TYPE, TEXT)], text::write(rows::METRICS, &house.app.status())).into_response()
}
