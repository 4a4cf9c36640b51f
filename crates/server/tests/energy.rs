//! Every answer of every endpoint tells its joules and how they are known, whole or streamed.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{TinyEncoder, TinyModel};

use crate::support::Server;

mod support;

/// A server of the model that is written to the path, and its folder.
fn serve(write: impl Fn(&Path)) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("tiny.gguf"));
    let server = Server::start(folder.path(), Vec::new());
    (folder, server)
}

/// The answer, or what of a stream is not empty, one for each event.
fn post(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let (status, answer) = server.ask("POST", path, body);
    assert_eq!(status, 200, "{path}: {answer}");
    let events = answer.lines().filter_map(|line| line.strip_prefix("data: {"));
    let events: Vec<String> = events.map(|event| format!("{{{event}")).collect();
    let texts = if events.is_empty() { vec![answer] } else { events };
    texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

/// Joules, and one of the words that tell how they are known.
fn assert_told(told: &Value) {
    assert!(told["energy_joules"].as_f64().is_some_and(|joules| joules >= 0.0), "{told}");
    let basis = told["energy_basis"].as_str().expect("a word");
    assert!(["counter", "sensor", "modelled", "unknown"].contains(&basis), "{told}");
}

#[test]
fn answers_tell_their_joules_and_how_these_are_known() {
    let (_folder, server) = serve(|path| TinyModel::default().write(path));
    let (prompt, messages) = (json!("hi"), json!([{ "role": "user", "content": "hi" }]));
    for (path, name, asked) in
        [("/v1/chat/completions", "messages", messages), ("/v1/completions", "prompt", prompt)]
    {
        let post = |more: Value| {
            let mut request = json!({ name: asked, "max_tokens": 3 });
            request.as_object_mut().expect("it").extend(more.as_object().expect("it").clone());
            post(&server, path, &request)
        };
        let whole = post(json!({}));
        assert_told(&whole[0]["usage"]["hob"]);
        let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
        let streamed = post(asked);
        let last = streamed.last().expect("events");
        assert_told(&last["usage"]["hob"]);
        // Who asked for no usage gets none, and the joules beside the reason why it ended.
        let streamed = post(json!({ "stream": true }));
        let last = streamed.last().expect("events");
        assert!(last["choices"][0]["finish_reason"].is_string(), "{last}");
        assert_told(&last["hob"]);
        assert!(streamed.iter().all(|event| event["usage"].is_null()), "{streamed:?}");
        let told = streamed.iter().filter(|event| !event["hob"].is_null());
        assert_eq!(told.count(), 1, "{streamed:?}");
    }
}

#[test]
fn embeddings_and_rankings_tell_theirs() {
    let (_folder, server) = serve(|path| TinyEncoder::default().write(path));
    let embedded = post(&server, "/v1/embeddings", &json!({ "model": "tiny", "input": "hi" }));
    assert_told(&embedded[0]["usage"]["hob"]);
    let (_folder, server) = serve(|path| {
        TinyEncoder { scores: true, ..TinyEncoder::default() }.write(path);
    });
    let pair = json!({ "model": "tiny", "query": "hi", "documents": ["a", "b"] });
    assert_told(&post(&server, "/v1/rerank", &pair)[0]["usage"]["hob"]);
}
