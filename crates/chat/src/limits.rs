//! Bounds on what a template may do: it comes with a model file.

/// Steps of one rendering.
pub(crate) const FUEL: u64 = 50_000_000;
/// Steps of a rendering that only finds out what the template wants.
pub(crate) const PROBE_FUEL: u64 = 1_000_000;
/// Bytes of such a rendering.
pub(crate) const PROBE_BYTES_MAX: usize = 1 << 20;
/// Nesting of blocks, macros and calls.
pub(crate) const RECURSION_MAX: usize = 200;
/// Bytes of a template.
pub(crate) const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a prompt.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Tools of one request.
pub(crate) const TOOLS_MAX: usize = 256;
/// Bytes of all tools of one request, as JSON.
pub(crate) const TOOLS_BYTES_MAX: usize = 1 << 20;
/// Bytes of the variables that a request adds for the template, as JSON.
pub(crate) const EXTRA_BYTES_MAX: usize = 64 << 10;
/// Depth of lists and objects in what a request gives to a template.
pub(crate) const DEPTH_MAX: usize = 64;
/// Calls in one answer.
pub(crate) const CALLS_MAX: usize = 128;
/// Bytes of one call as the model writes it.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;
