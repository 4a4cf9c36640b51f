//! Mistral: `[TOOL_CALLS]` before a list of JSON objects (Nemo, Small 3), or before each call as
//! `name[ARGS]{..}` (Small 3.2, Magistral, Devstral, Ministral 3).

use super::{Dialect, Form, Tag};
use crate::parser::Shape;

pub(super) static MISTRAL: Dialect = Dialect {
    name: "mistral",
    signs: &[&["[TOOL_CALLS]"], &["[INST]"]],
    never: &[],
    architectures: &["mistral3"],
    reasoning: &[Tag { open: "[THINK]", close: "[/THINK]", anywhere: true }],
    calls: &[Form {
        start: "[TOOL_CALLS]",
        shape: Shape::Mistral,
        end: "",
        marked: true,
        open: "",
        before: "[TOOL_CALLS]{name}[ARGS]",
        after: "",
        between: Some(""),
        close: "",
    }],
    wrappers: &[],
    dropped: &["</s>"],
    channels: false,
    calls_end_reasoning: false,
};
