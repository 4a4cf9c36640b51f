//! Whole tokenizers on the tiny vocabulary, and damaged metadata.

use gguf::{Array, Value, Writer};
use testkit::TinyModel;
use tokenizer::{Specials, Tokenizer};

fn metadata(change: impl FnOnce(&mut Writer)) -> gguf::Metadata {
    let mut writer = TinyModel::default().writer();
    change(&mut writer);
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).expect("memory");
    gguf::parse(&bytes, bytes.len() as u64).expect("a file").metadata
}

fn refused(change: impl FnOnce(&mut Writer)) -> String {
    let result = Tokenizer::from_metadata(&metadata(change));
    result.map(|_| ()).expect_err("damaged").to_string()
}

#[test]
fn text_comes_back() {
    let tokenizer = Tokenizer::from_metadata(&metadata(|_| {})).expect("a tokenizer");
    for text in ["", "the rain in and then", "äöü 漢字 😀\n\n\t  x", "\u{0}\u{7f}"] {
        let ids = tokenizer.encode(text, Specials::Parse);
        assert_eq!(tokenizer.decode(&ids), text);
    }
    // " the" is one token by two merges and one more.
    assert_eq!(tokenizer.encode(" the", Specials::Plain).len(), 1);
}

#[test]
fn special_tokens_are_parsed_only_where_asked() {
    let tokenizer = Tokenizer::from_metadata(&metadata(|_| {})).expect("a tokenizer");
    let text = "<|im_start|>user\nHi<|im_end|>";
    let parsed = tokenizer.encode(text, Specials::Parse);
    let plain = tokenizer.encode(text, Specials::Plain);
    assert!(tokenizer.is_special(parsed[0]) && tokenizer.is_special(*parsed.last().expect("some")));
    assert!(tokenizer.is_end_of_generation(*parsed.last().expect("some")));
    assert!(plain.iter().all(|id| !tokenizer.is_special(*id)));
    assert_eq!(tokenizer.decode(&plain), text);
}

#[test]
fn a_megabyte_without_a_space_is_tokenised() {
    let tokenizer = Tokenizer::from_metadata(&metadata(|_| {})).expect("a tokenizer");
    let text = "the".repeat(350_000);
    let ids = tokenizer.encode(&text, Specials::Plain);
    assert_eq!(ids.len(), 350_000);
}

#[test]
fn damaged_metadata_is_refused_with_a_word() {
    let strings = |texts: &[&str]| {
        Value::Array(Array::String(texts.iter().map(|text| (*text).to_owned()).collect()))
    };
    for (key, value, words) in [
        ("tokenizer.ggml.model", Value::String("rwkv".to_owned()), "kind `rwkv`"),
        ("tokenizer.ggml.pre", Value::String("nonsense".to_owned()), "`nonsense`"),
        ("tokenizer.ggml.tokens", strings(&[]), "0 tokens"),
        ("tokenizer.ggml.tokens", strings(&["a"]), "for 1 tokens"),
        ("tokenizer.ggml.tokens", Value::U32(3), "tokenizer.ggml.tokens is an integer"),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![1])), "1 token types for"),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![77; 288])), "unknown type 77"),
        ("tokenizer.ggml.merges", strings(&["nonsense"]), "merge 0"),
        ("tokenizer.ggml.merges", strings(&["q zzz"]), "merge 0"),
        ("tokenizer.ggml.eos_token_id", Value::U32(9999), "9999"),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0])), "1 scores for"),
    ] {
        let error = refused(|writer| {
            writer.metadata(key, value);
        });
        assert!(error.contains(words), "{key}: {error}");
    }
}
