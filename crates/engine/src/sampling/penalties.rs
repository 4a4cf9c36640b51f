//! Penalties on tokens that were used lately, as llama.cpp defines them, and the caller's bias.

use std::collections::BTreeMap;

use super::params::SamplingParams;

/// Adds the bias; ids outside the vocabulary are ignored here and refused at submission.
pub(crate) fn bias(logits: &mut [f32], biases: &[(u32, f32)]) {
    for (id, bias) in biases {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit += bias;
        }
    }
}

/// Divides positive and multiplies negative logits of recent tokens by the repeat penalty, then
/// subtracts the frequency penalty for each use and the presence penalty once.
pub(crate) fn penalize(logits: &mut [f32], history: &[u32], params: &SamplingParams) {
    let (presence, frequency) = (params.presence_penalty, params.frequency_penalty);
    let repeat = params.repeat_penalty;
    if repeat == 1.0 && presence == 0.0 && frequency == 0.0 {
        return;
    }
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for id in recent(history, params.repeat_last_n) {
        *counts.entry(*id).or_default() += 1;
    }
    for (id, count) in counts {
        let Some(logit) = logits.get_mut(id as usize) else { continue };
        *logit = if *logit <= 0.0 { *logit * repeat } else { *logit / repeat };
        *logit -= count as f32 * frequency + presence;
    }
}

/// The last `last_n` tokens; -1 is all of them.
pub(crate) fn recent(history: &[u32], last_n: i32) -> &[u32] {
    let len = usize::try_from(last_n).unwrap_or(usize::MAX).min(history.len());
    &history[history.len() - len..]
}
