//! Requests with adapters: beside each other and alone, in the prefix cache, refused; and adapters
//! on every variant of the CPU's kernels.

mod support;

use std::sync::Arc;

use engine::{Engine, EngineRequest, Error};
use gguf::{GgufFile, Writer};
use kernels_cpu::{CpuBackend, variants};
use model::{AdapterFile, AdapterScale, LoadOptions, Model};
use quant::FormatId;
use support::{
    PAGE_LEN, answer, backends, collect, gated, options, reference, request, start_adapted,
    start_file,
};
use tensor::{Batch, KvFormat, Span};
use testkit::{TinyAdapter, TinyModel, merged};

const TEXT: &str = "the same long beginning of a conversation that she had before";

fn file(writer: &Writer) -> GgufFile {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (path, mut bytes) = (folder.path().join("file.gguf"), Vec::new());
    writer.write_to(&mut bytes).expect("memory takes all");
    std::fs::write(&path, bytes).expect("the folder is new");
    GgufFile::open(&path).expect("GGUF, as just written")
}

fn base() -> Writer {
    TinyModel { format: FormatId::F32, ..TinyModel::default() }.writer()
}

/// Two, which differ in what they are beside.
fn adapters() -> [Writer; 2] {
    let base = file(&base());
    let first = TinyAdapter::default().writer(&base, |name| {
        name.ends_with(".weight") && !name.contains("norm") && name != "token_embd.weight"
    });
    let second = TinyAdapter { seed: 2, rank: 3, alpha: 12.0 };
    [first, second.writer(&base, |name| name.contains("attn_") && !name.contains("norm"))]
}

fn wish(engine: &Engine, adapters: &[(usize, f32)]) -> EngineRequest {
    let scales =
        adapters.iter().map(|(adapter, scale)| AdapterScale { adapter: *adapter, scale: *scale });
    EngineRequest { adapters: scales.collect(), ..request(engine, TEXT, 24) }
}

const WISHES: [&[(usize, f32)]; 5] =
    [&[(0, 1.0)], &[], &[(1, 1.0)], &[(0, 0.5), (1, -1.0)], &[(0, 0.25)]];

#[test]
fn company_with_other_adapters_does_not_change_an_answer() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let start =
            |backend| start_adapted((&base(), &adapters()), (backend, kv_format), options());
        let engine = start(Arc::clone(&backend));
        let alone = WISHES.map(|adapters| answer(&engine, wish(&engine, adapters)).tokens);
        let (backend, gate) = gated(backend);
        let engine = start(backend);
        let submit = |adapters| engine.submit(wish(&engine, adapters)).expect("room");
        let generations = WISHES.map(submit);
        gate.open();
        let together = generations.map(|generation| collect(generation).tokens);
        assert_eq!(gate.sequences_most(), WISHES.len(), "{name}: all ran in one step");
        assert_eq!(alone, together, "{name}");
        drop((gate, engine));
        let plain = start_file(&base(), (reference().0, kv_format), options());
        if name == "reference" {
            assert_eq!(alone[1], answer(&plain, wish(&plain, &[])).tokens, "as without adapters");
        }
        for (i, tokens) in alone.iter().enumerate() {
            assert!(!alone[..i].contains(tokens), "{name}: {i} differs from the others");
        }
    }
}

#[test]
fn answers_are_those_of_merged_weights() {
    let (base, adapters) = (base(), adapters());
    let engine = start_adapted((&base, &adapters), reference(), options());
    let files = [file(&adapters[0]), file(&adapters[1])];
    for wished in WISHES {
        let all: Vec<_> =
            wished.iter().map(|(adapter, scale)| (&files[*adapter], *scale)).collect();
        let other = start_file(&merged(&file(&base), &all), reference(), options());
        let expected = answer(&other, request(&other, TEXT, 24)).tokens;
        assert_eq!(answer(&engine, wish(&engine, wished)).tokens, expected, "{wished:?}");
    }
}

