//! Messages, and the model's own template that turns them into a prompt.
//!
//! Entry point: [`Template`].
//!
//! **Invariant:** a template is foreign code: its steps, depth and output are bounded.

mod error;
mod json;
mod limits;
mod message;
mod moment;
mod output;
mod source;
mod template;

pub use error::{Error, Result};
pub use message::Message;
pub use moment::Moment;
pub use template::{RenderOptions, Template};
