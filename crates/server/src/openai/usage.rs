//! Counts and reasons in OpenAI's words.

use app::{Finished, TokenUsage};
use serde_json::{Value, json};

pub(crate) fn usage(usage: &TokenUsage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
        "completion_tokens_details": { "reasoning_tokens": 0 },
    })
}

pub(crate) fn finish_reason(finished: Finished) -> &'static str {
    match finished {
        Finished::EndOfText | Finished::Stop | Finished::Cancelled => "stop",
        Finished::Length | Finished::Context => "length",
    }
}
