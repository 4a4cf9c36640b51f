//! Models whose manner is not known: JSON calls with any of the markers that are in use, and bare
//! JSON that names a tool which was offered.

use super::chatml::{CALL, THINK};
use super::{Dialect, Form};
use crate::parser::Shape;

/// A JSON object as the answer, or the first words of one.
pub(super) const BARE: Form = Form {
    start: "",
    shape: Shape::Object,
    end: "",
    marked: false,
    open: "",
    before: "{\"name\": \"{name}\", \"arguments\": ",
    after: "}",
    between: Some("; "),
    close: "",
};

pub(super) static GENERIC: Dialect = Dialect {
    name: "generic",
    signs: &[],
    never: &[],
    architectures: &[],
    reasoning: &[THINK],
    calls: &[
        BARE,
        CALL,
        Form { start: "<tool_calls>", end: "</tool_calls>", ..CALL },
        Form { start: "<TOOLCALL>", end: "</TOOLCALL>", ..CALL },
        Form { start: "functools", end: "", ..CALL },
        Form { start: "```json", end: "```", ..BARE },
        Form { start: "```tool_call", end: "```", ..BARE },
    ],
    wrappers: &[],
    dropped: &[],
    channels: false,
    calls_end_reasoning: false,
};
