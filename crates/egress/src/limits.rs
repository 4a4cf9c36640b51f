//! Every bound of this crate.

use std::time::Duration;

/// To resolve a name and, again, to open a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Without a single byte, while waiting for an answer or in the middle of one.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// For a whole answer of a hob server, from the connection on.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of such an answer.
pub(crate) const ASK_BYTES_MAX: u64 = 4 << 20;
/// Redirects that one request follows.
pub(crate) const REDIRECTS_MAX: usize = 8;
/// Bytes of a response's headers.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a URL.
pub(crate) const URL_LEN_MAX: usize = 8 * 1024;
/// Bytes of one line of the package client; the rest is cut off.
pub(crate) const LINE_LEN_MAX: u64 = 4 * 1024;
/// How often a running package client is looked at.
pub(crate) const PIP_LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// Looks at a package client that was killed, until it is given up; a line may end each early.
pub(crate) const KILL_LOOKS_MAX: usize = 100;
/// Times that the package client tries again.
pub(crate) const PIP_RETRIES: &str = "2";
/// Files looked at to learn how far a download is.
pub(crate) const WATCHED_FILES_MAX: usize = 1000;
