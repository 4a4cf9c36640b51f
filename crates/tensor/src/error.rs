//! What can go wrong below a model.

/// An operation that could not be done; never a wrong number.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Shapes that do not fit together.
    #[error("shapes do not fit: {0}")]
    Shape(String),
    /// A batch that does not describe the cache it is run on.
    #[error("inconsistent batch: {0}")]
    Batch(String),
    /// A format or feature this backend cannot run.
    #[error("not supported by this backend: {0}")]
    Unsupported(String),
    /// A tensor or weight that another backend made.
    #[error("a buffer of another backend was passed in")]
    ForeignBuffer,
    /// The machine has not the memory.
    #[error("out of memory: {needed_bytes} bytes for {purpose} could not be had")]
    OutOfMemory {
        /// Bytes asked for.
        needed_bytes: usize,
        /// What they were for.
        purpose: String,
    },
}

/// Result of a tensor operation.
pub type Result<T> = std::result::Result<T, Error>;
