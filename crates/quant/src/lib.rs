//! Block formats of quantised weights: layout, dequantise, quantise, scalar dot product.
//!
//! Entry point: [`FormatId`], and [`BlockFormat`] for code that is generic over formats.
//!
//! **Invariant:** no I/O; bytes may be unaligned. **Invariant:** `dequantize` is the definition of
//! a format, bit-exact against the numpy reference of the `gguf` package.

mod block;
pub mod formats;
mod names;
mod table;

pub use block::BlockFormat;
pub use names::{ggml_type_name, nearest_runnable};
pub use table::{FORMATS, Format, FormatId};
