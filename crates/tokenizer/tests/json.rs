//! `tokenizer.json` against ids and texts by the `tokenizers` package; how the fixtures are made
//! says `tools/reference/tokenizers.py`.

use std::path::Path;

use gguf::Metadata;
use serde_json::{Value, json};
use tokenizer::{Specials, Tokenizer};

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("a fixture");
    serde_json::from_str(&text).expect("JSON")
}

fn load(spec: &Value) -> Result<Tokenizer, tokenizer::Error> {
    Tokenizer::from_json(spec.to_string().as_bytes())
}

/// The same as metadata have it, with ids of tokens that begin and end texts.
fn beside(spec: &Value, ids: &[(&str, u32)]) -> Tokenizer {
    let mut metadata = Metadata::new();
    metadata.insert("tokenizer.huggingface.json", gguf::Value::String(spec.to_string()));
    for (name, id) in ids {
        metadata.insert(&format!("tokenizer.ggml.{name}_token_id"), gguf::Value::U32(*id));
    }
    metadata.insert("tokenizer.ggml.add_bos_token", gguf::Value::Bool(!ids.is_empty()));
    Tokenizer::from_metadata(&metadata).expect("a tokenizer")
}

#[test]
fn what_stands_beside_it_says_how_texts_begin_and_end() {
    let fixture = fixture("byte_level");
    let plain = beside(&fixture["tokenizer"], &[]);
    let told = beside(&fixture["tokenizer"], &[("bos", 5), ("eos", 6), ("eot", 7), ("eom", 8)]);
    assert_eq!((told.bos(), told.eos(), told.adds_bos()), (Some(5), Some(6), true));
    for id in [6, 7, 8] {
        assert!(told.is_end_of_generation(id) && !plain.is_end_of_generation(id), "{id}");
    }
    assert!(!told.is_end_of_generation(5) && !plain.adds_bos());
}

/// A `tokenizer.json` whose rule adds a start, beside which this is said of it.
fn adds(said: Option<bool>) -> bool {
    let piece = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let rule = json!({
        "type": "TemplateProcessing",
        "single": [piece("<s>"), {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}
    });
    let spec = json!({
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
        "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
        "post_processor": rule
    });
    let mut metadata = Metadata::new();
    metadata.insert("tokenizer.huggingface.json", gguf::Value::String(spec.to_string()));
    if let Some(said) = said {
        metadata.insert("tokenizer.ggml.add_bos_token", gguf::Value::Bool(said));
    }
    let ends = gguf::Value::Array(gguf::Array::U32(vec![1, 2]));
    metadata.insert("tokenizer.huggingface.further_eos_token_ids", ends);
    let tokenizer = Tokenizer::from_metadata(&metadata).expect("a tokenizer");
    assert!([1, 2].iter().all(|id| tokenizer.is_end_of_generation(*id)));
    tokenizer.adds_bos()
}

#[test]
fn what_is_said_beside_it_is_the_last_word() {
    assert_eq!([None, Some(true), Some(false)].map(adds), [true, true, false]);
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("ids")
}

fn check(name: &str, kind: &str) {
    let fixture = fixture(name);
    let tokenizer = load(&fixture["tokenizer"]).expect("a tokenizer");
    assert_eq!(tokenizer.kind(), kind);
    let again = beside(&fixture["tokenizer"], &[]);
    let cases = fixture["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 31);
    let mut wrong = Vec::new();
    for case in cases {
        let text = case[0].as_str().expect("a text");
        let found = tokenizer.encode(text, Specials::Parse);
        if found != ids(&case[1]) {
            wrong.push(format!("{text:?}: {found:?} and not {}", case[1]));
            continue;
        }
        let mut whole = found.clone();
        if tokenizer.adds_bos() {
            whole.insert(0, tokenizer.bos().expect("a start token"));
        }
        if tokenizer.adds_eos() {
            whole.push(tokenizer.eos().expect("an end token"));
        }
        assert_eq!(whole, ids(&case[2]), "{text:?}");
        assert_eq!(again.encode(text, Specials::Parse), found, "as metadata: {text:?}");
        let back = tokenizer.decode(&found);
        if Some(back.as_str()) != case[3].as_str() {
            wrong.push(format!("{text:?} decodes to {back:?} and not {}", case[3]));
        }
    }
    assert!(wrong.is_empty(), "{name}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn byte_level_bpe() {
    check("byte_level", "BPE");
}

#[test]
fn byte_level_bpe_with_a_pattern_and_whole_words() {
    check("llama3", "BPE");
}

#[test]
fn bpe_over_characters_with_bytes_for_the_rest() {
    check("llama2", "BPE");
}

#[test]
fn bpe_over_words_with_marked_spaces() {
    check("metaspace", "BPE");
}

#[test]
fn steps_that_few_files_have() {
    check("steps", "BPE");
}

#[test]
fn unigram() {
    check("unigram", "Unigram");
}

#[test]
fn wordpiece() {
    check("wordpiece", "WordPiece");
}

/// Joins over a whole line, paths through it, and words that are too long to be known.
#[test]
fn a_megabyte_without_a_space_is_tokenised() {
    let text = "the".repeat(350_000);
    for name in ["byte_level", "llama2", "llama3", "metaspace", "unigram"] {
        let tokenizer = load(&fixture(name)["tokenizer"]).expect("a tokenizer");
        let ids = tokenizer.encode(&text, Specials::Parse);
        assert!(ids.len() >= 350_000, "{name}: {}", ids.len());
        assert_eq!(tokenizer.decode(&ids).trim_start(), text, "{name}");
    }
    let tokenizer = load(&fixture("wordpiece")["tokenizer"]).expect("a tokenizer");
    assert_eq!(tokenizer.encode(&text, Specials::Parse).len(), 1, "an unknown word");
}

/// A `tokenizer.json` of three words, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, tokenizer::Error> {
    let mut spec = json!({
        "added_tokens": [{"id": 3, "content": "<s>", "special": true, "normalized": false}],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]
        }
    });
    change(&mut spec);
    load(&spec)
}

