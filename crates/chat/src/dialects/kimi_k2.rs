//! Moonshot's Kimi K2: special tokens, and an id that holds the name.

use super::chatml::THINK;
use super::{Dialect, Form};
use crate::parser::Shape;

pub(super) static KIMI_K2: Dialect = Dialect {
    name: "kimi_k2",
    signs: &[&["<|tool_calls_section_begin|>"]],
    never: &[],
    architectures: &[],
    reasoning: &[THINK],
    calls: &[Form {
        start: "<|tool_call_begin|>",
        shape: Shape::Kimi,
        end: "<|tool_call_end|>",
        marked: true,
        open: "<|tool_calls_section_begin|>",
        before: "<|tool_call_begin|>functions.{name}:{number}<|tool_call_argument_begin|>",
        after: "<|tool_call_end|>",
        between: Some(""),
        close: "<|tool_calls_section_end|>",
    }],
    wrappers: &[("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")],
    dropped: &["<|im_end|>"],
    channels: false,
    calls_end_reasoning: true,
};
