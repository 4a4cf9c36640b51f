//! Files, options and steps that are refused, and what is said.

mod support;

use std::sync::Arc;

use gguf::{Value, Writer};
use model::{LoadOptions, Model};
use quant::FormatId;
use support::{file, load, options};
use tensor::reference::Reference;
use tensor::{Batch, KvFormat, Span};
use testkit::TinyModel;

fn refused(writer: &Writer, expected: &str) {
    match model::spec(&file(writer)) {
        Ok(spec) => panic!("`{expected}` expected, got {spec:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{error}, not {expected}"),
    }
}

#[test]
fn metadata_out_of_range() {
    let u32 = Value::U32;
    let text = |text: &str| Value::String(text.to_owned());
    for (key, value, expected) in [
        ("general.architecture", text("qwen9"), "`qwen9` cannot be run; those that can: bert"),
        ("llama.block_count", u32(0), "llama.block_count is 0, but must be 1 to"),
        ("llama.block_count", u32(3), "lacks the tensor blk.2.attn_norm.weight [64]"),
        ("llama.block_count", u32(1), "the tensor blk.1."),
        ("llama.block_count", u32(u32::MAX), "llama.block_count is 4294967295"),
        ("llama.block_count", text("two"), "llama.block_count"),
        ("llama.embedding_length", u32(0), "llama.embedding_length is 0"),
        ("llama.embedding_length", u32(66), "must be a divisor of embedding_length (66)"),
        ("llama.embedding_length", u32(128), "token_embd.weight is [64, 288]"),
        ("llama.embedding_length", Value::U64(1 << 60), "llama.embedding_length is 115292150"),
        ("llama.feed_forward_length", u32(64), "want [64, 64]"),
        ("llama.attention.head_count", u32(0), "head_count is 0"),
        ("llama.attention.head_count", u32(3), "must be a divisor"),
        ("llama.attention.head_count_kv", u32(3), "a divisor of attention.head_count (4)"),
        ("llama.attention.head_count_kv", u32(0), "head_count_kv is 0"),
        ("llama.attention.key_length", u32(32), "attn_q.weight is [64, 64]"),
        ("llama.attention.value_length", u32(u32::MAX), "value_length is 4294967295"),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN), "epsilon is NaN"),
        ("llama.context_length", u32(0), "context_length is 0"),
        ("llama.rope.dimension_count", u32(15), "must be even"),
        ("llama.rope.dimension_count", u32(18), "at most the head's width, 16"),
        ("llama.rope.freq_base", Value::F32(-1.0), "freq_base is -1"),
        ("llama.rope.freq_base", Value::F32(f32::INFINITY), "freq_base is inf"),
        ("llama.rope.scaling.type", text("su"), "uses another scaling of positions"),
        ("llama.rope.scaling.type", text("yarn"), "llama.rope.scaling.original_context_length"),
        ("llama.expert_count", u32(8), "llama.expert_used_count"),
        ("llama.expert_count", u32(u32::MAX), "llama.expert_count is 4294967295"),
    ] {
        let mut writer = TinyModel::default().writer();
        writer.metadata(key, value);
        refused(&writer, expected);
    }
}

#[test]
fn tensors_that_do_not_belong() {
    let vector = |name: &str, len: u64, value: f32| {
        let mut writer = TinyModel::default().writer();
        let bytes = (0..len).flat_map(|_| value.to_le_bytes()).collect();
        writer.tensor(name, &[len], FormatId::F32, bytes);
        writer
    };
    refused(&vector("blk.0.attn_q_norm.weight", 16, 1.0), "attn_q_norm.weight has no place");
    refused(&vector("blk.1.ffn_out.scale", 1, 0.5), "blk.1.ffn_out.scale has no place");
    refused(&vector("rope_freqs.weight", 9, 1.0), "rope_freqs.weight is [9]");
    refused(&vector("rope_freqs.weight", 8, 0.0), "rope_freqs.weight is 0");
    refused(&vector("blk.0.attn_q.bias", 64, 1.0), "lacks the tensor blk.0.attn_k.bias [32]");
    let tokens = TinyModel { vocab: 288, ..TinyModel::default() };
    let mut writer = tokens.writer();
    let many = (0..300).map(|i| i.to_string()).collect();
    writer.metadata("tokenizer.ggml.tokens", Value::Array(gguf::Array::String(many)));
    refused(&writer, "tokenizer.ggml.tokens is 300 tokens");
}

