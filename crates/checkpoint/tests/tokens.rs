//! What a folder says of its tokens beside `tokenizer.json`: all of it is told, or refused.

use std::fs;

use gguf::{Array, Value};
use quant::FormatId;
use serde_json::{Value as Json, json};
use testkit::reference_models;

/// Values of these keys where a folder has these further files, or why it is refused.
fn keys<const N: usize>(
    files: &[(&str, Json)],
    keys: [&str; N],
) -> Result<[Option<Value>; N], String> {
    let model = reference_models().into_iter().find(|model| model.name == "llama_tied");
    let mut checkpoint = model.and_then(|model| model.checkpoint()).expect("a fixture");
    let folder = tempfile::tempdir().expect("a folder");
    for (name, json) in files {
        match *name {
            "config.json" => {
                let more = json.as_object().expect("fields").clone();
                checkpoint.config.as_object_mut().expect("fields").extend(more);
            }
            _ => fs::write(folder.path().join(name), json.to_string()).expect("a folder"),
        }
    }
    checkpoint.write(folder.path(), FormatId::BF16, 1);
    let tokenizer = json!({
        "model": {"type": "BPE", "vocab": {}, "merges": []},
        "added_tokens": [{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}]
    });
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).expect("a folder");
    let file = checkpoint::open(folder.path()).map_err(|error| error.to_string())?;
    Ok(keys.map(|key| file.metadata().get(&format!("tokenizer.{key}")).cloned()))
}

#[test]
fn all_ends_of_answers_are_told() {
    let names = [
        "ggml.eos_token_id",
        "ggml.eot_token_id",
        "ggml.eom_token_id",
        "huggingface.further_eos_token_ids",
    ];
    let ends = |ids: Json| keys(&[("generation_config.json", json!({"eos_token_id": ids}))], names);
    let id = |id: u32| Some(Value::U32(id));
    assert_eq!(ends(json!([3, 4, 3])).unwrap(), [id(3), id(4), None, None]);
    let further = Some(Value::Array(Array::U32(vec![6, 7])));
    assert_eq!(ends(json!([3, 4, 5, 6, 7])).unwrap(), [id(3), id(4), id(5), further]);
    for wrong in [json!([3, 99_999_999_999_u64]), json!(-1), json!([null])] {
        let error = ends(wrong).unwrap_err();
        assert!(error.contains("generation_config.json: eos_token_id is "), "{error}");
    }
}

#[test]
fn starts_that_are_no_ids_are_refused() {
    let start = |id: Json| keys(&[("config.json", json!({"bos_token_id": id}))], []);
    assert!(start(json!(7)).is_ok());
    for wrong in [json!(-1), json!("x"), json!(1_u64 << 32)] {
        let error = start(wrong).unwrap_err();
        assert!(error.contains("config.json: bos_token_id is "), "{error}");
    }
}

/// Whether texts get a start and an end, as a folder with this configuration of its tokenizer says.
#[track_caller]
fn adds(config: Json, bos: Option<bool>, eos: Option<bool>) {
    let found =
        keys(&[("tokenizer_config.json", config)], ["ggml.add_bos_token", "ggml.add_eos_token"]);
    assert_eq!(found.expect("a sound folder"), [bos, eos].map(|it| it.map(Value::Bool)));
}

#[test]
fn classes_that_make_the_rule_anew_say_it() {
    let of =
        |class: &str| json!({"tokenizer_class": class, "bos_token": "<s>", "eos_token": "</s>"});
    let with = |class: &str, key: &str, adds: bool| {
        let mut config = of(class);
        config[key] = json!(adds);
        config
    };
    adds(of("LlamaTokenizerFast"), Some(true), Some(false));
    adds(with("LlamaTokenizer", "add_bos_token", false), Some(false), Some(false));
    adds(with("GemmaTokenizer", "add_eos_token", true), Some(true), Some(true));
    adds(json!({"tokenizer_class": "LlamaTokenizer"}), None, None);
    adds(of("PreTrainedTokenizerFast"), None, None);
    adds(with("Qwen2Tokenizer", "add_bos_token", false), None, None);
    adds(with("PreTrainedTokenizerFast", "add_bos_token", true), Some(true), None);
}
