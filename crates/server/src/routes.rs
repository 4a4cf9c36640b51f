//! The list of endpoints, and the router made from it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware;

use crate::limits::BODY_BYTES_MAX;
use crate::openai::Rejection;
use crate::{host, house, openai, origin};

/// What every handler is given.
pub(crate) struct House {
    pub(crate) app: app::App,
    pub(crate) model: app::LoadedModel,
    pub(crate) started_unix_s: u64,
}

/// A row: one endpoint, declared beside its handler.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) handler: fn() -> axum::routing::MethodRouter<Arc<House>>,
}

/// Sorted by path.
pub(crate) static ROUTES: &[Route] = &[
    house::root::ROUTE,
    house::health::ROUTE,
    house::status::ROUTE,
    openai::adapters::ROUTE,
    house::metrics::ROUTE,
    openai::chat::ROUTE,
    openai::completions::ROUTE,
    openai::embeddings::ROUTE,
    openai::models::ROUTE,
    openai::model::ROUTE,
    openai::rerank::ROUTE,
];

pub(crate) fn router(
    app: app::App,
    model: app::LoadedModel,
    (listen, origins): (IpAddr, origin::Named),
) -> Router {
    let house = Arc::new(House { app, model, started_unix_s: app::unix_time_s() });
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(async |uri: axum::http::Uri| {
            let list: Vec<String> =
                ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
            let message = format!("there is no {}; there is {}", uri.path(), list.join(", "));
            Rejection::not_found(message)
        })
        .method_not_allowed_fallback(async |method: Method, uri: axum::http::Uri| {
            Rejection::method(&method, uri.path())
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(origins, origin::check))
        .layer(middleware::from_fn_with_state(listen, host::check))
        .with_state(house)
}

#[cfg(test)]
mod tests {
    use super::ROUTES;

    #[test]
    fn rows_are_sorted_and_say_what_they_do() {
        let paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert!(paths.is_sorted(), "{paths:?}");
        assert!(ROUTES.iter().all(|route| route.summary.ends_with('.')));
    }
}
