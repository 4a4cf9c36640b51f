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
