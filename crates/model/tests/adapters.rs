//! Adapters: what they add is what merged weights have, rows without any are the same to the bit,
//! and what cannot be applied is refused by name.

mod support;

use gguf::{GgufFile, TensorInfo, Value, Writer};
use model::{AdapterFile, AdapterScale, Error, LoadOptions, Model, adapter_need};
use quant::FormatId;
use support::{bits, file, load, options, step};
use tensor::reference::Reference;
use tensor::{Batch, Span};
use testkit::{ReferenceModel, TinyAdapter, TinyModel, merged, reference_models};

/// Largest error of a logit, as a part of the largest logit: merged weights are rounded once more.
const TOLERANCE: f32 = 1e-5;

fn with<'a>(name: &'a str, file: &'a GgufFile) -> AdapterFile<'a> {
    AdapterFile { name, file }
}

fn scaled(adapter: usize, scale: f32) -> AdapterScale {
    AdapterScale { adapter, scale }
}

/// As [`step`], with adapters.
fn adapted(model: &mut Model, tokens: &[u32], pages: &[u32], scales: &[AdapterScale]) -> Vec<f32> {
    let spans = [Span { rows: tokens.len(), first_position: 0, pages, state: 0 }];
    let batch = Batch::decode(tokens, &spans);
    let rows: Vec<u32> = (0..).take(tokens.len()).collect();
    let mut logits = Vec::new();
    model.forward_adapted((&batch, &[]), &[scales], &rows, &mut logits).expect("a sound step");
    logits
}

