//! ByteDance's Seed-OSS: Qwen3-Coder's functions between tags of its own.

use super::qwen3_coder::FUNCTION;
use super::{Dialect, Form, Tag};

pub(super) static SEED_OSS: Dialect = Dialect {
    name: "seed_oss",
    signs: &[&["<seed:tool_call>"]],
    never: &[],
    architectures: &["seed_oss"],
    reasoning: &[Tag { open: "<seed:think>", close: "</seed:think>", anywhere: true }],
    calls: &[Form {
        before: "<seed:tool_call>\n<function={name}>\n",
        after: "</function>\n</seed:tool_call>",
        ..FUNCTION
    }],
    wrappers: &[("<seed:tool_call>", "</seed:tool_call>")],
    dropped: &["<seed:eos>"],
    channels: false,
    calls_end_reasoning: false,
};
