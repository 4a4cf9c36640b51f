//! gpt-oss: an answer is a row of messages on the channels `analysis`, `commentary` and `final`.

use super::Dialect;

pub(super) static HARMONY: Dialect = Dialect {
    name: "harmony",
    signs: &[&["<|channel|>", "<|message|>"]],
    never: &[],
    architectures: &["gpt-oss"],
    reasoning: &[],
    calls: &[],
    wrappers: &[],
    dropped: &[],
    channels: true,
    calls_end_reasoning: false,
};
