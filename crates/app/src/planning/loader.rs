//! What the loader will reserve, said in the planner's kinds before anything is loaded.

use gguf::GgufFile;
use planner::{Memory, Subject};
use tokenizer::Tokenizer;

use super::scratch::{self, Step};
use super::{LOGIT_ROWS, SPECULATED_ROWS};
use crate::{LoadOptions, Result, backends, loaded};

/// What the program takes besides a model, as `cargo xtask memory` measured it.
const PROGRAM_BYTES: u64 = 1280 << 10;
/// A place of a text in the header, and the kind of a token.
const END_BYTES: u64 = 8;
const KIND_BYTES: u64 = 4;
/// What else a token was found to take, by vocabularies of two sizes; its cause is not traced.
const LEFT_BYTES: u64 = 4;
/// A conversation's bookkeeping, and for each token what drawing among all of them takes:
/// candidates of 8 bytes, and the logits as they were for log probabilities.
const CONVERSATION_BYTES: u64 = 64 << 10;
const DRAW_BYTES: u64 = 12;
/// Rows of logits on their way from the backend to the sampler.
const LOGIT_COPIES: u64 = 2;

/// What the loader reserves, in the planner's kinds: of a step those rows that so many
/// conversations can ask for, and a row of logits for each of them, or for each token of a draft.
/// No others are ever touched.
pub(super) fn memory(file: &GgufFile, subject: &Subject, options: &LoadOptions) -> Result<Memory> {
    let facts = &subject.facts;
    let need = loaded::memory_need(&facts.name, file, options)?;
    let users = u64::from(options.sequences_max.unwrap_or(1));
    let context = u64::from(options.context_len.unwrap_or(1));
    let rows = planner::step_rows(context, users);
    let logit_rows = rows.min(LOGIT_ROWS);
    let logit_row_bytes = facts.vocabulary * 4;
    let used = logit_rows.min(users.max(SPECULATED_ROWS as u64));
    let unused = (logit_rows - used) * logit_row_bytes;
    let threads = backends::threads(options.threads) as u64;
    let step = Step { context, rows, writing: users.min(rows), logits: used };
    let kernels = scratch::bytes(file, &model::spec(file)?, step, threads);
    Ok(Memory {
        weights_bytes: need.weights_bytes,
        kv_bytes: need.kv_bytes,
        state_bytes: need.state_bytes,
        activation_bytes: step_bytes(file, rows)?.saturating_sub(unused),
        runtime_bytes: PROGRAM_BYTES
            + tokenizer_bytes(file)
            + (CONVERSATION_BYTES + DRAW_BYTES * facts.vocabulary) * users
            + LOGIT_COPIES * used * logit_row_bytes
            + kernels,
        reserve_bytes: planner::RESERVE_BYTES,
        ..Memory::default()
    })
}

/// What a tokenizer takes, and the texts that the header keeps of it.
pub(super) fn tokenizer_bytes(file: &GgufFile) -> u64 {
    let texts = |key: &str| {
        let texts = file.metadata().strings(key).ok().flatten();
        let len = |texts: &gguf::Strings| texts.iter().map(|text| text.len() as u64).sum::<u64>();
        texts.map_or((0, 0), |texts| (texts.len() as u64, len(texts)))
    };
    let (tokens, bytes) = texts("tokenizer.ggml.tokens");
    let (merges, merge_bytes) = texts("tokenizer.ggml.merges");
    let header = bytes + merge_bytes + END_BYTES * (tokens + merges);
    let header = header + (KIND_BYTES + LEFT_BYTES) * tokens;
    Tokenizer::need_bytes(file.metadata()) + header
}

/// Activations of a step of so many rows, as the model itself counts them.
fn step_bytes(file: &GgufFile, rows: u64) -> Result<u64> {
    let backend = backends::choose(None, None)?;
    let options = model::LoadOptions {
        context_len: 1,
        rows_max: usize::try_from(rows).expect("a step is short"),
        kv_page_len: 1,
        kv_page_count: 1,
        kv_format: loaded::kv_format(None, backend.name())?,
        state_slots: 1,
    };
    Ok(model::memory_need(file, &options, &*backend)?.workspace_bytes)
}
