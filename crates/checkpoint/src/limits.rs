//! Every bound on what a checkpoint may claim. Real ones are far below; hostile ones are not.

/// Bytes of a file's list of tensors, as the format's own reference has it.
pub(crate) const JSON_HEADER_BYTES_MAX: u64 = 100_000_000;
/// Bytes of `config.json` and of other short files.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a checkpoint's index; those with a trillion weights take 20 MB.
pub const INDEX_BYTES_MAX: u64 = 128 << 20;
/// Bytes of `tokenizer.json`; large vocabularies take 10 to 35 MB.
pub(crate) const TOKENIZER_BYTES_MAX: u64 = 256 << 20;
/// Tensors of one file.
pub(crate) const TENSORS_MAX: usize = 1 << 20;
/// Dimensions of a tensor.
pub(crate) const DIMENSIONS_MAX: usize = 8;
/// Bytes of a tensor's name.
pub(crate) const TENSOR_NAME_LEN_MAX: usize = 1024;
/// Files of one model.
pub(crate) const MODEL_FILES_MAX: usize = 1000;
/// Layers of a model.
pub(crate) const LAYERS_MAX: u64 = 4096;
/// Experts of a layer.
pub(crate) const EXPERTS_MAX: u64 = 65_536;
/// Heads of a layer, and elements of a head.
pub(crate) const HEADS_MAX: u64 = 1 << 24;
/// Any other count: widths, heads, positions.
pub(crate) const COUNT_MAX: u64 = u32::MAX as u64;
