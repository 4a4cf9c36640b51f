//! Messages, and the model's own template that turns them into a prompt.
//!
//! Entry points: [`Template`] makes the prompt, [`Dialect`] says how the model answers, and
//! [`OutputParser`] takes the answer apart while it is being written.
//!
//! **Invariant:** a template is foreign code: its steps, depth and output are bounded.
//! **Invariant:** nothing that a model says is lost: what cannot be read as a call is content.

mod defaults;
mod dialects;
mod error;
mod json;
mod keyed;
mod limits;
mod message;
mod messages;
mod moment;
mod output;
mod parser;
mod python;
mod source;
mod template;
mod toolless;
mod tools;

pub use dialects::{CallPart, DIALECTS, Dialect, ReasoningMarks, beginning};
pub use error::{Error, Result};
pub use message::Message;
pub use moment::Moment;
pub use parser::{Hold, Output, OutputEvent, OutputParser, ParseOptions, ToolCall};
pub use template::{RenderOptions, Template, Variables};
pub use tools::{Tool, Tools};
