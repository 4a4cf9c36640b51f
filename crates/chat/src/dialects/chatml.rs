//! ChatML with Hermes's calls: Hermes 2 and 3, Qwen 2.5, Qwen 3, QwQ, MiMo, SmolLM and many more.

use super::{Dialect, Form, Tag};
use crate::parser::Shape;

/// JSON between `<tool_call>` tags.
pub(super) const CALL: Form = Form {
    start: "<tool_call>",
    shape: Shape::Object,
    end: "</tool_call>",
    marked: true,
    open: "",
    before: "<tool_call>\n{\"name\": \"{name}\", \"arguments\": ",
    after: "}\n</tool_call>",
    between: Some("\n"),
    close: "",
};

/// The tags that most reasoning models use.
pub(super) const THINK: Tag = Tag { open: "<think>", close: "</think>", anywhere: false };

pub(super) static CHATML: Dialect = Dialect {
    name: "chatml",
    signs: &[&["<tool_call>"], &["<|im_start|>"]],
    never: &[
        "<function name=",
        "<function=",
        "<arg_key>",
        "<invoke",
        "<minimax:tool_call>",
        "<|start_of_role|>",
        "<|tool_call_start|>",
        "<|tool_list_start|>",
        "<tool_calls>",
        "<|tool_call_begin|>",
        "<|sep|>",
    ],
    architectures: &["phimoe", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3"],
    reasoning: &[THINK],
    calls: &[CALL],
    wrappers: &[],
    dropped: &["<|im_end|>"],
    channels: false,
    calls_end_reasoning: false,
};
