//! Bounds on what a template may do: it comes with a model file.

/// Steps of one rendering.
pub(crate) const FUEL: u64 = 50_000_000;
/// Nesting of blocks, macros and calls.
pub(crate) const RECURSION_MAX: usize = 200;
/// Bytes of a template.
pub(crate) const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a prompt.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 << 20;
