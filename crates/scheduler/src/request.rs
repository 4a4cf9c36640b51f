//! What a caller asks and what it is answered; the ids that cross the wall.

/// A token of the vocabulary.
pub type TokenId = u32;

/// A request, named by the caller; each id is used once among those alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A page of the cache, below `page_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u32);

/// Milliseconds since a moment that the caller chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

/// Something to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name.
    pub id: RequestId,
    /// What to continue.
    pub prompt: Vec<TokenId>,
    /// Most tokens to make.
    pub tokens_max: u64,
    /// Whose: users are served in turn.
    pub user: u64,
    /// What besides its tokens decides over its keys and values, such as adapters: pages are shared
    /// only among requests of the same words.
    pub prelude: Vec<u64>,
}

/// Answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits.
    Queued {
        /// How many would start before it as things are; 0 is next.
        position: u32,
    },
    /// It was not taken, and nothing changed.
    Refused(Refusal),
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many wait.
    #[error("{len} requests wait already and the queue holds no more: try again later")]
    QueueFull {
        /// Requests that wait.
        len: u32,
    },
    /// No room for an answer.
    #[error(
        "a prompt of {prompt_len} tokens leaves no room for an answer in a context of \
         {context_len_max}: shorten it"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_len: u64,
        /// Tokens of prompt and answer together, at most.
        context_len_max: u64,
    },
    /// Nothing to continue.
    #[error("the prompt is empty: give at least one token")]
    PromptEmpty,
    /// Not even alone.
    #[error(
        "the prompt needs {pages_needed} pages of cache and there are {page_count}: shorten it, \
         or give the model more memory"
    )]
    NeverFits {
        /// Pages that the prompt needs.
        pages_needed: u64,
        /// Pages there are.
        page_count: u32,
    },
    /// No token may be made.
    #[error("the number of tokens to make must be at least 1")]
    TokensMaxZero,
}
