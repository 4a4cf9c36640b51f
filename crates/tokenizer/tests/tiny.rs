//! Whole tokenizers on the tiny vocabulary, and damaged metadata.

use gguf::{Array, Metadata, Value, Writer};
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use testkit::TinyModel;
use tokenizer::{Specials, Tokenizer};

fn metadata(change: impl FnOnce(&mut Writer)) -> Metadata {
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
    for hostile in [" ", "<", "<|im_", "\n ", "9", "=", "'"] {
        let text = hostile.repeat((1 << 20) / hostile.len()) + "a";
        let ids = tokenizer.encode(&text, Specials::Parse);
        assert_eq!(tokenizer.decode(&ids), text, "{hostile:?}");
    }
}

#[test]
fn every_text_comes_back_under_every_rule() {
    // The same texts in every run.
    for rule in ["smollm", "default", "llama-bpe", "qwen2", "gpt-4o", "deepseek-llm", "tekken"] {
        let metadata = metadata(|writer| {
            writer.metadata("tokenizer.ggml.pre", Value::String(rule.to_owned()));
        });
        let tokenizer = Tokenizer::from_metadata(&metadata).expect("a tokenizer");
        let config = Config { failure_persistence: None, ..Config::with_cases(64) };
        let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
        let back = |text: String| {
            for specials in [Specials::Parse, Specials::Plain] {
                let ids = tokenizer.encode(&text, specials);
                assert_eq!(tokenizer.decode(&ids), text, "{rule}");
            }
            Ok(())
        };
        TestRunner::new_with_rng(config, rng).run(&any::<String>(), back).expect("comes back");
    }
}

/// A SentencePiece vocabulary whose letters spell a control and a byte token.
fn sentence(change: impl FnOnce(&mut Metadata)) -> Result<Tokenizer, tokenizer::Error> {
    let texts = ["<unk>", "<s>", "</s>", "<0x0A>", "<0xC3>", "<0xA4>", "▁", "a", "b", "ab", "▁ab"];
    let more = ["<", "s", ">", "s>", "0x0A", "0", "x", "A", "0x", "0A"];
    let texts: Vec<String> = texts.iter().chain(&more).map(|text| (*text).to_owned()).collect();
    let kind = |i| [2, 3, 3, 6, 6, 6].get(i).copied().unwrap_or(1);
    let kinds = (0..texts.len()).map(kind).collect();
    let scores = (0_u8..).take(texts.len()).map(|i| -f32::from(i)).collect();
    let mut metadata = Metadata::new();
    metadata.insert("tokenizer.ggml.model", Value::String("llama".to_owned()));
    metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::String(texts.iter().collect())));
    metadata.insert("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata.insert("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    change(&mut metadata);
    Tokenizer::from_metadata(&metadata)
}

#[test]
fn sentence_piece_joins_by_score_and_spells_the_rest_in_bytes() {
    let tokenizer = sentence(|_| {}).expect("a tokenizer");
    assert_eq!(tokenizer.encode("ab", Specials::Plain), [10]);
    assert_eq!(tokenizer.encode("bab", Specials::Plain), [6, 8, 9]);
    assert_eq!(tokenizer.encode("ä\n", Specials::Plain), [6, 4, 5, 3]);
    assert_eq!(tokenizer.decode(&[6, 4, 5, 3]), "ä\n");
    // What has neither a token nor bytes is the unknown token.
    assert_eq!(tokenizer.encode("z", Specials::Plain), [6, 0]);
    // The prefix comes after every special token, as after the start.
    assert_eq!(tokenizer.encode("ab<s>ab", Specials::Parse), [10, 1, 10]);
    let usual = (tokenizer.bos(), tokenizer.eos(), tokenizer.adds_bos(), tokenizer.adds_eos());
    assert_eq!(usual, (Some(1), Some(2), true, false));
    let bare = sentence(|metadata| {
        metadata.insert("tokenizer.ggml.add_space_prefix", Value::Bool(false));
        metadata.insert("tokenizer.ggml.add_bos_token", Value::Bool(false));
        metadata.insert("tokenizer.ggml.add_eos_token", Value::Bool(true));
    });
    let bare = bare.expect("a tokenizer");
    assert_eq!(bare.encode("ab", Specials::Plain), [9]);
    assert!(!bare.adds_bos() && bare.adds_eos());
}

#[test]
fn sentence_piece_takes_a_megabyte_without_a_space() {
    let tokenizer = sentence(|_| {}).expect("a tokenizer");
    let ids = tokenizer.encode(&"ab".repeat(1 << 19), Specials::Plain);
    assert_eq!((ids.len(), ids[0]), (1 << 19, 10));
    assert!(ids[1..].iter().all(|id| *id == 9));
    let ids = tokenizer.encode(&"ä".repeat(1 << 19), Specials::Plain);
    assert_eq!(ids.len(), 1 + (1 << 20));
}

#[test]
fn letters_never_become_a_control_token() {
    let tokenizer = sentence(|_| {}).expect("a tokenizer");
    let ids = tokenizer.encode("<s><0x0A>", Specials::Plain);
    assert!(ids.iter().all(|id| !tokenizer.is_special(*id) && *id != 3), "{ids:?}");
}

#[test]
fn damaged_metadata_is_refused_with_a_word() {
    let strings = |texts: &[&str]| Value::Array(Array::String(texts.iter().collect()));
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
        ("tokenizer.ggml.merges", strings(&["", " ", "é"]), "merge 0"),
        ("tokenizer.ggml.add_bos_token", Value::U32(1), "tokenizer.ggml.add_bos_token"),
        ("tokenizer.ggml.eos_token_id", Value::U32(9999), "9999"),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0])), "1 scores for"),
    ] {
        let error = refused(|writer| {
            writer.metadata(key, value);
        });
        assert!(error.contains(words), "{key}: {error}");
    }
}
