//! Loading models in tests, and running one sequence through them.
#![expect(dead_code, reason = "each test file uses its own part of this")]

use std::path::Path;
use std::sync::Arc;

use gguf::{GgufFile, Writer};
use model::{LoadOptions, Model};
use tensor::reference::Reference;
use tensor::{Batch, KvFormat, Span};

pub(crate) const PAGE_LEN: usize = 8;

pub(crate) fn options() -> LoadOptions {
    LoadOptions {
        context_len: 128,
        rows_max: 64,
        kv_page_len: PAGE_LEN,
        kv_page_count: 32,
        kv_format: KvFormat::F32,
        // So many that their windows take no less than all pages.
        state_slots: 4,
    }
}

/// What the writer writes, as a file that stays open after its folder is gone.
pub(crate) fn file(writer: &Writer) -> GgufFile {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("model.gguf");
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).expect("memory takes all");
    std::fs::write(&path, bytes).expect("the folder is new");
    GgufFile::open(&path).expect("GGUF, as just written")
}

pub(crate) fn open(path: &Path) -> GgufFile {
    GgufFile::open(path).expect("a GGUF file")
}

pub(crate) fn load(file: &GgufFile, options: &LoadOptions) -> Model {
    Model::load(file, Arc::new(Reference::new()), options, &mut |_, _| ()).expect("a sound model")
}

/// Tokens of one sequence from `first` on, on these pages; the logits of all of its rows.
pub(crate) fn step(model: &mut Model, tokens: &[u32], first: usize, pages: &[u32]) -> Vec<f32> {
    let spans = [Span { rows: tokens.len(), first_position: first, pages, state: 0 }];
    let rows: Vec<u32> = (0..).take(tokens.len()).collect();
    let mut logits = Vec::new();
    model.forward((&Batch::decode(tokens, &spans), &[]), &rows, &mut logits).expect("a sound step");
    logits
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
