//! Contexts longer than the trained one, where they are asked for: against the tables of
//! `transformers`, see `tools/reference/ropes.py`.

mod support;

use gguf::GgufFile;
use model::{LoadOptions, Mixer, RopeRule, RopeScaling, stretch};
use quant::FormatId;
use support::{bits, file, load, options, step};
use testkit::{RopeTable, rope_tables};

/// Of a frequency and of factors, relative: both sides round powers to f32.
const TOLERANCE: f64 = 1e-6;

fn fixture(name: &str) -> GgufFile {
    let models = [testkit::reference_models(), testkit::retrieval_models()].concat();
    let model = models.iter().find(|model| model.name == name).expect("a fixture");
    file(&model.writer(FormatId::F32))
}

fn asked(rule: RopeRule, factor: Option<f64>) -> RopeScaling {
    RopeScaling { rule, factor }
}

/// The model with what the row asks for: once by its factor, once by its context.
fn answers(row: &RopeTable) -> Vec<GgufFile> {
    let Some(name) = &row.asked else { return vec![file(&row.writer())] };
    let rule = RopeRule::ALL.into_iter().find(|rule| rule.name() == name).expect("a rule");
    let stretched = |factor, context| {
        let file = stretch(file(&row.writer()), asked(rule, factor), context).expect("it suits");
        let found = model::spec(&file).expect("as sound as before").context_len;
        assert_eq!(found, row.context, "{row:?}");
        file
    };
    let by_factor = stretched(row.factor, None);
    // Contexts are whole numbers: the factor of a fraction is another one then.
    let is_whole = row.factor.is_some_and(|factor| factor.fract() == 0.0);
    match is_whole {
        true => vec![by_factor, stretched(None, Some(row.context))],
        false => vec![by_factor],
    }
}

fn is_near(found: f32, wanted: f64) -> bool {
    (f64::from(found) / wanted - 1.0).abs() <= TOLERANCE
}

#[test]
fn tables_are_those_of_transformers() {
    let rows = rope_tables();
    assert!(rows.len() >= 20, "{} rows", rows.len());
    for row in rows {
        let of = format!("{} {:?} {:?}", row.model, row.asked, row.factor);
        for file in answers(&row) {
            let spec = model::spec(&file).expect("sound");
            let rope = match &spec.long_ropes {
                Some((short_until, long)) if row.context > *short_until => &long[0],
                _ => &spec.ropes[0],
            };
            let found = &rope.inverse_frequencies;
            assert_eq!(found.len(), row.inverse_frequencies.len(), "{of}");
            for (i, (found, wanted)) in found.iter().zip(&row.inverse_frequencies).enumerate() {
                assert!(is_near(*found, *wanted), "{of}: pair {i}: {found} for {wanted}");
            }
            assert!(is_near(rope.magnitude, row.magnitude), "{of}: {}", rope.magnitude);
            if let Some(wanted) = row.scale {
                let Mixer::Latent(latent) = spec.layers[0].mixer else { panic!("{of}: a latent") };
                assert!(is_near(latent.scale, wanted), "{of}: {}", latent.scale);
            }
        }
    }
}

#[test]
fn layers_with_a_rope_of_their_own_keep_it() {
    let local = |file: &GgufFile| model::spec(file).expect("sound").ropes.remove(1);
    let plain = fixture("gemma3");
    let stretched = stretch(fixture("gemma3"), asked(RopeRule::Yarn, Some(2.0)), None);
    let (plain, stretched) = (local(&plain), local(&stretched.expect("a rule that suits")));
    assert_eq!(bits(&stretched.inverse_frequencies), bits(&plain.inverse_frequencies));
    assert_eq!(stretched.magnitude, 1.0);
}

/// Unasked nothing changes; and a factor of 1 is each bit of it.
#[test]
fn a_factor_of_one_changes_no_bit() {
    let tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9];
    let small = LoadOptions { context_len: 32, ..options() };
    let logits = |file: &GgufFile| bits(&step(&mut load(file, &small), &tokens, 0, &[3, 0]));
    for name in ["llama", "mistral", "qwen3next", "phi3"] {
        let plain = logits(&fixture(name));
        for rule in RopeRule::ALL {
            let file = stretch(fixture(name), asked(rule, Some(1.0)), None).expect("suits");
            assert_eq!(logits(&file), plain, "{name} {}", rule.name());
            let file = stretch(fixture(name), asked(rule, Some(3.0)), None).expect("suits");
            assert_ne!(logits(&file), plain, "{name} {}", rule.name());
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let yarn = |factor| asked(RopeRule::Yarn, factor);
    for (name, scaling, context, expected) in [
        ("nomic_bert", yarn(Some(2.0)), None, "reads texts both ways"),
        ("bert", yarn(Some(2.0)), None, "reads texts both ways"),
        ("phi3_long", yarn(Some(2.0)), None, "(LongRoPE) that hold up to 1024 tokens"),
        ("llama", yarn(None), None, "neither a factor nor a context"),
        ("llama", yarn(Some(0.5)), None, "a factor of 0.5 is not from 1 on"),
        ("llama", yarn(Some(f64::NAN)), None, "a factor of NaN"),
        ("llama", yarn(Some(f64::INFINITY)), None, "a factor of inf"),
        ("llama", yarn(Some(1e9)), None, "or too large; the original context is 256 tokens"),
        ("llama", yarn(None), Some(128), "a factor of 0.5"),
        ("gpt_oss", yarn(None), Some(32), "the original context is 64 tokens"),
    ] {
        let error = stretch(fixture(name), scaling, context).err().expect(expected);
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
}
