//! Adapters over HTTP: listed, chosen by `lora` or as a model of their own, and refused.

use std::path::Path;

use app::AdapterSource;
use gguf::{GgufFile, Writer};
use serde_json::{Value, json};
use testkit::{TinyAdapter, TinyModel};

use crate::support::Server;

mod support;

/// A server of a tiny model with two adapters, and their folder.
struct House {
    server: Server,
    folder: tempfile::TempDir,
}

fn write(path: &Path, writer: &Writer) -> GgufFile {
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).expect("memory takes all");
    std::fs::write(path, bytes).expect("a folder");
    GgufFile::open(path).expect("GGUF, as just written")
}

/// The model and its adapters.
fn write_all(folder: &Path) -> Vec<AdapterSource> {
    let base = write(&folder.join("tiny.gguf"), &TinyModel::default().writer());
    let adapters = [("law", 1, 1.0), ("tone", 2, -1.5)].map(|(name, seed, scale)| {
        let adapter = TinyAdapter { seed, ..TinyAdapter::default() };
        let path = folder.join(format!("{name}.gguf"));
        write(
            &path,
            &adapter.writer(&base, |name| name.contains("ffn_") && !name.contains("norm")),
        );
        AdapterSource { name: name.to_owned(), path, scale, is_applied: false }
    });
    adapters.to_vec()
}

impl House {
    fn open() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), write_all(folder.path()));
        House { server, folder }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.server.ask(method, path, body);
        (status, serde_json::from_str(&body).expect("JSON"))
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

#[test]
fn adapters_are_listed_and_are_models_of_their_own() {
    let house = House::open();
    let path = |name: &str| house.folder.path().join(name).to_string_lossy().into_owned();
    let expected = json!([
        { "id": 0, "name": "law", "path": path("law.gguf"), "scale": 0.0 },
        { "id": 1, "name": "tone", "path": path("tone.gguf"), "scale": 0.0 },
    ]);
    assert_eq!(house.get("/lora-adapters"), expected);
    let models = house.get("/v1/models");
    let ids = models["data"].as_array().expect("a list").iter().map(|model| &model["id"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["tiny", "law", "tone"]);
    assert_eq!(models["data"][0]["parent"], Value::Null);
    assert_eq!(models["data"][2]["parent"], "tiny");
    assert_eq!(house.get("/v1/models/tone")["id"], "tone");
    let (status, body) = house.ask("GET", "/v1/models/wit", &Value::Null);
    assert_eq!(status, 404);
    let said = "model `wit` is not served here; this server has `tiny, law, tone`";
    assert_eq!(body["error"]["message"], said);
}

#[test]
fn requests_choose_their_adapters() {
    let house = House::open();
    let (name, plain) = house.complete(&json!({}));
    assert_eq!(name, "tiny");
    assert_eq!(house.complete(&json!({ "lora": [], "model": "tiny" })).1, plain);
    assert_eq!(house.complete(&json!({ "lora": [{ "id": 0, "scale": 0 }] })).1, plain);
    let (name, law) = house.complete(&json!({ "model": "law" }));
    assert_eq!(name, "law");
    let (name, tone) = house.complete(&json!({ "model": "tone" }));
    assert_eq!(name, "tone");
    assert!(plain != law && plain != tone && law != tone, "{plain:?} {law:?} {tone:?}");
    assert_eq!(house.complete(&json!({ "lora": [{ "id": 0, "scale": 1.0 }] })).1, law);
    assert_eq!(house.complete(&json!({ "lora": [{ "id": "law" }] })).1, law);
    assert_eq!(house.complete(&json!({ "lora": [{ "id": 1 }] })).1, tone, "scaled by -1.5");
    assert_eq!(house.complete(&json!({ "lora": [{ "id": 1, "scale": -1.5 }] })).1, tone);
    let both = json!({ "lora": [{ "id": 1, "scale": -1.5 }, { "id": "law", "scale": 1 }] });
    let (_, both) = house.complete(&both);
    assert!(both != law && both != tone && both != plain, "{both:?}");
}

#[test]
fn unknown_adapters_are_refused() {
    let house = House::open();
    let lora = |list: Value| house.refused(&json!({ "lora": list }));
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
    let (status, said) = house.refused(&json!({ "model": "law", "lora": [] }));
    assert_eq!(status, 400);
    assert!(said.starts_with("`model` names the adapter `law`: leave `lora` out"), "{said}");
    assert_eq!(house.refused(&json!({ "model": "wit" })).0, 404);
}
