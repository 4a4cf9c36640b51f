//! Every answer of every endpoint tells its joules and how they are known, whole or streamed.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use app::{App, Config, LoadOptions, ModelRef};
use serde_json::{Value, json};
use testkit::{TinyEncoder, TinyModel};

struct Server {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), server::Error>>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Of the model that is written to the path.
    fn start(write: impl Fn(&Path)) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tiny.gguf");
        write(&path);
        let app = App::new(Config::alone(folder.path().join("hob"))).expect("a house");
        let model = ModelRef { name: "tiny".to_owned(), path };
        let options = LoadOptions { threads: Some(1), ..LoadOptions::default() };
        let model = app.load(&model, &options, &mut |_, _| {}).expect("a sound model");
        let (ready, address) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = server::Options { listen, allow_origins: Vec::new() };
        let thread = std::thread::spawn(move || {
            let ready = move |address| ready.send(address).expect("the test waits for it");
            server::serve(options, app, model, ready, async {
                // Also when the test has gone.
                let _ = stopped.await;
            })
        });
        let address = address.recv().expect("it listens");
        Server { address, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    /// The answer, or what of a stream is not empty, one for each event.
    fn post(&self, path: &str, body: &Value) -> Vec<Value> {
        #[expect(
            clippy::disallowed_types,
            reason = "the test is a client of this machine's server"
        )]
        let mut stream = std::net::TcpStream::connect(self.address).expect("it listens");
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &length + &body).as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let events = body.lines().filter_map(|line| line.strip_prefix("data: {"));
        let events: Vec<String> = events.map(|event| format!("{{{event}")).collect();
        let texts = if events.is_empty() { vec![body.to_owned()] } else { events };
        texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let served = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            served.expect("it ran").expect("no panic").expect("no failure");
        }
    }
}

/// Joules, and one of the words that tell how they are known.
fn assert_told(told: &Value) {
    assert!(told["energy_joules"].as_f64().is_some_and(|joules| joules >= 0.0), "{told}");
    let basis = told["energy_basis"].as_str().expect("a word");
    assert!(["counter", "sensor", "modelled", "unknown"].contains(&basis), "{told}");
}

#[test]
fn answers_tell_their_joules_and_how_these_are_known() {
    let server = Server::start(|path| TinyModel::default().write(path));
    let (prompt, messages) = (json!("hi"), json!([{ "role": "user", "content": "hi" }]));
    for (path, name, asked) in
        [("/v1/chat/completions", "messages", messages), ("/v1/completions", "prompt", prompt)]
    {
        let post = |more: Value| {
            let mut request = json!({ name: asked, "max_tokens": 3 });
            request.as_object_mut().expect("it").extend(more.as_object().expect("it").clone());
            server.post(path, &request)
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
    let server = Server::start(|path| TinyEncoder::default().write(path));
    let embedded = server.post("/v1/embeddings", &json!({ "model": "tiny", "input": "hi" }));
    assert_told(&embedded[0]["usage"]["hob"]);
    let server = Server::start(|path| {
        TinyEncoder { scores: true, ..TinyEncoder::default() }.write(path);
    });
    let pair = json!({ "model": "tiny", "query": "hi", "documents": ["a", "b"] });
    assert_told(&server.post("/v1/rerank", &pair)[0]["usage"]["hob"]);
}
