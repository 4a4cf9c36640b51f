//! The only door out: web requests and the package client, each of which demands a
//! [`guard::Permit`] for where it goes.
//!
//! **Invariant:** nobody else names an HTTP client, opens an outgoing socket or starts a program
//! that does. Plain `http` goes only to loopback or to an endpoint that was set up so.

mod ask;
mod error;
mod http;
mod limits;
mod pip;
mod url;

pub use ask::{HobAnswer, ask_hob};
pub use error::{Error, Result};
pub use http::{ContentRange, Http, HttpOptions, Response};
pub use pip::{PackageRequest, PipEvent, pip_download};
pub use url::host_of;
