//! The little that must be known about addresses: scheme, host, what a redirect means, and which
//! schemes may be used for which hosts.

use crate::limits::URL_LEN_MAX;
use crate::{Error, Result};

/// An address taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    /// Host with port, without user.
    pub(crate) authority: &'a str,
    pub(crate) host: &'a str,
    /// From the first `/` on; may be empty.
    pub(crate) path: &'a str,
}

/// The host of an address, as a permit names it.
///
/// # Errors
/// When it is not an `http` or `https` address.
pub fn host_of(url: &str) -> Result<&str> {
    parse(url).map(|parts| parts.host)
}

/// Takes `url` apart.
pub(crate) fn parse(url: &str) -> Result<Parts<'_>> {
    let bad = |why| Error::Url { url: url.chars().take(200).collect(), why };
    if url.len() > URL_LEN_MAX {
        return Err(bad("the address is too long"));
    }
    if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(bad("there are spaces or control characters in it"));
    }
    let (scheme, rest) = url.split_once("://").ok_or(bad("it has no http:// or https://"))?;
    if !matches!(scheme, "http" | "https") {
        return Err(bad("only http and https addresses are known"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(bad("a user or password in the address is not supported"));
    }
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').map(|end| &authority[..end + 2]),
        None => authority.split(':').next(),
    };
    let host = host.filter(|host| !host.is_empty()).ok_or(bad("it names no host"))?;
    Ok(Parts { scheme, authority, host, path })
}

/// Where a redirect from `base` to `location` leads.
pub(crate) fn join(base: &Parts<'_>, location: &str) -> String {
    let Parts { scheme, authority, path, .. } = base;
    if location.starts_with("http://") || location.starts_with("https://") {
        return location.to_owned();
    }
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}");
    }
    let folder = path.split(['?', '#']).next().unwrap_or_default();
    let folder = folder.rfind('/').map_or("/", |at| &folder[..=at]);
    format!("{scheme}://{authority}{folder}{location}")
}

/// Whether a request there stays on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{host_of, join, parse};

    #[test]
    fn hosts() {
        assert_eq!(host_of("https://a.example/x").unwrap(), "a.example");
        assert_eq!(host_of("http://127.0.0.1:8/x?y").unwrap(), "127.0.0.1");
        assert_eq!(host_of("http://[::1]:8").unwrap(), "[::1]");
        let wrong =
            ["ftp://a", "a.example", "https://", "https://u:p@a/", "https://a /", "http://[::1"];
        for url in wrong {
            assert!(host_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn redirects() {
        let base = parse("https://a.example:8/x/y?q=1/2").unwrap();
        assert_eq!(join(&base, "https://b/z"), "https://b/z");
        assert_eq!(join(&base, "//b/z"), "https://b/z");
        assert_eq!(join(&base, "/z"), "https://a.example:8/z");
        assert_eq!(join(&base, "z"), "https://a.example:8/x/z");
    }
}
