//! What is wrong with a checkpoint, where, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system could not read it.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A fault of a file or folder.
    #[error("{}: {why}", path.display())]
    At {
        /// Which one.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A file could not be mapped.
    #[error(transparent)]
    Map(#[from] gguf::Error),
}

impl Error {
    pub(crate) fn at(path: &Path, why: impl Into<String>) -> Error {
        Error::At { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }
}

/// Result of opening a checkpoint.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong, where the file is known to the caller only.
pub(crate) type Told<T> = std::result::Result<T, String>;

/// Characters of a foreign text that a message shows.
const SHOWN_MAX: usize = 96;
/// Those of another parser's message, which may hold foreign text.
const SHOWN_MESSAGE_MAX: usize = 240;

/// Foreign text as a message may show it: short, in one line, nothing that steers a terminal.
pub(crate) fn shown(text: &str) -> String {
    cut(text, SHOWN_MAX)
}

/// The same of a message with foreign text in it.
pub(crate) fn shown_message(error: &impl fmt::Display) -> String {
    cut(&error.to_string(), SHOWN_MESSAGE_MAX)
}

fn cut(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == most => {
                out.push('…');
                break;
            }
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn foreign_text_steers_no_terminal() {
        for (text, expected) in [
            ("model.layers.0.\"a\"", "model.layers.0.\"a\""),
            ("a\n\u{1b}[31mb", "a\\n\\u{1b}[31mb"),
            ("\u{7f}\u{9b}\u{202e}", "\\u{7f}\\u{9b}\\u{202e}"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown(&"x".repeat(96)), "x".repeat(96));
        assert_eq!(shown(&"x".repeat(97)), format!("{}…", "x".repeat(96)));
    }
}
