//! `GET /`: a word for people and health checks that look there first.

use axum::http::Method;
use axum::routing::get;

use crate::routes::Route;

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/",
    summary: "Says that hob is running.",
    handler: || get(async || "hob is running\n"),
};
