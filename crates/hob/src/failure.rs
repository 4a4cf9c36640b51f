//! How a command ends: what is printed and which code the shell sees.

use std::io::{self, ErrorKind as IoErrorKind};
use std::process::ExitCode;

/// Codes, as the help documents them.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted (Ctrl-C).
A reader that goes away, as in `| head`, counts as done.";

/// Code of a failure.
pub(crate) const FAILED: u8 = 1;
/// Code of a wrong command line.
pub(crate) const USAGE: u8 = 2;
/// Code of an interruption.
pub(crate) const INTERRUPTED: u8 = 130;

/// The command line is wrong in a way that only the command itself can see.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Somebody pressed Ctrl-C; what there was to say has been said.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A wrong command line, as an error.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(UsageError(message.into()))
}

/// The code, and the line for stderr if there is one to print.
pub(crate) fn verdict(result: &anyhow::Result<()>) -> (u8, Option<String>) {
    let Err(error) = result else { return (0, None) };
    if is_broken_pipe(error) {
        return (0, None);
    }
    if error.is::<Interrupted>() {
        return (INTERRUPTED, None);
    }
    let kind = error.downcast_ref::<app::Error>().map(|error| error.kind);
    let code = match kind {
        Some(app::ErrorKind::Cancelled) => INTERRUPTED,
        _ if error.is::<UsageError>() => USAGE,
        _ => FAILED,
    };
    (code, Some(format!("{error:#}")))
}

/// [`verdict`] as the process's exit code.
pub(crate) fn exit_code(code: u8) -> ExitCode {
    ExitCode::from(code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == IoErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(IoErrorKind::BrokenPipe))
    })
}

#[cfg(test)]
mod tests {
    use super::{Interrupted, usage, verdict};
    use std::io;

    #[test]
    fn codes() {
        let broken: anyhow::Error = io::Error::from(io::ErrorKind::BrokenPipe).into();
        assert_eq!(verdict(&Ok(())), (0, None));
        assert_eq!(verdict(&Err(broken.context("writing"))), (0, None));
        assert_eq!(verdict(&Err(anyhow::Error::new(Interrupted))), (130, None));
        assert_eq!(verdict(&Err(usage("no"))), (2, Some("no".to_owned())));
        assert_eq!(verdict(&Err(anyhow::anyhow!("x"))), (1, Some("x".to_owned())));
        let error = app::Error {
            kind: app::ErrorKind::Cancelled,
            message: "stopped; run it again to resume".to_owned(),
            parameter: None,
        };
        let said = Some("stopped; run it again to resume".to_owned());
        assert_eq!(verdict(&Err(error.into())), (130, said));
    }
}
