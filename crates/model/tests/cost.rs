//! The least work of a step, by hand for a tiny model.

mod support;

use model::{CostModel, StepCost};
use quant::FormatId;
use support::file;
use tensor::KvFormat;
use testkit::TinyModel;

/// Weights of one layer: q and output, k and v, three of the feed-forward.
const LAYER: u64 = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128;
/// Weights of the embedding table, and of the output matrix.
const TABLE: u64 = 288 * 64;
/// Values of one position: 2 layers, 2 heads, 16 of a key and 16 of a value.
const KV: u64 = 2 * 2 * 32;

fn cost(tied: bool, format: FormatId) -> CostModel {
    let file = file(&TinyModel { tied, format, ..TinyModel::default() }.writer());
    CostModel::new(&file, KvFormat::F16).expect("a sound model")
}

/// Bytes of so many weights of Q8_0.
fn q8_0(weights: u64) -> u64 {
    weights / 32 * 34
}

#[test]
fn a_token_reads_every_layer_the_output_and_its_context() {
    for tied in [false, true] {
        let found = cost(tied, FormatId::Q8_0).step(&[(9, 1)], 1);
        let expected = StepCost {
            read_bytes: q8_0(2 * LAYER + TABLE + 64) + 10 * KV * 2,
            int8_ops: 2 * (2 * LAYER + TABLE),
            float_ops: 10 * 2 * 2 * 4 * 32,
        };
        assert_eq!(found, expected, "tied: {tied}");
    }
}

#[test]
fn a_prompt_reads_weights_once_and_its_rows_see_what_is_before() {
    let found = cost(false, FormatId::F16).step(&[(0, 3), (5, 2)], 0);
    // Rows see 1, 2, 3 and 6, 7 positions; sequences end at 3 and 7.
    let expected = StepCost {
        read_bytes: 2 * (2 * LAYER + 5 * 64) + 10 * KV * 2,
        int8_ops: 0,
        float_ops: 5 * 2 * 2 * LAYER + 19 * 2 * 2 * 4 * 32,
    };
    assert_eq!(found, expected);
}

#[test]
fn a_window_bounds_what_is_seen_and_read() {
    let mut writer = TinyModel::default().writer();
    writer.metadata("llama.attention.sliding_window", gguf::Value::U32(4));
    let window = CostModel::new(&file(&writer), KvFormat::F16).expect("a sound model");
    let all = cost(false, FormatId::Q8_0);
    let ops = 2 * 2 * 4 * 32;
    // Rows 2, 3, 4, 5 see 3, 4, 4, 4 of 3, 4, 5, 6 positions; the cache is read from 0 on, since
    // row 2 sees it.
    let (found, whole) = (window.step(&[(2, 4)], 0), all.step(&[(2, 4)], 0));
    assert_eq!(whole.float_ops - found.float_ops, (18 - 15) * ops);
    assert_eq!(whole.read_bytes, found.read_bytes);
    // A row at 99 sees and reads four.
    let (found, whole) = (window.step(&[(99, 1)], 1), all.step(&[(99, 1)], 1));
    assert_eq!(whole.float_ops - found.float_ops, 96 * ops);
    assert_eq!(whole.read_bytes - found.read_bytes, 96 * KV * 2);
}

#[test]
fn of_experts_only_those_of_a_row_count() {
    let models = testkit::reference_models();
    let mixtral = models.iter().find(|model| model.name == "mixtral").expect("a fixture");
    let file = file(&mixtral.writer(FormatId::F32));
    let (mut once, mut stacks) = (0, 0);
    for tensor in file.tensors() {
        match &*tensor.name {
            name if name.ends_with("_exps.weight") => stacks += tensor.size_bytes,
            "token_embd.weight" => once += tensor.shape[0] * 4,
            _ if tensor.shape.len() == 2 => once += tensor.size_bytes,
            _ => {}
        }
    }
    let number = |key: &str| file.metadata().u64(key).expect("a number").expect("there");
    let (used, count) = (number("llama.expert_used_count"), number("llama.expert_count"));
    let found = CostModel::new(&file, KvFormat::F16).expect("a sound model").step(&[(0, 1)], 1);
    let layers = number("llama.block_count");
    let head = number("llama.attention.key_length") + number("llama.attention.value_length");
    let kv = layers * number("llama.attention.head_count_kv") * head * 2;
    assert_eq!(found.read_bytes, once + stacks / count * used + kv);
}
