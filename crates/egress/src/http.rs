//! Web requests: GET with a range, redirects followed by hand so that every hop is checked.

use std::io::Read;
use std::sync::Arc;

use guard::Permit;

use crate::limits::{CONNECT_TIMEOUT, HEADER_BYTES_MAX, READ_TIMEOUT, REDIRECTS_MAX};
use crate::{Error, Result, url};

/// How requests go out.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// `http://HOST:PORT` of a proxy; requests to loopback never use it.
    pub proxy: Option<String>,
    /// Hosts beside loopback that may be asked by plain `http`, because someone set them up so.
    pub plain_hosts: Vec<String>,
}

/// A client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
    direct: ureq::Agent,
    plain_hosts: Arc<[String]>,
}

/// The part of a file that an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte; none in the answer that says that there is no such range.
    pub first: Option<u64>,
    /// Bytes of the whole file, when the server knows.
    pub total_bytes: Option<u64>,
}

/// An answer, whose status may be anything but a followed redirect.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Bytes of this body, when announced.
    pub content_length: Option<u64>,
    /// `Content-Range`.
    pub content_range: Option<ContentRange>,
    /// `ETag` as sent, with its quotes.
    pub etag: Option<String>,
    /// The address that answered, after redirects.
    pub url: String,
    /// What follows the headers. A stall or a cut is an error of reading.
    pub body: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response {{ {} from {} }}", self.status, self.url)
    }
}

impl Http {
    /// A client.
    ///
    /// # Errors
    /// When the proxy is not one.
    pub fn new(options: HttpOptions) -> Result<Http> {
        let proxy = options.proxy.as_deref().map(proxy_of).transpose()?;
        let plain_hosts = options.plain_hosts.into();
        Ok(Http { agent: agent(proxy), direct: agent(None), plain_hosts })
    }

    /// Asks for `url` from byte `range_from` on (0: all of it), with `headers` beside.
    ///
    /// The permit must cover the host of `url`; where that host redirects to is covered too.
    ///
    /// # Errors
    /// When the permit is for something else, the address may not be asked or nobody answers. An
    /// answer such as 404 is no error.
    pub fn get(
        &self,
        permit: &Permit,
        url: &str,
        range_from: u64,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let host = url::host_of(url)?;
        if !permit.covers_host(host) {
            return Err(Error::NotPermitted { what: format!("a request to {host}") });
        }
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let parts = url::parse(&url)?;
            self.check_scheme(&url, &parts)?;
            let answer = self.get_once(&url, &parts, range_from, headers)?;
            let status = answer.status().as_u16();
            let location = header(&answer, "location");
            match location {
                Some(location) if matches!(status, 301 | 302 | 303 | 307 | 308) => {
                    let next = url::join(&parts, &location);
                    let to = url::parse(&next)?;
                    if url::is_loopback(to.host) && !url::is_loopback(parts.host) {
                        let why = "another host redirects to this machine";
                        return Err(Error::Url { url: next, why });
                    }
                    tracing::debug!(from = parts.host, to = to.host, status, "redirect");
                    url = next;
                }
                _ => return Ok(response(answer, url)),
            }
        }
        let host = url::host_of(&url)?.to_owned();
        Err(Error::TooManyRedirects { host, max: REDIRECTS_MAX })
    }

    fn check_scheme(&self, url: &str, parts: &url::Parts<'_>) -> Result<()> {
        let is_plain_allowed = url::is_loopback(parts.host)
            || self.plain_hosts.iter().any(|host| host.eq_ignore_ascii_case(parts.host));
        if parts.scheme == "http" && !is_plain_allowed {
            let why = "it is not encrypted: use https";
            return Err(Error::Url { url: url.to_owned(), why });
        }
        Ok(())
    }

    fn get_once(
        &self,
        url: &str,
        parts: &url::Parts<'_>,
        range_from: u64,
        headers: &[(&str, &str)],
    ) -> Result<ureq::http::Response<ureq::Body>> {
        let agent = if url::is_loopback(parts.host) { &self.direct } else { &self.agent };
        let mut request = agent.get(url);
        if range_from > 0 {
            request = request.header("range", format!("bytes={range_from}-"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tracing::debug!(host = parts.host, range_from, "request");
        request.call().map_err(|error| no_answer(parts.host, &error))
    }
}

pub(crate) fn agent(proxy: Option<ureq::Proxy>) -> ureq::Agent {
    let tls =
        ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    // The proxy is set even where there is none: ureq would ask the environment.
    ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("hob/", env!("CARGO_PKG_VERSION")))
        // A compressed body would have another length than the file.
        .accept_encoding("identity")
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .timeout_per_write(Some(READ_TIMEOUT))
        .max_response_header_size(HEADER_BYTES_MAX)
        .build()
        .new_agent()
}

fn proxy_of(proxy: &str) -> Result<ureq::Proxy> {
    ureq::Proxy::new(proxy).map_err(|_| {
        let shown = proxy.rsplit('@').next().unwrap_or_default().to_owned();
        Error::Proxy { proxy: shown }
    })
}

fn response(answer: ureq::http::Response<ureq::Body>, url: String) -> Response {
    Response {
        status: answer.status().as_u16(),
        content_length: header(&answer, "content-length").and_then(|text| text.parse().ok()),
        content_range: header(&answer, "content-range").and_then(|text| content_range(&text)),
        etag: header(&answer, "etag"),
        url,
        body: Box::new(answer.into_body().into_with_config().limit(u64::MAX).reader()),
    }
}

fn header(answer: &ureq::http::Response<ureq::Body>, name: &str) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = match range {
        "*" => None,
        range => Some(range.split_once('-')?.0.trim().parse().ok()?),
    };
    let total_bytes = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some(ContentRange { first, total_bytes })
}

pub(crate) fn no_answer(host: &str, error: &ureq::Error) -> Error {
    use ureq::{Error as Fault, Timeout};
    let seconds = |limit: std::time::Duration| limit.as_secs();
    let why = match error {
        Fault::HostNotFound => "is not known here (no such name, or no network)".to_owned(),
        Fault::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("cannot be reached (nothing within {} s)", seconds(CONNECT_TIMEOUT))
        }
        Fault::Timeout(_) => {
            format!("does not answer (nothing within {} s)", seconds(READ_TIMEOUT))
        }
        Fault::Io(error) => format!("cannot be reached: {error}"),
        Fault::ConnectProxyFailed(answer) => format!("cannot be reached: the proxy said {answer}"),
        other => format!("gave no usable answer: {other}"),
    };
    Error::NoAnswer { host: host.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::{ContentRange, Http, HttpOptions, content_range};

    #[test]
    fn content_ranges() {
        let range = |first, total_bytes| Some(ContentRange { first, total_bytes });
        assert_eq!(content_range("bytes 5-9/10"), range(Some(5), Some(10)));
        assert_eq!(content_range("bytes 5-9/*"), range(Some(5), None));
        assert_eq!(content_range("bytes */10"), range(None, Some(10)));
        for wrong in ["", "bytes", "bytes 5/10", "bytes x-9/10", "items 5-9/10", "bytes 5-9/-1"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_proxy_is_told_without_its_password() {
        let proxy = Some("gopher://user:secret@proxy.example".to_owned());
        let error = Http::new(HttpOptions { proxy, plain_hosts: Vec::new() }).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("proxy.example") && !error.contains("secret"), "{error}");
    }
}
