//! GLM 4.5 to 4.7 and models that write like them: a name, then keys and values in tags.

use super::chatml::{CALL, THINK};
use super::{Dialect, Form};
use crate::parser::Shape;

pub(super) static GLM4: Dialect = Dialect {
    name: "glm4",
    signs: &[&["<arg_key>", "<tool_call>"]],
    never: &[],
    architectures: &["glm4", "glm4moe"],
    reasoning: &[THINK],
    calls: &[Form {
        shape: Shape::KeysAndValues,
        before: "<tool_call>{name}\n",
        after: "</tool_call>",
        ..CALL
    }],
    wrappers: &[],
    dropped: &["<|role_end|>"],
    channels: false,
    calls_end_reasoning: true,
};
