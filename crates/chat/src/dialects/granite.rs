//! IBM's Granite 3 and 4: a list after `<|tool_call|>`, or Hermes's tags since 4.0; reasoning in
//! tags since 3.3, before it in words.

use super::chatml::{CALL, THINK};
use super::{Dialect, Form, Tag};
use crate::parser::Shape;

const LIST: Form = Form {
    start: "<|tool_call|>",
    shape: Shape::Object,
    end: "",
    marked: true,
    open: "<|tool_call|>[",
    before: "{\"name\": \"{name}\", \"arguments\": ",
    after: "}",
    between: Some(", "),
    close: "]",
};

pub(super) static GRANITE: Dialect = Dialect {
    name: "granite",
    signs: &[&["<|start_of_role|>"]],
    never: &[],
    architectures: &["granite", "granitehybrid", "granitemoe"],
    reasoning: &[
        THINK,
        Tag { open: "Here is my thought process:", close: "Here is my response:", anywhere: false },
    ],
    calls: &[CALL, LIST, Form { start: "<tool_call|>", open: "<tool_call|>[", ..LIST }],
    wrappers: &[],
    dropped: &["<response>", "</response>", "<|end_of_text|>"],
    channels: false,
    calls_end_reasoning: false,
};
