//! Every backend against the reference, operation by operation, on awkward shapes and values.
//!
//! Entry point: [`run`]. What a backend must also promise is checked bit for bit: a row's result
//! depends neither on its neighbours nor on how a sequence was cut into steps.

mod attention;
mod cases;
mod delta_net;
mod experts;
mod heads;
mod matmul;
mod prefill;
mod refusals;
mod rope;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod tolerance;

pub use run::{Failure, run};
