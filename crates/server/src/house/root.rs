//! `GET /`: a word for people and health checks that look there first.

use axum::http::Method;
use axum::routing::get;

use crate::routes::{ROUTES, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/",
    summary: "Says that hob is running.",
    handler: || get(root),
};

async fn root() -> String {
    let line = |route: &Route| format!("{} {}: {}\n", route.method, route.path, route.summary);
    let list: String = ROUTES.iter().map(line).collect();
    format!("hob is running\n\n{list}")
}
