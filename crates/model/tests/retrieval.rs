//! Models for retrieval against what `transformers` computed, see `tools/reference`.

mod support;

use gguf::{GgufFile, Value, Writer};
use model::{LoadOptions, Model, Pool, Pooling};
use quant::FormatId;
use support::{PAGE_LEN, bits, file, load, options};
use tensor::{Batch, Span};
use testkit::{ReferenceModel, retrieval_models};

/// As for logits, see `architectures.rs`.
const TOLERANCE: f32 = 1e-4;

fn loaded(model: &ReferenceModel) -> (GgufFile, Model) {
    let file = file(&model.writer(FormatId::F32));
    let context_len = u32::try_from(model.tokens.len()).expect("a short sequence");
    let loaded = load(&file, &LoadOptions { context_len, ..options() });
    (file, loaded)
}

/// What several texts come to in one step, each on its pages.
fn together(model: &mut Model, texts: &[(&[u32], &[u32])], types: &[u32]) -> Vec<Vec<f32>> {
    let tokens: Vec<u32> = texts.iter().flat_map(|(tokens, _)| tokens.iter().copied()).collect();
    let span = |(tokens, pages)| {
        let (tokens, pages): (&[u32], _) = (tokens, pages);
        Span { rows: tokens.len(), first_position: 0, pages, state: 0 }
    };
    let spans: Vec<Span<'_>> = texts.iter().copied().map(span).collect();
    let mut pools = vec![(Pool::default(), true); texts.len()];
    model.pool(&Batch::prefill(&tokens, &spans), types, &mut pools).expect("a sound step");
    pools.iter().map(|(pool, _)| model.pooled(pool).expect("pooled rows")).collect()
}

fn alone(model: &mut Model, tokens: &[u32]) -> Vec<f32> {
    together(model, &[(tokens, &[3, 0, 7, 5])], &[]).swap_remove(0)
}

#[test]
fn what_comes_out_is_what_transformers_says() {
    let models = retrieval_models();
    assert_eq!(models.len(), 4);
    for model in models {
        let (_file, mut loaded) = loaded(&model);
        let found = alone(&mut loaded, &model.tokens);
        assert_eq!(found.len(), model.pooled.len(), "{}", model.name);
        let errors = found.iter().zip(&model.pooled).map(|(found, wanted)| (found - wanted).abs());
        let worst = errors.fold(0.0, f32::max);
        println!("{:16} {worst:.1e}", model.name);
        assert!(worst <= TOLERANCE, "{} is off by {worst}", model.name);
    }
}

#[test]
fn neighbours_do_not_show() {
    for model in retrieval_models() {
        let (_file, mut loaded) = loaded(&model);
        let other: Vec<u32> = model.tokens.iter().rev().copied().take(9).collect();
        let texts: [(&[u32], &[u32]); 3] =
            [(&other, &[2, 8]), (&model.tokens, &[1, 4, 6]), (&other[..1], &[9])];
        let found = together(&mut loaded, &texts, &[]);
        for (found, (tokens, _)) in found.iter().zip(texts) {
            assert_eq!(bits(found), bits(&alone(&mut loaded, tokens)), "{}", model.name);
        }
    }
}

#[test]
fn what_sees_only_the_past_may_come_in_steps() {
    let models = retrieval_models();
    let model = models.iter().find(|model| model.name == "qwen3_embedding").expect("a fixture");
    for (key, pooling) in [(1, Pooling::Mean), (2, Pooling::First), (3, Pooling::Last)] {
        let mut writer = model.writer(FormatId::F32);
        writer.metadata("qwen3.pooling_type", Value::U32(key));
        let mut loaded = load(&file(&writer), &options());
        assert_eq!(loaded.spec().pooling, Some(pooling));
        let whole = alone(&mut loaded, &model.tokens);
        let mut pools = vec![(Pool::default(), false)];
        for (i, tokens) in model.tokens.chunks(PAGE_LEN - 1).enumerate() {
            let first_position = i * (PAGE_LEN - 1);
            pools[0].1 = first_position + tokens.len() == model.tokens.len();
            let pages: &[u32] = &[4, 2, 9];
            let spans = [Span { rows: tokens.len(), first_position, pages, state: 0 }];
            loaded.pool(&Batch::prefill(tokens, &spans), &[], &mut pools).expect("a sound step");
        }
        let cut = loaded.pooled(&pools[0].0).expect("pooled rows");
        assert_eq!(bits(&cut), bits(&whole), "{pooling:?}");
    }
}

#[test]
fn types_change_what_comes_out() {
    let models = retrieval_models();
    let model = models.iter().find(|model| model.name == "bert").expect("a fixture");
    let (_file, mut loaded) = loaded(model);
    let whole = alone(&mut loaded, &model.tokens);
    let text: [(&[u32], &[u32]); 1] = [(&model.tokens, &[3, 0, 7])];
    let mut types = vec![0; model.tokens.len()];
    assert_eq!(bits(&together(&mut loaded, &text, &types)[0]), bits(&whole));
    types[9..].fill(1);
    assert_ne!(bits(&together(&mut loaded, &text, &types)[0]), bits(&whole));
}

