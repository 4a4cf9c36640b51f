//! The reference with one short sequence, for files that a test has opened.

use std::sync::Arc;

use gguf::GgufFile;
use model::{LoadOptions, Model};
use tensor::KvFormat;
use tensor::reference::Reference;
use testkit::ReferenceModel;

/// A model that has room for the tokens of a fixture.
pub(crate) fn load(of: &ReferenceModel, file: &GgufFile) -> Model {
    let options = LoadOptions {
        context_len: u32::try_from(of.tokens.len()).expect("a short sequence"),
        rows_max: 64,
        kv_page_len: 32,
        kv_page_count: 2,
        kv_format: KvFormat::F32,
        state_slots: 1,
    };
    let backend = Arc::new(Reference::new());
    Model::load(file, backend, &options, &mut |_, _| ()).expect("a sound model")
}
