//! Cohere's Command R7B and Command A: everything stands between special tokens.

use super::{Dialect, Form, Tag};
use crate::parser::Shape;

pub(super) static COMMAND_R: Dialect = Dialect {
    name: "command_r",
    signs: &[&["<|START_ACTION|>"]],
    never: &[],
    architectures: &["cohere2"],
    reasoning: &[Tag { open: "<|START_THINKING|>", close: "<|END_THINKING|>", anywhere: true }],
    calls: &[Form {
        start: "<|START_ACTION|>",
        shape: Shape::Object,
        end: "<|END_ACTION|>",
        marked: true,
        open: "<|START_ACTION|>[\n    ",
        before: "{\"tool_call_id\": \"{number}\", \"tool_name\": \"{name}\", \"parameters\": ",
        after: "}",
        between: Some(",\n    "),
        close: "\n]<|END_ACTION|>",
    }],
    wrappers: &[],
    dropped: &[
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "<|START_TEXT|>",
        "<|END_TEXT|>",
        "<|END_OF_TURN_TOKEN|>",
    ],
    channels: false,
    calls_end_reasoning: false,
};
