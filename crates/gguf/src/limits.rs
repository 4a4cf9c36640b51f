//! Every bound on what a file may claim. Real files are far below; hostile ones are not.

/// Bytes of a metadata key.
pub(crate) const KEY_BYTES_MAX: u64 = 65_535;
/// Bytes of a tensor's name, as GGML has it.
pub(crate) const NAME_BYTES_MAX: u64 = 63;
/// Bytes of a string value: a whole `tokenizer.json` of a large vocabulary takes 35 MB.
pub(crate) const STRING_BYTES_MAX: u64 = 64 << 20;
/// Metadata entries.
pub(crate) const KEYS_MAX: u64 = 1 << 16;
/// Values of an array: vocabularies are the longest.
pub(crate) const ARRAY_LEN_MAX: u64 = 1 << 24;
/// Tensors of a file.
pub(crate) const TENSORS_MAX: u64 = 1 << 17;
/// Dimensions of a tensor.
pub(crate) const DIMENSIONS_MAX: u32 = 4;
/// Files of a split model.
pub(crate) const SPLITS_MAX: u64 = 1024;
/// Bytes from one tensor's start to the next's multiple.
pub(crate) const ALIGNMENT_MAX: u64 = 1 << 20;
