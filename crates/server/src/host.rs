//! Refuses requests whose `Host` names a foreign site, so that a web page cannot reach a server
//! on loopback by pointing its own name there (DNS rebinding, as in CVE-2024-28224).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::openai::Rejection;

/// Lets through what was sent to this machine by a local name or by address.
pub(crate) async fn check(State(listen): State<IpAddr>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    // On a public address the office's own names are many and unknown here.
    if !listen.is_loopback() || host.is_none_or(is_local) {
        return next.run(request).await;
    }
    let shown = host.unwrap_or_default().chars().take(100).collect::<String>();
    Rejection::forbidden(format!("host `{shown}` is not this machine: use localhost or 127.0.0.1"))
        .into_response()
}

/// Whether it is an address, or a name that no site of the internet can have.
pub(crate) fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end))
        || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn local_names_and_addresses_pass_and_sites_do_not() {
        for host in ["localhost", "LOCALHOST:11434", "127.0.0.1:1", "[::1]:11434", "box.local"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example", "evil.example:11434", "localhost.evil.example", ""] {
            assert!(!is_local(host), "{host}");
        }
    }
}