#[test]
fn what_is_damaged_or_not_known_is_refused_by_name() {
    assert!(changed(|_| {}).is_ok());
    let refused = |change: &dyn Fn(&mut Value)| {
        let error = changed(change).map(|_| ()).expect_err("refused").to_string();
        assert!(error.lines().count() == 1 && error.len() < 300, "{error}");
        error
    };
    let deep = (0..9).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    let many = json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 40]});
    let template = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>"}}, {"SpecialToken": {"id": "<s>"}}],
        "special_tokens": {"<s>": {"ids": [3]}}});
    for (part, value, words) in [
        ("normalizer", json!({"type": "Nmt"}), "normalizer `Nmt` is not supported"),
        ("normalizer", json!({"type": "Strip", "strip_left": 3}), "strip_left` must be true"),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "*"}), "base64"),
        ("normalizer", deep, "nested more than 4 deep"),
        ("normalizer", many, "more than 32 steps"),
        ("pre_tokenizer", json!({"type": "UnicodeScripts"}), "pre_tokenizer `UnicodeScripts`"),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(?=a)"}}),
            "pattern `(?=a)",
        ),
        ("pre_tokenizer", json!({"type": "Metaspace", "replacement": "ab"}), "one character"),
        ("decoder", json!({"type": "CTC"}), "decoder `CTC`"),
        ("decoder", json!({"type": "WordPiece", "prefix": "@@"}), "must be `##`"),
        ("post_processor", template, "more than one token on a side"),
        (
            "post_processor",
            json!({"type": "BertProcessing", "sep": ["x", 9], "cls": ["y", 9]}),
            "9",
        ),
        ("added_tokens", json!([{"id": 0, "content": "z"}]), "two tokens 0: `a` and `z`"),
        ("added_tokens", json!([{"id": 1 << 30, "content": "z"}]), "token 1073741824"),
        ("model", json!({"type": "WordLevel", "vocab": {}}), "model `WordLevel`"),
        ("model", json!({"type": "BPE", "vocab": {"a": -1}, "merges": []}), "no number at `a`"),
        ("model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "x"]]}), "merge 0"),
        ("model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}), "merge 0"),
        ("model", json!({"type": "Unigram", "vocab": [["a"]], "unk_id": 0}), "entry 0"),
        ("model", json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}), "no token"),
        ("model", json!({"type": "Unigram", "vocab": [["a", 0.0]]}), "unk_id"),
        ("model", json!({"type": "WordPiece", "vocab": {"a": 0}}), "unk_token"),
    ] {
        let error = refused(&|spec: &mut Value| spec[part] = value.clone());
        assert!(error.contains(words), "{part}: {error}");
    }
    for (key, value) in [("dropout", json!(0.1)), ("end_of_word_suffix", json!("</w>"))] {
        let error = refused(&|spec: &mut Value| spec["model"][key] = value.clone());
        assert!(error.contains(key) && error.contains("not supported"), "{error}");
    }
    let error = Tokenizer::from_json(b"{\"a\":").map(|_| ()).expect_err("cut off").to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn ends_come_from_the_configuration_beside_the_file() {
    let mut tokenizer = changed(|_| {}).expect("a tokenizer");
    assert!(!tokenizer.is_end_of_generation(3));
    tokenizer.name_ends(Some(0), &[3, 1]).expect("inside");
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(3)));
    assert!(tokenizer.is_end_of_generation(3) && tokenizer.is_end_of_generation(1));
    let error = tokenizer.name_ends(None, &[4]).expect_err("outside").to_string();
    assert!(error.contains("token 4"), "{error}");
}
