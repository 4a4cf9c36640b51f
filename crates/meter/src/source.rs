//! What was found that tells energy, and whether it can be read.

use std::io::ErrorKind;

use crate::files::Files;
use crate::reading::Basis;

/// Something that tells energy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it tells: `package-0`, `battery`.
    pub name: String,
    /// Where: a path, or `NVML`.
    pub from: String,
    /// How good it is.
    pub basis: Basis,
    /// Whether it is read.
    pub state: State,
}

/// Whether a source is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Read,
    /// It is not, as another says the same watts.
    Spare,
    /// It cannot be.
    Closed {
        /// Why not.
        why: String,
        /// What to do, where something can be done.
        fix: Option<String>,
    },
}

impl State {
    /// Of a file with a counter of a processor.
    pub(crate) fn of(files: &Files, path: &str, fix: &str) -> State {
        let (why, fix) = match files.read(path) {
            Ok(text) if text.parse::<u64>().is_ok() => return State::Read,
            Ok(_) => ("it holds no number".to_owned(), None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => (
                "Linux lets only root read it, as it can give away what others compute".to_owned(),
                Some(fix.to_owned()),
            ),
            Err(error) => (error.to_string(), None),
        };
        State::Closed { why, fix }
    }
}
