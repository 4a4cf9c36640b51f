//! Why a model cannot be loaded or run.

/// A model that is refused, or a step that is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file itself.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// An architecture that has no row in [`crate::ARCHITECTURES`].
    #[error(
        "the architecture `{name}` cannot be run; those that can: {runnable} (nearest: {nearest})"
    )]
    UnsupportedArchitecture {
        /// As in `general.architecture`.
        name: String,
        /// All names that run, with commas.
        runnable: String,
        /// The name that looks most like it.
        nearest: &'static str,
    },
    /// A feature of a known architecture that is not implemented.
    #[error("this `{architecture}` model uses {feature}, which cannot be run yet")]
    UnsupportedFeature {
        /// Architecture.
        architecture: String,
        /// What, with the key that says so.
        feature: String,
    },
    /// A value that makes no sense.
    #[error("the model's metadata are wrong: {key} is {found}, but must be {wanted}")]
    Metadata {
        /// Key.
        key: String,
        /// Value found.
        found: String,
        /// What would do.
        wanted: String,
    },
    /// A tensor that is not there.
    #[error("the model lacks the tensor {name} {wanted:?}: the file is incomplete")]
    TensorMissing {
        /// Name.
        name: String,
        /// Shape, fastest dimension first.
        wanted: Vec<u64>,
    },
    /// A tensor of another shape than the metadata promise.
    #[error("the tensor {name} is {found:?}, but the model's metadata want {wanted:?}")]
    TensorShape {
        /// Name.
        name: String,
        /// Shape found, fastest dimension first.
        found: Vec<u64>,
        /// Shape wanted.
        wanted: Vec<u64>,
    },
    /// A tensor this architecture has no use for; leaving it out would give wrong numbers.
    #[error(
        "the tensor {name} has no place in a `{architecture}` model as it is known here: this is \
         a variant that cannot be run yet"
    )]
    TensorUnknown {
        /// Name.
        name: String,
        /// Architecture.
        architecture: String,
    },
    /// A factor of what has none; leaving it out would give wrong numbers.
    #[error(
        "the tensor {name} is a factor of embeddings or of what is no matrix: such files cannot be \
         run; take the model in another type"
    )]
    TensorFactor {
        /// Name.
        name: String,
    },
    /// An adapter that cannot be applied as a whole.
    #[error("the adapter {name} cannot be used: {why}")]
    Adapter {
        /// What it is called.
        name: String,
        /// What is wrong, with the tensor or key.
        why: String,
    },
    /// A rule for more positions that does not suit the model, see [`crate::stretch`].
    #[error("its positions cannot be scaled so: {0}")]
    Stretch(String),
    /// A load option out of range.
    #[error("{option} is {found}, but must be {wanted}")]
    Option {
        /// Field of [`crate::LoadOptions`].
        option: &'static str,
        /// Value found.
        found: u64,
        /// What would do.
        wanted: String,
    },
    /// A step that this model was not loaded for.
    #[error("this step cannot be computed: {0}")]
    Step(String),
    /// The backend refused.
    #[error(transparent)]
    Tensor(#[from] tensor::Error),
}

/// Result of a model operation.
pub type Result<T> = std::result::Result<T, Error>;
