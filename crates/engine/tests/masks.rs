//! Masks over real vocabularies: a token is allowed exactly where its bytes are, one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Markers;
use gguf::GgufFile;
use grammar::{Grammar, Kind, Limits, Matcher, Vocabulary, Word};
use tokenizer::{Specials, Tokenizer};

/// Two whose words are cut in other ways.
const NAMES: [&str; 2] = ["falcon", "qwen2"];
const SCHEMA: &str = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 9},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}, "kind": {"enum": ["ä b", "c"]}},
    "required": ["name", "age", "kind"], "additionalProperties": false}"#;
const ANSWER: &str = r#"{"name": "Ada é", "age": 36, "kind": "ä b"}"#;
/// Every so many tokens are compared at each place; a prime, so that places have others.
const STRIDE: usize = 601;

fn load(name: &str) -> Tokenizer {
    #[expect(clippy::disallowed_methods, reason = "tests may be pointed at another folder")]
    let given = std::env::var_os("HOB_GOLDEN_DIR").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    let folder = given.unwrap_or_else(|| root.join(".cache/llama.cpp/models"));
    let file = GgufFile::open(&folder.join(format!("ggml-vocab-{name}.gguf")))
        .unwrap_or_else(|error| panic!("{error}; run `cargo xtask setup`"));
    Tokenizer::from_metadata(file.metadata()).expect("a tokenizer")
}

/// A vocabulary in which each byte is a token, and no other.
fn bytes() -> Arc<Vocabulary> {
    let all: Vec<u8> = (0..=255).collect();
    let words = all.chunks(1).map(Word::Text).chain([Word::Control(b"<|end|>")]);
    Vocabulary::new(words, &[256], Limits::default()).expect("sound")
}

fn takes(matcher: &mut Matcher, bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| {
        let id = u32::from(*byte);
        matcher.mask().is_ok_and(|mask| mask.allows(id)) && matcher.accept(id).is_ok()
    })
}

#[test]
fn a_token_is_allowed_where_its_bytes_are() {
    let by_byte = Grammar::compile(&bytes(), Kind::JsonSchema, SCHEMA).expect("sound");
    for name in NAMES {
        let tokenizer = load(name);
        let vocabulary = engine::vocabulary(&tokenizer, &Markers::default()).expect("sound");
        let grammar = Grammar::compile(&vocabulary, Kind::JsonSchema, SCHEMA).expect("sound");
        let (mut matcher, mut slow) = (grammar.matcher(None), by_byte.matcher(None));
        let tokens = tokenizer.encode(ANSWER, Specials::Plain);
        let (mut allowed, mut barred) = (0, 0);
        for (place, token) in tokens.iter().enumerate() {
            let mask = matcher.mask().expect("a mask").clone();
            let first = slow.mask().expect("a mask").clone();
            let others = (place..tokenizer.vocab_len()).step_by(STRIDE).map(|id| id as u32);
            for id in others.chain(tokens.iter().copied()) {
                let bytes = tokenizer.token_bytes(id);
                let fits = !tokenizer.is_special(id)
                    && bytes.first().is_some_and(|byte| first.allows(u32::from(*byte)))
                    && takes(&mut slow.clone(), bytes);
                let said = String::from_utf8_lossy(bytes);
                assert_eq!(mask.allows(id), fits, "{name}: token {id}, {said:?}, at {place}");
                if fits { allowed += 1 } else { barred += 1 }
            }
            let text = String::from_utf8_lossy(tokenizer.token_bytes(*token));
            matcher.accept(*token).unwrap_or_else(|error| panic!("{name}: {error}: {text:?}"));
            assert!(takes(&mut slow, tokenizer.token_bytes(*token)), "{name}: the same bytes");
        }
        assert!(matcher.may_end() && slow.may_end(), "{name}: the answer is whole");
        assert!(allowed > 100 && barred > 1000, "{name}: {allowed} allowed, {barred} barred");
    }
}
