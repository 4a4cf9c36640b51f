//! Every architecture against logits that `transformers` computed, see `tools/reference`.

mod support;

use gguf::GgufFile;
use model::{ARCHITECTURES, LoadOptions, Model};
use quant::FormatId;
use support::{PAGE_LEN, bits, file, load, options, step};
use tensor::{Batch, Span};
use testkit::{ReferenceModel, reference_models, retrieval_models};

/// Largest error of a logit: both sides store activations in f32, and sums there are of f32 too;
/// logits are below 100.
const TOLERANCE: f32 = 1e-4;

fn loaded(model: &ReferenceModel) -> (GgufFile, Model) {
    let file = file(&model.writer(FormatId::F32));
    // As long as the sequence: what counts for models that turn otherwise in long contexts.
    let context_len = u32::try_from(model.tokens.len()).expect("a short sequence");
    let loaded = load(&file, &LoadOptions { context_len, ..options() });
    (file, loaded)
}

#[test]
fn logits_are_those_of_transformers() {
    let mut wrong = Vec::new();
    for model in reference_models() {
        let (_file, mut loaded) = loaded(&model);
        let vocab = loaded.spec().vocab;
        let found = step(&mut loaded, &model.tokens, 0, &[3, 0, 7, 5]);
        let mut worst = 0.0_f32;
        for (position, expected) in model.positions.iter().zip(&model.logits) {
            assert_eq!(expected.len(), vocab, "{}", model.name);
            for (found, expected) in found[position * vocab..].iter().zip(expected) {
                worst = worst.max((found - expected).abs());
            }
        }
        println!("{:16} {worst:.1e}", model.name);
        if worst.is_nan() || worst > TOLERANCE {
            wrong.push(format!("{} is off by {worst}", model.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn chunks_do_not_show() {
    for model in reference_models() {
        let (_file, mut loaded) = loaded(&model);
        let whole = step(&mut loaded, &model.tokens, 0, &[3, 0, 7, 5]);
        for chunk in [1, 7, PAGE_LEN] {
            let mut cut = Vec::new();
            for (i, tokens) in model.tokens.chunks(chunk).enumerate() {
                cut.extend(step(&mut loaded, tokens, i * chunk, &[8, 2, 1, 4]));
            }
            assert_eq!(bits(&cut), bits(&whole), "{} in chunks of {chunk}", model.name);
        }
    }
}

#[test]
fn neighbours_do_not_show() {
    for model in reference_models() {
        let (_file, mut loaded) = loaded(&model);
        let other: Vec<u32> = model.tokens.iter().rev().copied().collect();
        let sequences = [(&model.tokens, [3, 0, 7, 5]), (&other, [8, 2, 1, 4])];
        let alone = sequences.map(|(tokens, pages)| step(&mut loaded, tokens, 0, &pages));
        // A few tokens of each at a time, in turns with the order changed.
        let mut found = [Vec::new(), Vec::new()];
        for first in (0..other.len()).step_by(5) {
            let rows = 5.min(other.len() - first);
            let span =
                |s: usize| Span { rows, first_position: first, pages: &sequences[s].1, state: s };
            let order = if first % 2 == 0 { [0, 1] } else { [1, 0] };
            let tokens: Vec<u32> =
                order.iter().flat_map(|s| sequences[*s].0[first..first + rows].to_vec()).collect();
            let (wanted, mut logits): (Vec<u32>, _) = ((0..).take(2 * rows).collect(), Vec::new());
            let spans = order.map(span);
            let batch = Batch::decode(&tokens, &spans);
            loaded.forward((&batch, &[]), &wanted, &mut logits).expect("a sound step");
            for (half, s) in logits.chunks_exact(logits.len() / 2).zip(order) {
                found[s].extend_from_slice(half);
            }
        }
        for (found, alone) in found.iter().zip(&alone) {
            assert_eq!(bits(found), bits(alone), "{}", model.name);
        }
    }
}

#[test]
fn every_name_has_a_reference() {
    let models = [reference_models(), retrieval_models()].concat();
    let known: Vec<&str> = models.iter().map(ReferenceModel::architecture).collect();
    for name in ARCHITECTURES.iter().flat_map(|row| row.names()) {
        assert!(known.contains(name), "no reference of {name}: see tools/reference");
    }
}
