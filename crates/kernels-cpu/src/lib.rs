//! SIMD kernels for CPUs behind [`tensor::Backend`].
//!
//! Entry point: [`CpuBackend::detect`]. Weights are repacked once at load (`packed`, `codes`,
//! `scales`, `formats`); kernels are generic over an instruction set (`simd`) and chosen at run
//! time (`isa`). What is multiplied where is decided once (`matmul`): few rows go by packed weights
//! (`integers`, `floats`), many by weights unpacked once for all (`blocked`), and with AMX those of
//! prompts by tiles of bf16 (`prefill`). One pool of threads (`threads`) shares each operation's
//! work.
//!
//! **Invariant:** a row's result depends neither on its neighbours nor on the count of threads.
//! **Invariant:** nothing here knows a model, a file or a request; no clock, no environment.

mod activation;
mod attention;
mod backend;
mod blocked;
mod codes;
mod delta_net;
mod experts;
mod floats;
mod formats;
mod gate;
mod heads;
mod integers;
mod isa;
mod kv;
pub mod limits;
mod matmul;
mod memory;
mod norm;
mod packed;
mod prefill;
mod rope;
mod scales;
mod simd;
mod threads;

#[cfg(test)]
mod tests;

pub use backend::CpuBackend;
pub use formats::is_blockwise;
pub use isa::{Variant, variants};
pub use threads::{Pool, THREADS_MAX};
