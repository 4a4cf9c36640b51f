//! Why a request was not taken, or an engine not started.

/// Refusals and failures of an engine.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing to continue.
    #[error("the prompt is empty: give at least one token")]
    PromptEmpty,
    /// The prompt alone is longer than the context.
    #[error(
        "the prompt has {prompt_len} tokens and the context holds {context_len}: shorten it, or \
         load the model with a larger context"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_len: usize,
        /// Tokens of the context.
        context_len: u32,
    },
    /// The model makes no text.
    #[error("this model embeds or scores texts and answers none: choose one that makes text")]
    MakesNoText,
    /// The model makes text.
    #[error("this model makes text: choose one for embeddings or reranking")]
    MakesText,
    /// Nothing to embed or to score, or too much at once.
    #[error("{count} texts in one request: send 1 to {max}")]
    TextCount {
        /// Texts.
        count: usize,
        /// Most that a request may have.
        max: usize,
    },
    /// A text without tokens.
    #[error("text {index} is empty: give at least one token")]
    TextEmpty {
        /// Its place in the request, from 0.
        index: usize,
    },
    /// A text longer than the context.
    #[error(
        "text {index} has {len} tokens and the model takes {context_len}: shorten it, or ask for \
         texts to be cut"
    )]
    TextTooLong {
        /// Its place in the request, from 0.
        index: usize,
        /// Tokens of the text.
        len: usize,
        /// Most tokens of a text.
        context_len: u32,
    },
    /// A token id outside the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab_len}")]
    TokenUnknown {
        /// The id.
        token: u32,
        /// Size of the vocabulary.
        vocab_len: usize,
    },
    /// A sampling parameter that makes no sense.
    #[error("{0}")]
    Sampling(crate::sampling::ParamsError),
    /// An adapter that the model does not have, or a scale that is none.
    #[error("{0}")]
    Adapter(String),
    /// No token may be made.
    #[error("the number of tokens to make must be at least 1")]
    TokensMaxZero,
    /// Too many stop texts, or one too long.
    #[error("{0}")]
    Stop(String),
    /// All places in the queue are taken.
    #[error("{waiting} requests wait already and the queue holds no more: try again later")]
    QueueFull {
        /// Length of the queue.
        waiting: u32,
    },
    /// The sequence needs more cache than there is.
    #[error("the request needs {needed} pages of cache and the model was given {available}")]
    NeverFits {
        /// Pages needed.
        needed: u64,
        /// Pages there are.
        available: u32,
    },
    /// A step of the model failed.
    #[error("the model failed in a step: {0}")]
    Step(String),
    /// No token that the grammar allows can be chosen.
    #[error("the answer cannot go on: {0}")]
    Constraint(String),
    /// A model that cannot draft, or one that takes no drafts.
    #[error("{0}; choose another draft model, or start without one")]
    Draft(String),
    /// The engine is going down.
    #[error("the model is being unloaded")]
    Stopping,
}

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;
