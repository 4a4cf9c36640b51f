//! Gemma: 2 and 3 have no tokens for calls and write them in fences; FunctionGemma and Gemma 4 have
//! tokens and braces of their own.

use super::{Dialect, Form, Tag};
use crate::parser::Shape;

const fn fence(start: &'static str, shape: Shape) -> Form {
    Form {
        start,
        shape,
        end: "```",
        marked: false,
        open: "",
        before: "```json\n{\"name\": \"{name}\", \"arguments\": ",
        after: "}\n```",
        between: Some("\n"),
        close: "",
    }
}

pub(super) static GEMMA: Dialect = Dialect {
    name: "gemma",
    signs: &[&["<start_of_turn>"], &["<|turn>"]],
    never: &[],
    architectures: &["gemma", "gemma2", "gemma3", "gemma3n", "gemma4"],
    reasoning: &[Tag { open: "<|channel>thought", close: "<channel|>", anywhere: true }],
    calls: &[
        fence("```json", Shape::Object),
        fence("```tool_call", Shape::Object),
        fence("```function_call", Shape::Object),
        fence("```tool_code", Shape::PythonCalls),
        fence("", Shape::Object),
        Form {
            start: "<|tool_call>",
            shape: Shape::Dict,
            end: "<tool_call|>",
            marked: true,
            open: "",
            before: "<|tool_call>call:{name}",
            after: "<tool_call|>",
            between: Some(""),
            close: "",
        },
        Form {
            start: "<start_function_call>",
            shape: Shape::Dict,
            end: "<end_function_call>",
            marked: true,
            open: "",
            before: "<start_function_call>call:{name}",
            after: "<end_function_call>",
            between: Some(""),
            close: "",
        },
    ],
    wrappers: &[],
    dropped: &["<channel|>", "<|channel>", "<end_of_turn>", "<turn|>"],
    channels: false,
    calls_end_reasoning: false,
};
