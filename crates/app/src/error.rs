//! One error for both faces: a kind that a program can act on and a line that a person can.

/// What sort of failure, so that a face can pick a status or an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: a parameter, an empty prompt.
    BadRequest,
    /// The prompt is longer than the context.
    ContextLength,
    /// No such model, file or source.
    NotFound,
    /// The file is damaged or of a kind that cannot be run.
    BadModel,
    /// Not enough memory, disk or permission on this machine.
    Machine,
    /// The queue is full: try again later.
    Busy,
    /// Someone stopped it.
    Cancelled,
    /// A fault of hob's own.
    Internal,
}

/// A failure: what, where, and what to do, in one line.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Sort of failure.
    pub kind: ErrorKind,
    /// One line for people; may be several only when each source of a pull has answered.
    pub message: String,
    /// The request field at fault, in OpenAI's spelling, when there is one.
    pub parameter: Option<&'static str>,
}

/// Result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: String) -> Error {
        Error { kind, message, parameter: None }
    }

    /// The engine went down without a word.
    #[must_use]
    pub fn ended_early() -> Error {
        let message = "the engine stopped unexpectedly: load the model again".to_owned();
        Error::new(ErrorKind::Internal, message)
    }

    pub(crate) fn parameter(parameter: &'static str, message: String) -> Error {
        Error { kind: ErrorKind::BadRequest, message, parameter: Some(parameter) }
    }
}

impl From<gguf::Error> for Error {
    fn from(error: gguf::Error) -> Error {
        Error::new(ErrorKind::BadModel, error.to_string())
    }
}

impl From<tokenizer::Error> for Error {
    fn from(error: tokenizer::Error) -> Error {
        Error::new(ErrorKind::BadModel, format!("the model's tokenizer cannot be used: {error}"))
    }
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Error {
        Error::new(ErrorKind::BadModel, error.to_string())
    }
}

impl From<checkpoint::Error> for Error {
    fn from(error: checkpoint::Error) -> Error {
        Error::new(ErrorKind::BadModel, error.to_string())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        use store::Error as Store;
        let kind = match &error {
            Store::Name { .. } | Store::NameTaken { .. } => ErrorKind::BadRequest,
            Store::NotFound { .. } | Store::NoFile { .. } | Store::NoSource { .. } => {
                ErrorKind::NotFound
            }
            Store::NotAModel { .. } | Store::Gguf(_) | Store::Damaged { .. } => ErrorKind::BadModel,
            Store::Cancelled => ErrorKind::Cancelled,
            Store::DiskFull { .. }
            | Store::ReadOnly { .. }
            | Store::Manifest { .. }
            | Store::Io { .. }
            | Store::Egress(_) => ErrorKind::Machine,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Error {
        use engine::Error as Engine;
        let message = error.to_string();
        match error {
            Engine::PromptTooLong { .. } => {
                Error { kind: ErrorKind::ContextLength, ..Error::parameter("prompt", message) }
            }
            Engine::PromptEmpty | Engine::TokenUnknown { .. } => {
                Error::parameter("prompt", message)
            }
            Engine::MakesNoText | Engine::MakesText => Error::parameter("model", message),
            Engine::TextTooLong { .. } => {
                Error { kind: ErrorKind::ContextLength, ..Error::parameter("input", message) }
            }
            Engine::TextCount { .. } | Engine::TextEmpty { .. } => {
                Error::parameter("input", message)
            }
            Engine::Adapter(_) => Error::parameter("lora", message),
            Engine::TokensMaxZero => Error::parameter("max_tokens", message),
            Engine::Stop(_) => Error::parameter("stop", message),
            Engine::Sampling(_) | Engine::NeverFits { .. } => {
                Error::new(ErrorKind::BadRequest, message)
            }
            Engine::QueueFull { .. } | Engine::Stopping => Error::new(ErrorKind::Busy, message),
            Engine::Draft(_) => Error::new(ErrorKind::BadModel, message),
            Engine::Constraint(_) => Error::new(ErrorKind::BadRequest, message),
            Engine::Step(_) => Error::new(ErrorKind::Internal, message),
        }
    }
}