#[test]
fn a_sliding_window_leaves_the_context_as_it_is() {
    let mut writer = TinyModel::default().writer();
    writer.metadata("llama.attention.sliding_window", Value::U32(100));
    let spec = model::spec(&file(&writer)).unwrap();
    assert_eq!((spec.context_len, spec.layers[1].mixer.window()), (256, Some(100)));
}

#[test]
fn experts_out_of_range() {
    let models = testkit::reference_models();
    let of = |name: &str| models.iter().find(|model| model.name == name).expect("a fixture");
    let u32 = Value::U32;
    for (name, key, value, expected) in [
        ("mixtral", "llama.expert_used_count", u32(99), "at most expert_count"),
        ("qwen3moe", "qwen3moe.expert_count", u32(3), "the model's metadata want"),
        ("qwen3moe", "qwen3moe.expert_feed_forward_length", u32(1), "ffn_gate_exps.weight is"),
        ("gpt_oss", "gpt-oss.rope.scaling.original_context_length", u32(0), "length is 0"),
        ("gpt_oss", "gpt-oss.rope.scaling.factor", Value::F32(f32::NAN), "factor is NaN"),
        ("gpt_oss", "gpt-oss.rope.scaling.yarn_ext_factor", Value::F32(0.5), "ext_factor is 0.5"),
        ("gpt_oss", "gpt-oss.rope.scaling.yarn_attn_factor", Value::F32(2.0), "attn_factor is 2"),
    ] {
        let mut writer = of(name).writer(FormatId::F32);
        writer.metadata(key, value);
        refused(&writer, expected);
    }
}

#[test]
fn options_out_of_range() {
    let file = file(&TinyModel::default().writer());
    let good = options;
    for (options, expected) in [
        (LoadOptions { context_len: 257, ..good() }, "context_len is 257, but must be 1 to 256"),
        (LoadOptions { context_len: 0, ..good() }, "context_len is 0"),
        (LoadOptions { rows_max: 0, ..good() }, "rows_max is 0"),
        (LoadOptions { rows_max: usize::MAX, ..good() }, "rows_max is 18446744073709551615"),
        (LoadOptions { kv_page_len: 0, ..good() }, "kv_page_len is 0"),
        (LoadOptions { kv_page_count: 0, ..good() }, "kv_page_count is 0"),
        (
            LoadOptions { kv_page_len: 1 << 31, kv_page_count: 1 << 31, ..good() },
            "kv_page_count is 2147483648",
        ),
        (
            LoadOptions { kv_format: KvFormat::Q8_0, ..good() },
            "keys and values in q8_0 are blocks of 32 values of a head, and a head here has 16",
        ),
    ] {
        let loaded = Model::load(&file, Arc::new(Reference::new()), &options, &mut |_, _| ());
        let error = loaded.err().expect(expected);
        assert!(error.to_string().contains(expected), "{error}");
        let need = model::memory_need(&file, &options, &Reference::new());
        assert_eq!(need.unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn steps_that_do_not_fit() {
    let mut model = load(&file(&TinyModel::default().writer()), &options());
    let mut refused =
        |tokens: &[u32], first_position: usize, pages: &[u32], row: u32, why: &str| {
            let spans = [Span { rows: tokens.len(), first_position, pages, state: 0 }];
            let batch = Batch::decode(tokens, &spans);
            let error = model.forward((&batch, &[]), &[row], &mut Vec::new()).expect_err(why);
            assert!(error.to_string().contains(why), "{error}, not {why}");
        };
    refused(&[288], 0, &[0], 0, "token 288 of a vocabulary of 288");
    refused(&[0], 0, &[0], 1, "the logits of row 1 of 1");
    refused(&[0; 65], 0, &[0; 9], 0, "65 rows, and the model was loaded for 64");
    refused(&[0], 128, &[0; 17], 0, "1 positions from 128 in a context of 128");
    refused(&[0], usize::MAX, &[0], 0, "in a context of 128");
    refused(&[0], 8, &[0], 0, "1 pages do not hold 9 positions");
    refused(&[0], 0, &[32], 0, "page 32 of 32");
    let spans = [Span { rows: 1, first_position: 0, pages: &[0], state: 0 }];
    let batch = Batch::decode(&[1, 2], &spans);
    let error = model.forward((&batch, &[]), &[], &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("spans cover 1 rows of 2 tokens"), "{error}");
}
