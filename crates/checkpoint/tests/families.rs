//! Every family: a folder that `transformers` would write is the same model as the GGUF file that
//! llama.cpp's converter makes of it, and gives the logits that `transformers` computed.

use std::path::Path;
use std::sync::Arc;

use gguf::{GgufFile, TensorInfo};
use model::{LoadOptions, Model};
use quant::FormatId;
use tensor::reference::Reference;
use tensor::{Batch, KvFormat, Span};
use testkit::{ReferenceModel, TinyCheckpoint, reference_models};

/// Largest error of a logit, as `crates/model/tests/architectures.rs` has it.
const TOLERANCE: f32 = 1e-4;
/// In 16 bits weights are off by 2^-12 or 2^-9 of themselves, logits here reach some tens, and
/// where experts lie close others are chosen.
const TOLERANCES: [(FormatId, f32); 2] = [(FormatId::F16, 0.15), (FormatId::BF16, 2.0)];
/// Values that are computed, not moved, may differ in their last digits.
const COMPUTED: &[&str] = &["rope_freqs.weight", "rope_factors", "ssm_a"];
/// Fixtures without a family here, with the reason.
const WITHOUT: &[&str] = &[];

fn write(folder: &Path, checkpoint: &TinyCheckpoint, (format, files): (FormatId, usize)) {
    checkpoint.write(folder, format, files);
    let tokenizer = r#"{"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[]}"#;
    std::fs::write(folder.join("tokenizer.json"), tokenizer).expect("a folder");
}

fn models() -> Vec<(ReferenceModel, TinyCheckpoint)> {
    let known = |model: ReferenceModel| model.checkpoint().map(|checkpoint| (model, checkpoint));
    reference_models().into_iter().filter_map(known).collect()
}

fn open(path: &Path) -> GgufFile {
    checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn values(file: &GgufFile, tensor: &TensorInfo) -> Vec<f32> {
    let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
    tensor.format.dequantize_row(&file.bytes(tensor), &mut values);
    values
}

/// Without dimensions of 1 at the end.
fn squeezed(shape: &[u64]) -> &[u64] {
    &shape[..shape.iter().rposition(|len| *len != 1).map_or(1, |last| last + 1)]
}

fn same_tensors(name: &str, found: &GgufFile, wanted: &GgufFile) {
    for tensor in wanted.tensors() {
        let at = format!("{name}: {}", tensor.name);
        let other = found.tensor(&tensor.name).unwrap_or_else(|| panic!("{at} is missing"));
        assert_eq!(squeezed(&other.shape), squeezed(&tensor.shape), "{at}");
        assert_eq!(found.bytes(other).len() as u64, other.size_bytes, "{at}");
        let (ours, theirs) = (values(found, other), values(wanted, tensor));
        let computed = COMPUTED.iter().any(|part| tensor.name.contains(part));
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let fits = ours.to_bits() == theirs.to_bits()
                || (computed && (ours - theirs).abs() <= 2e-6 * theirs.abs());
            assert!(fits, "{at}, element {i}: {ours} and not {theirs}");
        }
    }
    assert_eq!(found.tensors().len(), wanted.tensors().len(), "{name}");
}

fn same_keys(name: &str, found: &GgufFile, wanted: &GgufFile) {
    for (key, value) in wanted.metadata().iter() {
        assert_eq!(found.metadata().get(key), Some(value), "{name}: {key}");
    }
    let architecture = found.metadata().str("general.architecture").expect("text").expect("one");
    for (key, value) in found.metadata().iter().filter(|(key, _)| key.starts_with(architecture)) {
        assert_eq!(wanted.metadata().get(key), Some(value), "{name}: {key} is not GGUF's");
    }
}

fn worst(model: &ReferenceModel, file: &GgufFile) -> f32 {
    let len = u32::try_from(model.tokens.len()).expect("a short sequence");
    let options = LoadOptions {
        context_len: len,
        rows_max: 64,
        kv_page_len: 32,
        kv_page_count: 2,
        kv_format: KvFormat::F32,
        state_slots: 1,
    };
    let backend = Arc::new(Reference::new());
    let mut loaded = Model::load(file, backend, &options, &mut |_, _| ()).expect("a sound model");
    let spans = [Span { rows: model.tokens.len(), first_position: 0, pages: &[0], state: 0 }];
    let rows: Vec<u32> = model.positions.iter().map(|at| *at as u32).collect();
    let mut found = Vec::new();
    let batch = Batch::decode(&model.tokens, &spans);
    loaded.forward((&batch, &[]), &rows, &mut found).expect("a sound step");
    let expected = model.logits.iter().flatten();
    found.iter().zip(expected).fold(0.0, |worst: f32, (a, b)| {
        let error = (a - b).abs();
        if error.is_nan() { f32::NAN } else { worst.max(error) }
    })
}

#[test]
fn a_folder_is_the_model_that_its_gguf_file_is() {
    for (model, checkpoint) in models() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &checkpoint, (FormatId::F32, 1));
        let path = folder.path().join("wanted.gguf");
        let mut bytes = Vec::new();
        model.writer(FormatId::F32).write_to(&mut bytes).expect("memory takes all");
        std::fs::write(&path, bytes).expect("a folder");
        let (found, wanted) = (open(folder.path()), GgufFile::open(&path).expect("GGUF"));
        same_keys(&model.name, &found, &wanted);
        same_tensors(&model.name, &found, &wanted);
        let worst = worst(&model, &found);
        println!("{:16} {worst:.1e}", model.name);
        assert!(worst <= TOLERANCE, "{} is off by {worst}", model.name);
    }
}

#[test]
fn sixteen_bits_in_several_files_run_too() {
    for (model, checkpoint) in models() {
        for (files, (format, tolerance)) in [2, 3].into_iter().zip(TOLERANCES) {
            let folder = tempfile::tempdir().expect("a folder");
            write(folder.path(), &checkpoint, (format, files));
            let file = open(folder.path());
            let embeddings = file.tensor("token_embd.weight").expect("embeddings");
            assert_eq!(embeddings.format, format);
            let norm = file.tensor("output_norm.weight").expect("a norm");
            assert_eq!(norm.format, FormatId::F32);
            let worst = worst(&model, &file);
            println!("{:16} {:4} {worst:.1e}", model.name, format.name());
            assert!(worst <= tolerance, "{} is off by {worst}", model.name);
        }
    }
}

#[test]
fn every_reference_has_a_folder() {
    let none = |model: &ReferenceModel| model.checkpoint().is_none();
    let without: Vec<String> =
        reference_models().into_iter().filter(none).map(|model| model.name).collect();
    assert_eq!(without, WITHOUT, "see tools/reference/checkpoints.py");
}
