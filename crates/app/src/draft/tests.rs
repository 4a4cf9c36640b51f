//! A draft model is loaded beside another, told of, and refused where it is of no use.

use std::path::Path;
use std::sync::Arc;

use model::Model;
use tensor::Backend;
use tensor::reference::Reference;
use testkit::TinyModel;

use crate::{
    App, CompletionRequest, Config, ErrorKind, Event, LoadOptions, LoadedModel, ModelRef, Prompt,
    SamplingParams, Speculation,
};

fn app(home: &Path) -> App {
    App::new(Config::alone(home.to_owned())).unwrap()
}

fn file(home: &Path, name: &str, bytes: &[u8]) -> ModelRef {
    let path = home.join(name);
    std::fs::write(&path, bytes).unwrap();
    ModelRef { name: name.to_owned(), path }
}

fn options(draft: Option<&ModelRef>) -> LoadOptions {
    LoadOptions {
        threads: Some(1),
        speculation: Speculation::Always,
        draft: draft.cloned(),
        ..LoadOptions::default()
    }
}

/// What the model says, and how many draft tokens there were.
fn said(model: &LoadedModel) -> (String, u32) {
    let request = CompletionRequest {
        adapters: None,
        prompt: Prompt::Text { text: "in the north".to_owned(), parse_specials: false },
        tokens_max: Some(24),
        sampling: SamplingParams { seed: Some(3), ..SamplingParams::default() },
        stop: Vec::new(),
        constraint: None,
        user: 0,
    };
    let mut generation = model.complete(request).expect("room");
    let (mut said, mut drafted) = (String::new(), 0);
    while let Some(event) = generation.recv() {
        assert!(!matches!(event, Event::Failed(_)), "{event:?}");
        if let Event::Text { text, .. } = &event {
            said.push_str(text);
        }
        if let Event::Finished(usage) = event {
            drafted = usage.draft_tokens;
        }
    }
    (said, drafted)
}

#[test]
fn a_draft_model_is_loaded_beside_another_and_told_of() {
    let home = tempfile::tempdir().unwrap();
    let app = app(home.path());
    let model = file(home.path(), "large", &TinyModel::default().gguf());
    // Shorter, and with a few tokens more.
    let small = TinyModel { n_layers: 1, context: 64, vocab: 300, ..TinyModel::default() };
    let small = file(home.path(), "small", &small.gguf());
    let load = |draft| app.load(&model, &options(draft), &mut |_, _| ()).unwrap();
    let alone = load(None);
    let drafted = load(Some(&small));
    assert_eq!(alone.draft(), None);
    let told = drafted.status().draft.expect("it is there");
    assert_eq!(told.name, "small");
    assert!(told.memory.weights_bytes > 0 && told.memory.kv_bytes > 0);
    assert!(told.memory.weights_bytes < drafted.status().memory.weights_bytes);
    assert_eq!(drafted.status().memory, alone.status().memory, "its own is told apart");
    let (text, _) = said(&alone);
    let (same, draft_tokens) = said(&drafted);
    assert_eq!(text, same);
    assert!(draft_tokens > 0);
    assert!(drafted.status().stats.counts.drafting.draft_tokens > 0);
}

#[test]
fn what_drafts_in_vain_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let app = app(home.path());
    let model = file(home.path(), "large", &TinyModel::default().gguf());
    let refused = |draft: &ModelRef| {
        let error = app.load(&model, &options(Some(draft)), &mut |_, _| ()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::BadModel, "{error}");
        error.message
    };
    let wide = TinyModel { vocab: 288 + 129, ..TinyModel::default() };
    assert_eq!(
        refused(&file(home.path(), "wide", &wide.gguf())),
        "wide cannot draft for large: of its 417 tokens and those 288, 129 differ; choose a draft \
         model of the same family"
    );
    let path = home.path().join("encoder");
    testkit::TinyEncoder::default().write(&path);
    assert_eq!(
        refused(&ModelRef { name: "encoder".to_owned(), path }),
        "draft model encoder: it makes no text; choose another draft model, or start without one"
    );
}

#[test]
fn windows_of_a_draft_model_have_no_pages_of_their_own() {
    let mut models = testkit::reference_models().into_iter();
    let gemma = models.find(|model| model.name == "gemma3").expect("a model with windows");
    let home = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    gemma.writer(quant::FormatId::F32).write_to(&mut bytes).unwrap();
    let opened = gguf::GgufFile::open(&file(home.path(), "gemma", &bytes).path).unwrap();
    let target = model::LoadOptions {
        context_len: 200,
        rows_max: 16,
        kv_page_len: 8,
        kv_page_count: 50,
        kv_format: tensor::KvFormat::F32,
        state_slots: 2,
    };
    let backend: Arc<dyn Backend> = Arc::new(Reference::new());
    let load = |options: &model::LoadOptions| {
        Model::load(&opened, Arc::clone(&backend), options, &mut |_, _| ()).unwrap()
    };
    assert!(load(&target).kv_window().is_some());
    let draft = load(&super::load_options(&target, 100));
    assert_eq!((draft.kv_window(), draft.context_len()), (None, 100));
    assert_eq!(draft.kv_layout().page_count, 52);
}
