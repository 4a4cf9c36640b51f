//! Adapters over HTTP: listed, chosen by `lora` or as a model of their own, and refused.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use app::{AdapterSource, App, Config, LoadOptions, LoadedModel, ModelRef};
use gguf::{GgufFile, Writer};
use serde_json::{Value, json};
use testkit::{TinyAdapter, TinyModel};

/// A server of a tiny model with two adapters.
struct Server {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), server::Error>>>,
    folder: tempfile::TempDir,
}

fn write(path: &Path, writer: &Writer) -> GgufFile {
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).expect("memory takes all");
    std::fs::write(path, bytes).expect("a folder");
    GgufFile::open(path).expect("GGUF, as just written")
}

/// The house, and the model with its adapters.
fn load(folder: &Path) -> (App, LoadedModel) {
    let path = folder.join("tiny.gguf");
    let base = write(&path, &TinyModel::default().writer());
    let adapters = [("law", 1, 1.0), ("tone", 2, -1.5)].map(|(name, seed, scale)| {
        let adapter = TinyAdapter { seed, ..TinyAdapter::default() };
        let path = folder.join(format!("{name}.gguf"));
        write(
            &path,
            &adapter.writer(&base, |name| name.contains("ffn_") && !name.contains("norm")),
        );
        AdapterSource { name: name.to_owned(), path, scale, is_applied: false }
    });
    let config = Config::alone(folder.join("hob"));
    let app = App::new(config).expect("a house");
    let adapters = adapters.to_vec();
    let options = LoadOptions { threads: Some(1), adapters, ..LoadOptions::default() };
    let model = ModelRef { name: "tiny".to_owned(), path };
    let model = app.load(&model, &options, &mut |_, _| {}).expect("a sound model");
    (app, model)
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let (app, model) = load(folder.path());
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
        Server { address, stop: Some(stop), thread: Some(thread), folder }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        #[expect(
            clippy::disallowed_types,
            reason = "the test is a client of this machine's server"
        )]
        let mut stream = std::net::TcpStream::connect(self.address).expect("it listens");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &length + &body).as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), serde_json::from_str(body).expect("JSON"))
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The model that answered, and its answer.
    fn complete(&self, more: &Value) -> (String, String) {
        let mut request = json!({ "prompt": "the same", "temperature": 0, "max_tokens": 12 });
        request.as_object_mut().expect("it").extend(more.as_object().expect("fields").clone());
        let (status, body) = self.ask("POST", "/v1/completions", &request);
        assert_eq!(status, 200, "{request}: {body}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&body["model"]), text(&body["choices"][0]["text"]))
    }

    /// Status and message.
    fn refused(&self, more: &Value) -> (u16, String) {
        let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        request.as_object_mut().expect("it").extend(more.as_object().expect("fields").clone());
        let (status, body) = self.ask("POST", "/v1/chat/completions", &request);
        let message = body["error"]["message"].as_str().expect("a message").to_owned();
        assert!(!message.contains('\n'), "{message}");
        (status, message)
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

#[test]
fn adapters_are_listed_and_are_models_of_their_own() {
    let server = Server::start();
    let path = |name: &str| server.folder.path().join(name).to_string_lossy().into_owned();
    let expected = json!([
        { "id": 0, "name": "law", "path": path("law.gguf"), "scale": 0.0 },
        { "id": 1, "name": "tone", "path": path("tone.gguf"), "scale": 0.0 },
    ]);
    assert_eq!(server.get("/lora-adapters"), expected);
    let models = server.get("/v1/models");
    let ids = models["data"].as_array().expect("a list").iter().map(|model| &model["id"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["tiny", "law", "tone"]);
    assert_eq!(models["data"][0]["parent"], Value::Null);
    assert_eq!(models["data"][2]["parent"], "tiny");
    assert_eq!(server.get("/v1/models/tone")["id"], "tone");
    let (status, body) = server.ask("GET", "/v1/models/wit", &Value::Null);
    assert_eq!(status, 404);
    let said = "model `wit` is not served here; this server has `tiny, law, tone`";
    assert_eq!(body["error"]["message"], said);
}

#[test]
fn requests_choose_their_adapters() {
    let server = Server::start();
    let (name, plain) = server.complete(&json!({}));
    assert_eq!(name, "tiny");
    assert_eq!(server.complete(&json!({ "lora": [], "model": "tiny" })).1, plain);
    assert_eq!(server.complete(&json!({ "lora": [{ "id": 0, "scale": 0 }] })).1, plain);
    let (name, law) = server.complete(&json!({ "model": "law" }));
    assert_eq!(name, "law");
    let (name, tone) = server.complete(&json!({ "model": "tone" }));
    assert_eq!(name, "tone");
    assert!(plain != law && plain != tone && law != tone, "{plain:?} {law:?} {tone:?}");
    assert_eq!(server.complete(&json!({ "lora": [{ "id": 0, "scale": 1.0 }] })).1, law);
    assert_eq!(server.complete(&json!({ "lora": [{ "id": "law" }] })).1, law);
    assert_eq!(server.complete(&json!({ "lora": [{ "id": 1 }] })).1, tone, "scaled by -1.5");
    assert_eq!(server.complete(&json!({ "lora": [{ "id": 1, "scale": -1.5 }] })).1, tone);
    let both = json!({ "lora": [{ "id": 1, "scale": -1.5 }, { "id": "law", "scale": 1 }] });
    let (_, both) = server.complete(&both);
    assert!(both != law && both != tone && both != plain, "{both:?}");
}

#[test]
fn unknown_adapters_are_refused() {
    let server = Server::start();
    let lora = |list: Value| server.refused(&json!({ "lora": list }));
    assert_eq!(
        lora(json!([{ "id": 2 }])),
        (400, "there is no adapter 2; loaded are: law, tone".to_owned())
    );
    assert_eq!(lora(json!([{ "id": "wit" }])).0, 400);
    assert_eq!(
        lora(json!([{ "id": 0 }, { "id": "law" }])),
        (400, "adapter 0 is given twice: give one scale for each".to_owned())
    );
    assert_eq!(lora(json!({ "id": 0 })), (400, "`lora` must be a list".to_owned()));
    let (status, said) = lora(json!([{ "id": 0, "scale": 1e300 }]));
    assert_eq!((status, &*said), (400, "the scale inf of adapter 0 is no number"));
    let (status, said) = server.refused(&json!({ "model": "law", "lora": [] }));
    assert_eq!(status, 400);
    assert!(said.starts_with("`model` names the adapter `law`: leave `lora` out"), "{said}");
    assert_eq!(server.refused(&json!({ "model": "wit" })).0, 404);
}
