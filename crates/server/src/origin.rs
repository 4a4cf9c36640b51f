//! Which web pages may talk to hob: a browser says where a page comes from. Pages of this machine
//! may, and those that were named; any other site a person happens to look at may not, not even
//! send a request whose answer it cannot read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::host::is_local;
use crate::openai::Rejection;

/// Schemes of programs on this machine that show pages: desktop shells, editors.
const LOCAL_SCHEMES: [&str; 5] = ["app", "file", "tauri", "vscode-file", "vscode-webview"];
/// Names by which this machine reaches itself.
const LOCAL_HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"];

/// Asked and answered by browsers where a page of the network reaches into this machine.
const ASKS_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Origins that were named, such as `https://chat.office.example`.
pub(crate) type Named = Arc<[String]>;

/// Lets through what no page sends, and what pages of known origins do.
pub(crate) async fn check(State(named): State<Named>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(ORIGIN).cloned() else { return next.run(request).await };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !origin.to_str().is_ok_and(|origin| is_known(origin, host, &named)) {
        let shown: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(100).collect();
        return Rejection::forbidden(format!(
            "pages of `{shown}` may not talk to this hob: start it with --allow-origin {shown} if \
             they should"
        ))
        .into_response();
    }
    let asked = (request.method() == Method::OPTIONS)
        .then(|| headers.clone())
        .filter(|headers| headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD));
    let mut response = match asked {
        Some(asked) => permission(&asked),
        None => next.run(request).await,
    };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    response
}

/// The answer to a browser that asks before it sends.
fn permission(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    // Clients send headers of their own, and none of them means anything here but a key.
    let names = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let names = names.unwrap_or(HeaderValue::from_static("authorization, content-type"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    if asked.contains_key(ASKS_PRIVATE) {
        headers.insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
    }
    response
}

fn is_known(origin: &str, host: Option<&str>, named: &[String]) -> bool {
    if named.iter().any(|name| name.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    let Some((scheme, place)) = origin.split_once("://") else { return false };
    if LOCAL_SCHEMES.contains(&scheme) {
        return true;
    }
    let is_web = scheme == "http" || scheme == "https";
    // A page that hob itself served comes from the address that it now asks. Of other names any
    // site may say that they are this machine's.
    let is_own = |host: &str| host.eq_ignore_ascii_case(place) && is_local(host);
    if !is_web || host.is_some_and(is_own) {
        return is_web;
    }
    let has_port = |rest: &str| {
        rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()) || rest.is_empty()
    };
    LOCAL_HOSTS.iter().any(|local| place.strip_prefix(local).is_some_and(has_port))
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn pages_of_this_machine_and_named_ones_are_known() {
        let named = ["https://chat.office.example/".to_owned()];
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://127.0.0.1:8443",
            "http://[::1]:5173",
            "tauri://localhost",
            "vscode-webview://1a2b",
            "https://chat.office.example",
            "http://box.local:11434",
        ] {
            assert!(is_known(origin, Some("box.local:11434"), &named), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost:3000.evil.example",
            "http://localhost:99999",
            "http://127.0.0.1.evil.example",
            "https://chat.office.example.evil.example",
            "http://box.local:80",
            "ftp://localhost",
        ] {
            assert!(!is_known(origin, Some("box.local:11434"), &named), "{origin}");
        }
        assert!(!is_known("http://evil.example", Some("evil.example"), &named));
        assert!(is_known("http://192.168.1.7:11434", Some("192.168.1.7:11434"), &named));
    }
}
