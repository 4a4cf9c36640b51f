//! What every source of a pull is handed: where to tell, when to stop, how failing is sorted.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, PullEvent, Result};

/// Why a source did not give the file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing would change with another source: stopped, disk full.
    Fatal(Error),
    /// Its answer; another source may have the file.
    Answer(String),
}

/// What a source returns.
pub(crate) type Attempt<T> = std::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::Cancelled | Error::Egress(egress::Error::Cancelled) => {
                Fault::Fatal(Error::Cancelled)
            }
            // Another program's file that cannot be read is that source's failure only.
            Error::Io { doing: "reading", .. } => Fault::Answer(error.to_string()),
            Error::DiskFull { .. } | Error::ReadOnly { .. } | Error::Io { .. } => {
                Fault::Fatal(error)
            }
            other => Fault::Answer(other.to_string()),
        }
    }
}

impl From<egress::Error> for Fault {
    fn from(error: egress::Error) -> Fault {
        Fault::from(Error::Egress(error))
    }
}

/// The person's side of a pull.
pub(crate) struct Watch<'a> {
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) tell: &'a mut dyn FnMut(PullEvent),
    /// Bytes of the files before this one, where a model has several.
    pub(crate) before_bytes: u64,
    /// Bytes of all files of the model, when known.
    pub(crate) total_bytes: Option<u64>,
}

impl Watch<'_> {
    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Tells how far the file is, which may itself know its length.
    pub(crate) fn progress(&mut self, done: u64, of: Option<u64>, resumed_bytes: u64) {
        let of = of.map(|of| of.saturating_add(self.before_bytes));
        (self.tell)(PullEvent::Progress {
            done_bytes: self.before_bytes.saturating_add(done),
            total_bytes: self.total_bytes.or(of),
            resumed_bytes,
        });
    }
}
