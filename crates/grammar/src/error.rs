//! Why a grammar was not taken, or an answer not continued.

/// Refusals and failures; one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The source is not what its kind demands, or uses what is not supported.
    #[error("{kind}: {why}")]
    Source {
        /// What the source was said to be.
        kind: &'static str,
        /// What is wrong, and where.
        why: String,
    },
    /// The source is too long.
    #[error("{kind}: it has {bytes} bytes and {limit} are allowed: make it shorter")]
    TooLong {
        /// What the source was said to be.
        kind: &'static str,
        /// Bytes of the source.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The source is nested too deep.
    #[error("{kind}: at byte {at} it nests deeper than {limit} levels: make it flatter")]
    TooDeep {
        /// What the source was said to be.
        kind: &'static str,
        /// Where.
        at: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// Compiling took too long.
    #[error("{kind}: it is too complex to be compiled within {seconds} s: make it simpler")]
    TooSlow {
        /// What the source was said to be.
        kind: &'static str,
        /// Seconds allowed.
        seconds: u64,
    },
    /// Others are being compiled.
    #[error("{limit} grammars are being compiled already: try again later")]
    Busy {
        /// Grammars that may be compiled at a time.
        limit: usize,
    },
    /// The tokens of a model cannot be used.
    #[error("no grammar can be used with this model: {0}")]
    Vocabulary(String),
    /// A source of a grammar that was put together is wrong.
    #[error("{owner}: {error}")]
    Of {
        /// Whose source it is.
        owner: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// A token was taken that the grammar does not allow.
    #[error("token {0} does not fit the grammar here")]
    Refused(u32),
    /// No token of the vocabulary fits.
    #[error("the grammar allows no token of this model here: {0}")]
    Stuck(String),
}

impl Error {
    /// The same, with the name of whose source it is.
    pub(crate) fn of(self, owner: Option<&str>) -> Error {
        match owner {
            Some(owner) => Error::Of { owner: owner.to_owned(), error: Box::new(self) },
            None => self,
        }
    }
}

/// Result of a call to this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The first line of a foreign message, at most as long as a line can be read.
pub(crate) fn one_line(message: &str) -> String {
    const CHARS_MAX: usize = 300;
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let mut short: String = line.chars().take(CHARS_MAX).collect();
    if line.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