#[test]
fn what_was_read_with_one_adapter_is_not_taken_for_another() {
    let engine = start_adapted((&base(), &adapters()), reference(), options());
    let known = u32::try_from(wish(&engine, &[]).prompt.len() - 1).expect("short");
    let known = known / PAGE_LEN * PAGE_LEN;
    let mut fresh = Vec::new();
    for wished in WISHES {
        let said = answer(&engine, wish(&engine, wished));
        assert_eq!(said.usage.cached_tokens, 0, "{wished:?}");
        fresh.push(said.tokens);
    }
    for (wished, fresh) in WISHES.iter().zip(&fresh) {
        let said = answer(&engine, wish(&engine, wished));
        assert_eq!((said.usage.cached_tokens, &said.tokens), (known, fresh), "{wished:?}");
    }
    // In another order, and without what counts nothing.
    let said = answer(&engine, wish(&engine, &[(1, -1.0), (0, 0.5)]));
    assert_eq!((said.usage.cached_tokens, &said.tokens), (known, &fresh[3]));
    let said = answer(&engine, wish(&engine, &[(1, 0.0)]));
    assert_eq!((said.usage.cached_tokens, &said.tokens), (known, &fresh[1]));
}

#[test]
fn adapters_that_are_not_there_are_refused() {
    let engine = start_adapted((&base(), &adapters()), reference(), options());
    for (wished, said) in [
        (&[(2, 1.0)][..], "there is no adapter 2: the model has 2"),
        (&[(0, f32::NAN)], "the scale NaN of adapter 0 is no number"),
        (&[(1, 1.0), (1, 2.0)], "adapter 1 is given twice: give one scale for each"),
    ] {
        let refused = engine.submit(wish(&engine, wished)).err();
        assert_eq!(refused, Some(Error::Adapter(said.to_owned())));
    }
}

/// Logits of all rows, in steps of so many.
fn logits(model: &mut Model, scales: &[AdapterScale], step: usize) -> Vec<f32> {
    let tokens: Vec<u32> = (20..57).collect();
    let mut all = Vec::new();
    for (i, tokens) in tokens.chunks(step).enumerate() {
        let pages = &[4, 2, 3, 0, 1];
        let spans = [Span { rows: tokens.len(), first_position: i * step, pages, state: 0 }];
        let batch = Batch::decode(tokens, &spans);
        let rows: Vec<u32> = (0..).take(tokens.len()).collect();
        let mut logits = Vec::new();
        model.forward_adapted((&batch, &[]), &[scales], &rows, &mut logits).expect("sound");
        all.extend(logits);
    }
    all
}

#[test]
fn every_variant_adds_what_merged_weights_have() {
    let load = LoadOptions {
        context_len: 64,
        rows_max: 64,
        kv_page_len: PAGE_LEN as usize,
        kv_page_count: 8,
        kv_format: KvFormat::F32,
        state_slots: 1,
    };
    let (base, adapters) = (file(&base()), adapters());
    let [first, second] = adapters.each_ref().map(file);
    let whole = file(&merged(&base, &[(&first, 0.5), (&second, -0.75)]));
    let scales = [(0, 0.5), (1, -0.75)].map(|(adapter, scale)| AdapterScale { adapter, scale });
    for variant in variants() {
        let backend = Arc::new(CpuBackend::with_variant(variant, 2).expect("it was listed"));
        let open = |file: &GgufFile| {
            Model::load(file, backend.clone(), &load, &mut |_, _| ()).expect("a sound model")
        };
        let mut model = open(&base);
        let files = [&first, &second].map(|file| AdapterFile { name: "tiny", file });
        model.load_adapters(&files).expect("sound adapters");
        let found = logits(&mut model, &scales, 37);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&logits(&mut model, &scales, 1)), "{variant:?}");
        let expected = logits(&mut open(&whole), &[], 37);
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{variant:?}: off by {off:.1e} of {largest:.1e}");
        assert!(off <= 1e-5 * largest, "{variant:?}: off by {off:e} of {largest:e}");
    }
}
