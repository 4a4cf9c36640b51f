//! Why a tokenizer cannot be built.

/// A fault of the metadata, or a kind that hob does not know.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key is missing or of the wrong type.
    #[error(transparent)]
    Metadata(#[from] gguf::Error),
    /// Another kind of tokenizer.
    #[error(
        "tokenizer kind `{0}` is not supported: `bert` (WordPiece), `gemma4`, `gpt2` (byte-level \
             BPE), `llama` (SentencePiece BPE), `t5` (unigram) and `whitespace` are"
    )]
    Kind(String),
    /// A pre-tokeniser that is not in the list.
    #[error("pre-tokeniser `{name}` is not supported: {known} are")]
    PreTokenizer {
        /// Its name.
        name: String,
        /// Those that are.
        known: String,
    },
    /// A `tokenizer.json` that is damaged, or wants what hob does not know.
    #[error("tokenizer.json: {0}")]
    Json(String),
    /// The parts contradict each other.
    #[error("the vocabulary is damaged: {0}")]
    Vocabulary(String),
}

/// Result of building a tokenizer.
pub type Result<T> = std::result::Result<T, Error>;
