//! Counts and reasons in OpenAI's words.

use std::time::Duration;

use app::{Finished, TokenUsage};
use serde_json::{Value, json};

pub(crate) fn usage(usage: &TokenUsage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "accepted_prediction_tokens": usage.accepted_prediction_tokens,
            "rejected_prediction_tokens": usage.rejected_prediction_tokens,
        },
        // Beside the standard's fields; its clients keep what they do not know.
        "hob": own(usage),
    })
}

/// What the standard has no fields for. A stream whose client asked for no usage has it in its last
/// chunk.
pub(crate) fn own(usage: &TokenUsage) -> Value {
    json!({
        "energy_joules": usage.energy.joules,
        "energy_basis": usage.energy.basis.name(),
        "queue_ms": ms(usage.queued),
        "prefill_ms": ms(usage.prefill),
        "decode_ms": ms(usage.decode),
        "busy_ms": ms(usage.busy),
        "draft_tokens": usage.draft_tokens,
        "accepted_tokens": usage.accepted_tokens,
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn finish_reason(finished: Finished) -> &'static str {
    match finished {
        Finished::EndOfText | Finished::Stop | Finished::Cancelled => "stop",
        Finished::Calls => "tool_calls",
        Finished::Length | Finished::Context => "length",
    }
}
