//! gpt-oss: an answer is a row of messages on the channels `analysis`, `commentary` and `final`.

use super::{Dialect, Form};
use crate::parser::Shape;

pub(super) static HARMONY: Dialect = Dialect {
    name: "harmony",
    signs: &[&["<|channel|>", "<|message|>"]],
    never: &[],
    architectures: &["gpt-oss"],
    reasoning: &[],
    calls: &[Form {
        start: "<|channel|>",
        shape: Shape::NameAndJson,
        end: "<|call|>",
        marked: true,
        open: "",
        before: "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>",
        // What ends the call ends the answer.
        after: "",
        between: None,
        close: "",
    }],
    wrappers: &[],
    dropped: &[],
    channels: true,
    calls_end_reasoning: false,
};
