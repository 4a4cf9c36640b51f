//! What another hob says of itself.

use guard::{Action, Policy};

use crate::{Error, ErrorKind, Result};

/// Where a hob tells how it is.
const PATH: &str = "/hob/status";

/// Asks the hob at `base`; nothing but this machine where `offline`.
pub(crate) fn status(base: &str, offline: bool) -> Result<String> {
    let base = base.trim_end_matches('/');
    let wrong = |error: &dyn std::fmt::Display| {
        let message = format!("{error}: give the server as http://HOST:PORT");
        Error::new(ErrorKind::BadRequest, message)
    };
    let host = egress::host_of(base).map_err(|error| wrong(&error))?.to_owned();
    let permit = guard::decide(&Action::AskHob { host }, &Policy { offline }).into_result();
    let permit = permit.map_err(|denial| Error::new(ErrorKind::Machine, denial.to_string()))?;
    let answer = egress::ask_hob(&permit, &format!("{base}{PATH}")).map_err(|error| {
        let message = format!("no hob serves at {base} ({error}): start one with `hob serve`");
        Error::new(ErrorKind::NotFound, message)
    })?;
    if answer.status != 200 {
        let message = format!(
            "what serves at {base} is no hob, or an older one (it answers {} for {PATH}): \
             name another with --url",
            answer.status
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(answer.body)
}

#[cfg(test)]
mod tests {
    use super::status;

    #[track_caller]
    fn check(base: &str, offline: bool, part: &str) {
        let message = status(base, offline).unwrap_err().message;
        assert!(message.contains(part) && message.lines().count() == 1, "{message}");
    }

    #[test]
    fn who_cannot_be_asked_is_told_in_a_line() {
        check("127.0.0.1:11434", false, "give the server as http://HOST:PORT");
        check("http://box.example:1", true, "hob was told to stay offline");
        // Port 1 is reserved: nothing listens there.
        check("http://127.0.0.1:1/", true, "no hob serves at http://127.0.0.1:1 (127.0.0.1 cannot");
        check("http://127.0.0.1:1", false, "start one with `hob serve`");
    }
}
