//! A short question to a hob server: one GET, a small answer, no proxy and no redirect.

use std::io::Read;

use guard::Permit;

use crate::http::{agent, no_answer};
use crate::limits::{ASK_BYTES_MAX, ASK_TIMEOUT};
use crate::{Error, Result, url};

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HobAnswer {
    /// HTTP status; a redirect is an answer as any other.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks a hob server for `url`. Plain `http` is used as the address says: what is asked is no
/// secret, and the permit covers only a host that the person named, or this machine.
///
/// # Errors
/// When the permit is for something else, nobody answers in time, or the answer is no text or too
/// long for one of hob's.
pub fn ask_hob(permit: &Permit, url: &str) -> Result<HobAnswer> {
    let parts = url::parse(url)?;
    if !permit.covers_hob(parts.host) {
        return Err(Error::NotPermitted { what: format!("a question to {}", parts.host) });
    }
    tracing::debug!(host = parts.host, "question to a hob");
    let request = agent(None).get(url).config().timeout_global(Some(ASK_TIMEOUT)).build();
    let fault = |why: String| Error::NoAnswer { host: parts.host.to_owned(), why };
    let answer = request.call().map_err(|error| match error {
        ureq::Error::Timeout(_) => {
            fault(format!("does not answer (nothing within {} s)", ASK_TIMEOUT.as_secs()))
        }
        error => no_answer(parts.host, &error),
    })?;
    let status = answer.status().as_u16();
    let mut body = String::new();
    let mut reader = answer.into_body().into_reader().take(ASK_BYTES_MAX + 1);
    let read = reader.read_to_string(&mut body);
    read.map_err(|error| fault(format!("stopped in the middle of its answer: {error}")))?;
    if body.len() as u64 > ASK_BYTES_MAX {
        return Err(fault("answers more than a hob would".to_owned()));
    }
    Ok(HobAnswer { status, body })
}

#[cfg(test)]
mod tests {
    use super::ask_hob;
    use crate::Error;
    use guard::{Action, Policy, decide};

    #[test]
    fn a_permit_for_another_host_or_act_opens_nothing() {
        let hob = Action::AskHob { host: "127.0.0.1".to_owned() };
        let fetch = Action::FetchModel { host: "localhost".to_owned() };
        for action in [hob, fetch] {
            let permit = decide(&action, &Policy::default()).into_result().unwrap();
            let error = ask_hob(&permit, "http://localhost:1/hob/status").unwrap_err();
            assert!(matches!(error, Error::NotPermitted { .. }), "{action}: {error}");
        }
    }

    #[test]
    fn nobody_there_is_told_with_the_host() {
        let action = Action::AskHob { host: "127.0.0.1".to_owned() };
        let permit = decide(&action, &Policy { offline: true }).into_result().unwrap();
        // Port 1 is reserved, and nothing of a test listens below 1024.
        let error = ask_hob(&permit, "http://127.0.0.1:1/hob/status").unwrap_err();
        assert!(error.to_string().starts_with("127.0.0.1 cannot be reached"), "{error}");
    }
}