#[test]
fn one_layer_of_cache_is_enough_to_look_both_ways() {
    for model in retrieval_models() {
        let (_file, loaded) = loaded(&model);
        let wanted = if model.architecture() == "qwen3" { loaded.spec().layers.len() } else { 1 };
        assert_eq!(loaded.kv_layout().n_layers, wanted, "{}", model.name);
    }
}

#[test]
fn yes_and_no_make_one_score() {
    let models = retrieval_models();
    let model = models.iter().find(|model| model.name == "qwen3_embedding").expect("a fixture");
    let mut writer = model.writer(FormatId::F32);
    let labels: Vec<f32> = (0..128).map(|i| (i % 7) as f32 * 0.1 - 0.2).collect();
    let bytes = labels.iter().flat_map(|value| value.to_le_bytes()).collect();
    writer.tensor("cls.output.weight", &[64, 2], FormatId::F32, bytes);
    writer.metadata("qwen3.pooling_type", Value::U32(4));
    let found = alone(&mut load(&file(&writer), &options()), &model.tokens);
    let logit = |label: usize| -> f32 {
        let row = labels[label * 64..][..64].iter();
        row.zip(&model.pooled).map(|(weight, x)| weight * x).sum()
    };
    assert!((found[0] - (logit(0) - logit(1))).abs() < 1e-3, "{found:?}");
    assert_eq!(found.len(), 1);
}

#[track_caller]
fn refused(writer: &Writer, expected: &str) {
    match model::spec(&file(writer)) {
        Ok(spec) => panic!("`{expected}` expected, got {spec:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "{error}, not {expected}"),
    }
}

#[test]
fn files_that_say_what_cannot_be() {
    let models = retrieval_models();
    let of = |name: &str| models.iter().find(|model| model.name == name).expect("a fixture");
    let u32 = Value::U32;
    for (name, key, value, expected) in [
        ("bert", "bert.pooling_type", u32(0), "attention both ways without pooling"),
        ("bert", "bert.pooling_type", u32(4), "a score without cls.output.weight"),
        ("bert", "bert.pooling_type", u32(9), "bert.pooling_type is 9, but must be 0 to 4"),
        ("bert", "bert.attention.causal", Value::Bool(true), "no attention both ways"),
        ("bert", "bert.context_length", u32(31), "position_embd.weight is [64, 32]"),
        ("bert", "bert.attention.layer_norm_epsilon", Value::F32(-1.0), "epsilon is -1"),
        ("nomic_bert", "nomic-bert.attention.key_length", u32(8), "attn_qkv.weight is"),
    ] {
        let mut writer = of(name).writer(FormatId::F32);
        writer.metadata(key, value);
        refused(&writer, expected);
    }
    let mut writer = of("bert").writer(FormatId::F32);
    writer.tensor("cls.output.weight", &[64, 3], FormatId::F32, vec![0; 64 * 3 * 4]);
    refused(&writer, "a classifier of 3 labels");
}

#[test]
fn steps_that_do_not_fit() {
    let models = retrieval_models();
    let model = models.iter().find(|model| model.name == "bert").expect("a fixture");
    let (_file, mut loaded) = loaded(model);
    let mut refused = |first_position: usize, types: &[u32], pools: usize, why: &str| {
        let pages: &[u32] = &[0, 1];
        let spans = [Span { rows: 2, first_position, pages, state: 0 }];
        let batch = Batch::prefill(&[5, 6], &spans);
        let mut pools = vec![(Pool::default(), true); pools];
        let error = loaded.pool(&batch, types, &mut pools).expect_err(why);
        assert!(error.to_string().contains(why), "{error}, not {why}");
    };
    refused(1, &[], 1, "goes in one step");
    refused(0, &[0], 1, "1 types of 2 rows, each below 2");
    refused(0, &[0, 2], 1, "2 types of 2 rows, each below 2");
    refused(0, &[], 2, "2 pools of 1 texts");
    assert!(loaded.pooled(&Pool::default()).is_err());
    let spans = [Span { rows: 1, first_position: 0, pages: &[0], state: 0 }];
    let batch = Batch::prefill(&[5], &spans);
    let error = loaded.forward((&batch, &[]), &[0], &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("has no logits"), "{error}");
    let models = testkit::reference_models();
    let text = models.iter().find(|model| model.name == "llama").expect("a fixture");
    let mut text = load(&file(&text.writer(FormatId::F32)), &options());
    let error = text.pool(&batch, &[], &mut [(Pool::default(), true)]).unwrap_err();
    assert!(error.to_string().contains("does not pool"), "{error}");
}
