//! Why a conversation cannot be turned into a prompt.

/// A fault of the template, or its refusal of the messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the chat template is not valid: {0}")]
    Invalid(String),
    /// It called `raise_exception`.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// It failed while rendering.
    #[error("the chat template failed: {0}")]
    Failed(String),
    /// What a request offers cannot be used.
    #[error("the tools {0}")]
    Tools(String),
    /// A message or a variable of the request cannot be used.
    #[error("{0}")]
    Request(String),
    /// It is longer than any real one, or makes more than any context holds.
    #[error("the chat template {0}")]
    TooLarge(String),
}

/// Result of a template.
pub type Result<T> = std::result::Result<T, Error>;
