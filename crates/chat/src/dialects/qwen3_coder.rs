//! Qwen3-Coder, Qwen3.5 and models that write like them: functions and parameters as XML.

use super::chatml::THINK;
use super::{Dialect, Form};
use crate::parser::Shape;

/// A function as XML.
pub(super) const FUNCTION: Form = Form {
    start: "<function=",
    shape: Shape::Functions,
    end: "</function>",
    marked: true,
    open: "",
    before: "<tool_call>\n<function={name}>\n",
    after: "</function>\n</tool_call>",
    between: Some("\n"),
    close: "",
};

pub(super) static QWEN3_CODER: Dialect = Dialect {
    name: "qwen3_coder",
    signs: &[&["<function=", "<parameter="]],
    never: &["<seed:tool_call>"],
    architectures: &["qwen35", "qwen35moe", "qwen3next"],
    reasoning: &[THINK],
    calls: &[FUNCTION],
    wrappers: &[("<tool_call>", "</tool_call>")],
    dropped: &["<|im_end|>"],
    channels: false,
    calls_end_reasoning: true,
};
