//! Folders written tensor by tensor, and the same model in F32 beside them.

use std::path::Path;

use gguf::{GgufFile, TensorInfo};
use quant::FormatId;
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::{ReferenceModel, TinyCheckpoint, reference_models, safetensors};

use crate::logits::logits;

/// Factors may be multiplied with weights there and with products here, and logits reach some tens.
const TOLERANCE: f32 = 1e-3;

/// A tensor of a folder: name, type, shape, bytes.
pub(crate) type Stored = (String, &'static str, Vec<u64>, Vec<u8>);

pub(crate) fn write(folder: &Path, (config, stored): (&Json, &[Stored])) {
    let list: Vec<_> = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| (&**name, *dtype, &**shape, bytes.clone()))
        .collect();
    std::fs::write(folder.join("config.json"), config.to_string()).expect("a folder");
    std::fs::write(folder.join("model.safetensors"), safetensors(&list)).expect("a folder");
    tokenizer(folder);
}

fn tokenizer(folder: &Path) {
    let tokenizer = r#"{"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[]}"#;
    std::fs::write(folder.join("tokenizer.json"), tokenizer).expect("a folder");
}

pub(crate) fn open(folder: &Path) -> GgufFile {
    checkpoint::open(folder).unwrap_or_else(|error| panic!("{error}"))
}

/// The model with these values, which is in the folder.
pub(crate) fn in_f32(plain: &TinyCheckpoint) -> (TempDir, GgufFile) {
    let folder = tempfile::tempdir().expect("a folder");
    plain.write(folder.path(), FormatId::F32, 1);
    tokenizer(folder.path());
    let file = open(folder.path());
    (folder, file)
}

pub(crate) fn values(file: &GgufFile, tensor: &TensorInfo) -> Vec<f32> {
    let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
    tensor.format.dequantize_row(&file.bytes(tensor), &mut values);
    values
}

pub(crate) fn model(name: &str) -> (ReferenceModel, TinyCheckpoint) {
    let found = reference_models().into_iter().find(|model| model.name == name);
    let found = found.expect("a fixture of this name");
    let checkpoint = found.checkpoint().expect("its folder");
    (found, checkpoint)
}

pub(crate) fn same_logits(of: &ReferenceModel, found: &GgufFile, expected: &GgufFile) {
    let (found, expected) = (logits(of, found), logits(of, expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= TOLERANCE, "{}: {found}, not {expected}", of.name);
    }
}
