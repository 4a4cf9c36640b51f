//! Every family: a folder that `transformers` would write is the same model as the GGUF file that
//! llama.cpp's converter makes of it, and gives the logits that `transformers` computed.

mod loaded;
mod logits;

use std::path::Path;

use checkpoint::NOT_READ;
use gguf::{GgufFile, TensorInfo};
use quant::FormatId;
use testkit::{ReferenceModel, TinyCheckpoint, checkpoints_with_images, reference_models};

use crate::logits::logits;

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
    let found = logits(model, file);
    let expected: Vec<f32> = model.logits.iter().flatten().copied().collect();
    assert_eq!(found.len(), expected.len(), "{}", model.name);
    found.iter().zip(&expected).fold(0.0, |worst: f32, (a, b)| {
        let error = (a - b).abs();
        if error.is_nan() { f32::NAN } else { worst.max(error) }
    })
}

/// The folder's model, whose keys, tensors and logits are those of its GGUF file; and how far
/// logits are off.
fn same_model(name: &str, of: &ReferenceModel, checkpoint: &TinyCheckpoint) -> (GgufFile, f32) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), checkpoint, (FormatId::F32, 1));
    let path = folder.path().join("wanted.gguf");
    let mut bytes = Vec::new();
    of.writer(FormatId::F32).write_to(&mut bytes).expect("memory takes all");
    std::fs::write(&path, bytes).expect("a folder");
    let (found, wanted) = (open(folder.path()), GgufFile::open(&path).expect("GGUF"));
    same_keys(name, &found, &wanted);
    same_tensors(name, &found, &wanted);
    let worst = worst(of, &found);
    assert!(worst <= TOLERANCE, "{name} is off by {worst}");
    (found, worst)
}

#[test]
fn a_folder_is_the_model_that_its_gguf_file_is() {
    for (model, checkpoint) in models() {
        let (found, worst) = same_model(&model.name, &model, &checkpoint);
        println!("{:16} {worst:.1e}", model.name);
        assert_eq!(found.metadata().get(NOT_READ), None, "{}", model.name);
    }
}

/// Names in the spelling that `transformers` has used for modules since 4.52, and files have since
/// then.
fn respelled(checkpoint: &TinyCheckpoint) -> TinyCheckpoint {
    let mut made = checkpoint.clone();
    for (name, ..) in &mut made.tensors {
        let newer = if let Some(rest) = name.strip_prefix("language_model.model.") {
            format!("model.language_model.{rest}")
        } else if let Some(rest) = name.strip_prefix("language_model.lm_head.") {
            format!("lm_head.{rest}")
        } else if name.starts_with("model.layers.") || name.starts_with("model.norm.") {
            name.replacen("model.", "model.language_model.", 1)
        } else if ["visual.", "vision_tower.", "multi_modal_"].iter().any(|it| name.starts_with(it))
        {
            format!("model.{name}")
        } else {
            continue;
        };
        *name = newer;
    }
    made
}

/// The configuration as Qwen 2 and 2.5 VL were released: that of text is the whole's.
fn flat(checkpoint: &TinyCheckpoint) -> TinyCheckpoint {
    let mut made = checkpoint.clone();
    let class = made.config["text_config"]["architectures"].take();
    let kind = made.config["model_type"].take();
    made.config = made.config["text_config"].take();
    made.config["architectures"] = class;
    made.config["model_type"] = kind;
    let sections = made.config["rope_scaling"]["mrope_section"].take();
    made.config["rope_scaling"] = serde_json::json!({"type": "mrope", "mrope_section": sections});
    made
}

#[test]
fn text_of_a_model_with_images_is_the_model_of_text() {
    let mut classes = Vec::new();
    for (name, model, checkpoint) in checkpoints_with_images() {
        for checkpoint in [&checkpoint, &respelled(&checkpoint)] {
            let (found, worst) = same_model(&name, &model, checkpoint);
            println!("{name:16} {worst:.1e}");
            let not_read = found.metadata().str(NOT_READ).expect("text");
            assert_eq!(not_read, Some("images"), "{name}");
        }
        if name.starts_with("qwen2") {
            same_model(&name, &model, &flat(&checkpoint));
        }
        let config = &checkpoint.config;
        let class = config.get("architectures").unwrap_or(&config["text_config"]["architectures"]);
        classes.push(class[0].as_str().expect("one").to_owned());
    }
    classes.sort();
    classes.dedup();
    let known = [
        "Gemma3",
        "Llava",
        "Mistral3",
        "Qwen2VL",
        "Qwen2_5_VL",
        "Qwen3VL",
        "Qwen3_5",
        "Qwen3_5Moe",
    ];
    assert_eq!(classes, known.map(|name| format!("{name}ForConditionalGeneration")));
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
