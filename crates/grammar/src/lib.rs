//! Output that fits: grammars over a model's vocabulary, and which tokens they allow next.
//!
//! Build a [`Vocabulary`] once for each model, compile a [`Grammar`] off the step thread, then give
//! each sequence its own [`Matcher`]: ask it for a [`Mask`], draw a token that the mask allows, and
//! tell it which. What is supported stands in `docs/structured-output.md`.
//!
//! **Invariant:** foreign input gives an error of one line, never a panic; what it may cost is
//! bounded by [`Limits`].

mod cache;
mod compile;
mod error;
mod explain;
mod gbnf;
mod kind;
mod limits;
mod mask;
mod matcher;
mod reasoning;
mod source;
mod syntax;
mod vocabulary;

pub use compile::Grammar;
pub use error::{Error, Result};
pub use kind::Kind;
pub use limits::Limits;
pub use mask::Mask;
pub use matcher::Matcher;
pub use reasoning::Reasoning;
pub use syntax::Syntax;
pub use vocabulary::{Vocabulary, Word};
