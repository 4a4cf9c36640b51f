//! Every bound of this crate.

use std::time::Duration;

/// Characters of a model's name.
pub(crate) const NAME_LEN_MAX: usize = 120;
/// Bytes of a manifest.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
/// Manifests in one store.
pub(crate) const MANIFESTS_MAX: usize = 10_000;
/// Bytes of a hub's list of a repository's files.
pub(crate) const HUB_LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a file's beginning that are asked for first, and at most, to see its header. Headers of
/// large vocabularies take 10 to 20 MB.
pub(crate) const HEAD_BYTES_FIRST: u64 = 4 << 20;
pub(crate) const HEAD_BYTES_MAX: u64 = 128 << 20;
/// The same of files whose headers are short: projectors and safetensors.
pub(crate) const SHORT_HEAD_BYTES_FIRST: u64 = 256 << 10;
/// Files of one model.
pub(crate) const MODEL_FILES_MAX: usize = 1000;
/// Bytes of one file of a model.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 40;
/// Bytes left free on the disk beside what is fetched.
pub(crate) const DISK_SPARE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes moved at once.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that may wait between the connection and the disk.
pub(crate) const CHUNKS_WAITING_MAX: usize = 16;
/// Requests for one file, however much each brings.
pub(crate) const REQUESTS_MAX: usize = 50;
/// Requests in a row that bring nothing.
pub(crate) const IDLE_REQUESTS_MAX: usize = 3;
/// How often someone who waits looks whether to go on.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// Folders below another program's model folder that are searched.
pub(crate) const SEARCH_DEPTH_MAX: usize = 6;
/// Directory entries looked at in such a folder.
pub(crate) const SEARCH_ENTRIES_MAX: usize = 200_000;
