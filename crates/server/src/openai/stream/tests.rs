//! Streams against a tiny model, on a clock that runs as fast as nothing happens.

use std::pin::pin;

use app::{App, CompletionRequest, Config, LoadOptions, LoadedModel, ModelRef, Prompt};
use axum::body::HttpBody;
use testkit::TinyModel;

use super::{ALIVE, Chunks, TokenText, TokenUsage, Value, poll_fn, respond};

fn model() -> LoadedModel {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    TinyModel::default().write(&path);
    let config = Config::alone(folder.path().join("hob"));
    let app = App::new(config).expect("a house");
    let options =
        LoadOptions { threads: Some(1), sequences_max: Some(1), ..LoadOptions::default() };
    let model = ModelRef { name: "tiny".to_owned(), path };
    app.load(&model, &options, &mut |_, _| ()).expect("a sound model")
}

fn request(tokens_max: u32) -> CompletionRequest {
    let sampling = app::SamplingParams {
        logit_bias: vec![(u32::from(b'x'), 1e6)],
        ..app::SamplingParams::default()
    };
    let prompt = Prompt::Text { text: "hi".to_owned(), parse_specials: false };
    let tokens_max = Some(tokens_max);
    let (stop, constraint, adapters) = (Vec::new(), None, None);
    CompletionRequest { prompt, tokens_max, sampling, stop, user: 0, constraint, adapters }
}

/// Text as it is.
struct Plain;

impl Chunks for Plain {
    fn first(&mut self) -> Option<Value> {
        None
    }

    fn text(&mut self, text: &str, _: Option<&TokenText>) -> Option<Value> {
        (!text.is_empty()).then(|| text.into())
    }

    fn last(&mut self, _: &TokenUsage) -> Vec<Value> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_says_that_it_is_alive() {
    let model = model();
    // One answer at a time: the second waits for the first.
    let first = model.complete(request(200)).expect("room");
    let second = model.complete(request(3)).expect("room in the queue");
    let mut body = pin!(respond(second, Plain).into_body());
    let mut frames = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        frames.push(frame.expect("no error").into_data().expect("data"));
    }
    drop(first);
    let said: Vec<_> = frames.iter().filter(|frame| **frame != ALIVE).collect();
    assert!(said.len() < frames.len(), "it waited and said nothing");
    let text: Vec<u8> = said.into_iter().flatten().copied().collect();
    let text = String::from_utf8(text).expect("text");
    assert_eq!(text, format!("{}data: [DONE]\n\n", "data: \"x\"\n\n".repeat(3)));
}