fn refusal(model: &mut Model, adapter: &GgufFile) -> Option<String> {
    match model.load_adapters(&[with("a", adapter)]) {
        Ok(()) => None,
        Err(error @ Error::Adapter { .. }) => Some(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Beside all matrices at once that are not refused: what is added is what merged weights have. How
/// many these are, and the names of the others.
fn all_matrices(model: &ReferenceModel) -> (usize, Vec<String>) {
    let base = file(&model.writer(FormatId::F32));
    let mut loaded = load(&base, &options());
    let is_matrix =
        |tensor: &&TensorInfo| tensor.shape.len() == 2 && tensor.name.ends_with("weight");
    let names = base.tensors().iter().filter(is_matrix).map(|tensor| tensor.name.clone());
    let (refused, adaptable): (Vec<String>, Vec<String>) = names.partition(|name| {
        let adapter = file(&TinyAdapter::default().writer(&base, |other| other == name));
        let said = refusal(&mut loaded, &adapter);
        assert!(said.as_ref().is_none_or(|said| said.contains(name)), "{said:?}");
        said.is_some()
    });
    let wanted = |name: &str| adaptable.iter().any(|other| other == name);
    let adapter = file(&TinyAdapter::default().writer(&base, wanted));
    loaded.load_adapters(&[with("a", &adapter)]).expect("each was taken");
    let found = adapted(&mut loaded, &model.tokens, &[3, 0, 7, 5], &[scaled(0, 0.5)]);
    let plain = step(&mut loaded, &model.tokens, 0, &[3, 0, 7, 5]);
    let expected = file(&merged(&base, &[(&adapter, 0.5)]));
    let expected = step(&mut load(&expected, &options()), &model.tokens, 0, &[3, 0, 7, 5]);
    let off: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    let moved: Vec<f32> = found.iter().zip(&plain).map(|(a, b)| a - b).collect();
    let (off, moved) = (largest(&off), largest(&moved));
    assert!(off <= TOLERANCE * largest(&expected), "{}: {off:e}", model.name);
    assert!(moved > 1e3 * off, "{}: moved by {moved:e}, off by {off:e}", model.name);
    (adaptable.len(), refused)
}

#[test]
fn what_adapters_add_is_what_merged_weights_have() {
    let mut all = Vec::new();
    for model in reference_models() {
        let (adaptable, refused) = all_matrices(&model);
        assert!(adaptable > 0, "{}", model.name);
        let parts = refused.iter().map(|name| name.rsplit('.').nth(1).expect("a part").to_owned());
        all.extend(parts);
    }
    all.sort();
    all.dedup();
    // What no block adapts. Experts are stacks, and no matrices.
    assert_eq!(all, ["ffn_gate_inp_shexp", "ssm_ba", "ssm_conv1d", "token_embd"]);
}

/// All that can be adapted in the tiny llama.
fn is_adaptable(name: &str) -> bool {
    name.ends_with(".weight") && !name.contains("norm") && name != "token_embd.weight"
}

#[test]
fn several_at_once_and_none_beside_them() {
    for format in [FormatId::F32, FormatId::Q8_0] {
        let base = file(&TinyModel { format, ..TinyModel::default() }.writer());
        let mut loaded = load(&base, &options());
        let tokens: Vec<u32> = (20..33).collect();
        let plain = step(&mut loaded, &tokens, 0, &[0, 1]);
        let gates = |name: &str| name.contains("ffn_gate") || name.contains("attn_q.");
        let first = file(&TinyAdapter::default().writer(&base, is_adaptable));
        let second = TinyAdapter { seed: 2, rank: 3, alpha: 0.0 };
        let second = file(&second.writer(&base, gates));
        loaded.load_adapters(&[with("first", &first), with("second", &second)]).expect("sound");
        assert_eq!(loaded.adapter_count(), 2);
        let wishes: [&[AdapterScale]; 4] =
            [&[scaled(0, 1.0)], &[], &[scaled(1, -0.5)], &[scaled(1, 0.25), scaled(0, 2.0)]];
        let alone = wishes.map(|wish| adapted(&mut loaded, &tokens, &[0, 1], wish));
        assert_eq!(bits(&alone[1]), bits(&plain), "{format:?}");
        let zero = adapted(&mut loaded, &tokens, &[0, 1], &[scaled(0, 0.0)]);
        assert_eq!(bits(&zero), bits(&plain), "{format:?}");
        for (i, others) in alone.iter().enumerate() {
            assert!(alone[..i].iter().all(|other| bits(other) != bits(others)), "{format:?} {i}");
        }
        let pages: [&[u32]; 4] = [&[8, 3], &[2, 1], &[4, 5], &[6, 7]];
        let spans = [0, 1, 2, 3].map(|i| Span {
            rows: tokens.len(),
            first_position: 0,
            pages: pages[i],
            state: i,
        });
        let all = tokens.repeat(4);
        let rows: Vec<u32> = (0..).take(all.len()).collect();
        let (batch, mut together) = (Batch::decode(&all, &spans), Vec::new());
        let step = (&batch, &[][..]);
        loaded.forward_adapted(step, &wishes, &rows, &mut together).expect("a sound step");
        assert_eq!(bits(&together), bits(&alone.concat()), "{format:?}");
    }
}

#[test]
fn two_adapters_are_the_sum_of_both() {
    let base = file(&TinyModel { format: FormatId::F32, ..TinyModel::default() }.writer());
    let tokens: Vec<u32> = (20..33).collect();
    let adapters = [1, 2].map(|seed| {
        let adapter = TinyAdapter { seed, rank: 2 + seed as usize, ..TinyAdapter::default() };
        file(&adapter.writer(&base, is_adaptable))
    });
    let mut loaded = load(&base, &options());
    let files = [with("first", &adapters[0]), with("second", &adapters[1])];
    loaded.load_adapters(&files).expect("sound");
    let wish = [scaled(0, 0.5), scaled(1, -0.75)];
    let found = adapted(&mut loaded, &tokens, &[0, 1], &wish);
    let expected = merged(&base, &[(&adapters[0], 0.5), (&adapters[1], -0.75)]);
    let expected = step(&mut load(&file(&expected), &options()), &tokens, 0, &[0, 1]);
    let off = found.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>();
    assert!(largest(&off) <= TOLERANCE * largest(&expected), "{:e}", largest(&off));
}

#[test]
fn what_is_needed_is_said_before() {
    let base = file(&TinyModel::default().writer());
    let adapter = file(&TinyAdapter::default().writer(&base, is_adaptable));
    let loaded = load(&base, &options());
    let files = [with("a", &adapter)];
    let need = adapter_need(loaded.spec(), &files, 64, &Reference::new()).expect("sound");
    // Of 2 layers, all F32 of rank 4, and of the output matrix.
    let layer = 4 * (64 + 64) + 2 * 4 * (64 + 32) + 4 * (64 + 64) + 3 * 4 * (64 + 128);
    assert_eq!(need.weights_bytes, 4 * (2 * layer + 4 * (64 + 288)));
    // Hidden, deltas of four widths (few rows of the widest), and ups.
    assert_eq!(need.workspace_bytes, 4 * (64 * (4 + 32 + 64 + 128 + 128) + 32 * 288));
}

#[test]
fn steps_with_adapters_that_are_not_there_are_refused() {
    let base = file(&TinyModel::default().writer());
    let adapter = file(&TinyAdapter::default().writer(&base, is_adaptable));
    let mut loaded = load(&base, &options());
    loaded.load_adapters(&[with("a", &adapter)]).expect("sound");
    let spans = [Span { rows: 2, first_position: 0, pages: &[0], state: 0 }];
    let batch = Batch::decode(&[1, 2], &spans);
    let nan = f32::NAN;
    for (wishes, said) in [
        (&[&[scaled(1, 1.0)][..]][..], "1 of adapter 1, and 1 are loaded"),
        (&[&[scaled(0, nan)]], "NaN of adapter 0"),
        (&[&[], &[]], "adapters for 2 of 1 sequences"),
    ] {
        let done = loaded.forward_adapted((&batch, &[]), wishes, &[1], &mut Vec::new());
        let error = done.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Says what is expected of each adapter, in one line, and takes none of them.
fn check_refused(cases: Vec<(Writer, &str)>) {
    let base = file(&TinyModel::default().writer());
    let mut loaded = load(&base, &options());
    for (writer, expected) in cases {
        let said = refusal(&mut loaded, &file(&writer)).unwrap_or_else(|| panic!("{expected}"));
        assert!(said.contains(expected), "{said}");
        assert!(said.starts_with("the adapter a cannot be used: "), "{said}");
        assert!(!said.contains('\n'), "{said}");
        assert_eq!(loaded.adapter_count(), 0);
    }
}

/// Beside the queries of the second layer.
fn sound() -> Writer {
    let base = file(&TinyModel::default().writer());
    TinyAdapter::default().writer(&base, |name| name == "blk.1.attn_q.weight")
}

#[test]
fn other_kinds_of_adapters_are_refused() {
    let metadata = |key: &str, value: Value| {
        let mut writer = sound();
        writer.metadata(key, value);
        writer
    };
    let text = |text: &str| Value::String(text.to_owned());
    check_refused(vec![
        (TinyModel::default().writer(), "general.type is model, not adapter"),
        (metadata("adapter.type", text("ia3")), "adapter.type is ia3, and only lora"),
        (
            metadata("general.architecture", text("qwen2")),
            "for the architecture qwen2, and this model is llama",
        ),
        (
            metadata("adapter.alora.invocation_tokens", Value::U32(1)),
            "begins at invocation tokens (aLoRA)",
        ),
        (metadata("adapter.lora.alpha", Value::F32(f32::NAN)), "adapter.lora.alpha is NaN"),
        (metadata("adapter.lora.alpha", text("8")), "adapter.lora.alpha"),
    ]);
}

#[test]
fn tensors_that_cannot_be_applied_are_refused_by_name() {
    let base = file(&TinyModel::default().writer());
    let wide = TinyModel { d: 128, n_heads: 8, n_kv_heads: 4, ..TinyModel::default() };
    let wide = file(&wide.writer());
    let query = |name: &str| name == "blk.1.attn_q.weight";
    let with = |name: &str, shape: &[u64]| {
        let mut writer = sound();
        let len = usize::try_from(shape.iter().product::<u64>()).expect("small");
        writer.tensor(name, shape, FormatId::F32, vec![0; 4 * len]);
        writer
    };
    check_refused(vec![
        (TinyAdapter::default().writer(&base, |_| false), "it holds no tensors"),
        (
            TinyAdapter::default().writer(&wide, query),
            "blk.1.attn_q.weight.lora_a is [128, 4], and this model wants [64, rank]",
        ),
        (
            TinyAdapter { rank: 2000, ..TinyAdapter::default() }.writer(&base, query),
            "blk.1.attn_q.weight.lora_a has rank 2000: 1 to 1024 can be",
        ),
        (
            TinyAdapter::default().writer(&base, |name| name == "token_embd.weight"),
            "it adapts token_embd.weight, which this version cannot adapt",
        ),
        (
            with("blk.0.attn_k.weight.lora_b", &[4, 32]),
            "blk.0.attn_k.weight.lora_b is there without .lora_a",
        ),
        (
            with("blk.0.attn_k.weight.lora_a", &[64, 4]),
            "blk.0.attn_k.weight.lora_a is there without .lora_b",
        ),
        (with("blk.2.attn_k.weight.lora_a", &[64, 4]), "blk.2.attn_k.weight.lora_a has no place"),
        (with("blk.0.attn_norm.weight", &[64]), "its tensor blk.0.attn_norm.weight has no place"),
        (
            with("blk.1.attn_q.weight.lora_magnitude", &[64]),
            "blk.1.attn_q.weight.lora_magnitude has no place in this model",
        ),
    ]);
}

#[test]
fn too_many_adapters_and_those_of_encoders_are_refused() {
    let adapter = file(&sound());
    let mut loaded = load(&file(&TinyModel::default().writer()), &options());
    let many = vec![with("a", &adapter); 65];
    let error = loaded.load_adapters(&many).expect_err("65").to_string();
    assert_eq!(error, "the number of adapters is 65, but must be at most 64");
    let encoder = testkit::retrieval_models().into_iter().next().expect("a fixture");
    let encoder = file(&encoder.writer(FormatId::F32));
    let mut encoder = load(&encoder, &LoadOptions { context_len: 32, ..options() });
    let said = refusal(&mut encoder, &adapter).expect("none is taken");
    assert!(said.contains("models that embed or score texts take none"), "{said}");
}
