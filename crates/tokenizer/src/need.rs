//! How much memory a tokenizer takes, said before it is made.

use gguf::Metadata;

use crate::pre;
use crate::tokenizer::Tokenizer;
use crate::words::Words;

/// Of a token beside its text: where it ends (twice), its kind and its score.
const TOKEN_BYTES: u64 = 4 + 4 + 1 + 4;
/// A slot of the table of tokens, and of that of merges.
const INDEX_SLOT_BYTES: u64 = 8;
const MERGE_SLOT_BYTES: u64 = 16;
/// Of a token that is found by its beginnings: where its text lies and its number, and the bits
/// that know a beginning.
const PREFIX_BYTES: u64 = 12;
const BEGUN_BYTES: u64 = 8;

impl Tokenizer {
    /// Bytes that the tokenizer of a file holds once it has read a text; none where the file
    /// describes none.
    #[must_use]
    pub fn need_bytes(metadata: &Metadata) -> u64 {
        let texts = |key: &str| metadata.strings(key).ok().flatten();
        let Some(tokens) = texts("tokenizer.ggml.tokens") else { return 0 };
        let bytes: u64 = tokens.iter().map(|text| text.len() as u64).sum();
        let count = tokens.len() as u64;
        let index = (2 * count).next_power_of_two() * INDEX_SLOT_BYTES;
        let text = |key: &str| metadata.str(key).ok().flatten().unwrap_or("");
        let of_kind = match text("tokenizer.ggml.model") {
            "llama" => 0,
            "t5" | "bert" => {
                let begun = count.next_power_of_two() * BEGUN_BYTES;
                bytes + PREFIX_BYTES * count + index + begun
            }
            _ => {
                let merges = texts("tokenizer.ggml.merges").map_or(0, |lines| lines.len() as u64);
                let pairs = (merges + merges / 2).next_power_of_two() * MERGE_SLOT_BYTES;
                let rule = pre::rule(text("tokenizer.ggml.pre"));
                pairs + if rule.is_ok_and(|rule| rule.whole_words) { index } else { 0 }
            }
        };
        // Texts as they are written, and as bytes.
        2 * bytes + TOKEN_BYTES * count + index + of_kind + Words::BYTES
    }
}

#[cfg(test)]
mod tests {
    use gguf::{Array, Metadata, Value};

    use crate::Tokenizer;

    fn file(kind: &str, pre: &str) -> Metadata {
        let mut metadata = Metadata::new();
        let words = |count: u32| (0..count).map(|i| format!("{i:04}")).collect();
        metadata.insert("tokenizer.ggml.model", Value::String(kind.to_owned()));
        metadata.insert("tokenizer.ggml.pre", Value::String(pre.to_owned()));
        metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::String(words(1000))));
        metadata.insert("tokenizer.ggml.merges", Value::Array(Array::String(words(500))));
        metadata
    }

    #[test]
    fn each_kind_has_its_tables() {
        let words = 1 << 20;
        let all = 2 * 4000 + 13 * 1000 + 2048 * 8 + words;
        let need = |kind, pre| Tokenizer::need_bytes(&file(kind, pre));
        assert_eq!(need("llama", ""), all);
        assert_eq!(need("t5", ""), all + 4000 + 12 * 1000 + 2048 * 8 + 1024 * 8);
        assert_eq!(need("gpt2", "gpt-2"), all + 1024 * 16);
        assert_eq!(need("gpt2", "glm4"), all + 1024 * 16 + 2048 * 8);
        assert_eq!(Tokenizer::need_bytes(&Metadata::new()), 0);
    }
}
