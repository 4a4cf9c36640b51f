//! What can go wrong on the way out.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that got no answer, or a package client that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The permit in hand was made for something else; a fault of the caller.
    #[error("the permit does not cover {what}")]
    NotPermitted {
        /// What was about to be done.
        what: String,
    },
    /// Not an address that may be asked.
    #[error("{url} cannot be fetched: {why}")]
    Url {
        /// The address.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// The proxy setting is wrong.
    #[error("the proxy `{proxy}` cannot be used: give http://HOST:PORT or https://HOST:PORT")]
    Proxy {
        /// As it was given, without user and password.
        proxy: String,
    },
    /// No answer from the host.
    #[error("{host} {why}")]
    NoAnswer {
        /// The host.
        host: String,
        /// What happened, so that `HOST WHY` is a sentence.
        why: String,
    },
    /// It redirects in circles.
    #[error("{host} redirects more than {max} times")]
    TooManyRedirects {
        /// The last host.
        host: String,
        /// The bound.
        max: usize,
    },
    /// The package client could not be started.
    #[error("{program} cannot be started: {source}")]
    PythonMissing {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// The package client ran and failed.
    #[error("pip: {line}")]
    Pip {
        /// Its last meaningful line.
        line: String,
    },
    /// The package client says that it worked, but the file is not there.
    #[error("pip said that it worked, but there is no wheel in {}", dir.display())]
    WheelMissing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// It was stopped.
    #[error("stopped")]
    Cancelled,
}
