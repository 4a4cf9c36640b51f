//! DeepSeek V2.5, V3, R1 and V3.1, and the distilled R1 models: calls between special tokens, with
//! the name before JSON, in a fence until V3.1.

use super::chatml::THINK;
use super::{Dialect, Form};
use crate::parser::Shape;

pub(super) static DEEPSEEK: Dialect = Dialect {
    name: "deepseek",
    signs: &[&["<｜tool▁calls▁begin｜>"], &["<｜Assistant｜>"]],
    never: &["DSML"],
    architectures: &["deepseek2"],
    reasoning: &[THINK],
    calls: &[Form {
        start: "<｜tool▁call▁begin｜>",
        shape: Shape::DeepSeek,
        end: "<｜tool▁call▁end｜>",
        marked: true,
        open: "<｜tool▁calls▁begin｜>",
        before: "<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>",
        after: "<｜tool▁call▁end｜>",
        between: Some(""),
        close: "<｜tool▁calls▁end｜>",
    }],
    wrappers: &[("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")],
    dropped: &["<｜end▁of▁sentence｜>"],
    channels: false,
    calls_end_reasoning: false,
};
