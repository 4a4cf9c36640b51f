//! Llama 3.1 to 3.3: a bare JSON object with `parameters`, code after `<|python_tag|>`, or
//! `<function=name>{..}</function>` where the prompt asks for that.

use super::chatml::THINK;
use super::generic::BARE;
use super::{Dialect, Form};
use crate::parser::Shape;

pub(super) static LLAMA3: Dialect = Dialect {
    name: "llama3",
    signs: &[&["<|start_header_id|>"]],
    never: &["<tool_call>", "functools", ">>>", "<｜Assistant｜>"],
    architectures: &["llama"],
    reasoning: &[THINK],
    calls: &[
        Form { before: "{\"name\": \"{name}\", \"parameters\": ", ..BARE },
        Form {
            start: "<|python_tag|>",
            shape: Shape::PythonTag,
            end: "<|eom_id|>",
            marked: true,
            ..BARE
        },
        Form {
            start: "<function=",
            shape: Shape::NameAndJson,
            end: "</function>",
            marked: true,
            open: "",
            before: "<function={name}>",
            after: "</function>",
            between: Some(""),
            close: "",
        },
    ],
    wrappers: &[],
    dropped: &["<|eot_id|>", "<|eom_id|>"],
    channels: false,
    calls_end_reasoning: false,
};
