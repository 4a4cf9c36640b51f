//! A complete byte-level BPE vocabulary: 256 bytes, a few merges, and ChatML's special tokens.

use gguf::{Array, Metadata, Value, Writer};

/// Merges: pairs of texts that become one token, in order of rank.
const MERGES: &[(&str, &str)] =
    &[("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", "the"), ("e", "r"), ("a", "n"), ("an", "d")];

/// Special tokens, after bytes and merges.
const SPECIALS: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
                        message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
                        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const CONTROL: i32 = 3;
const NORMAL: i32 = 1;

/// Number of tokens without padding.
pub(crate) fn len() -> usize {
    256 + MERGES.len() + SPECIALS.len()
}

/// Writes tokenizer and template metadata for a vocabulary of `vocab` tokens.
pub(crate) fn write(writer: &mut Writer, vocab: usize) {
    assert!(vocab >= len(), "a vocabulary of {vocab}, and {} is the least", len());
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_text(byte).to_string()).collect();
    tokens.extend(MERGES.iter().map(|(left, right)| format!("{left}{right}")));
    let first_special = tokens.len();
    tokens.extend(SPECIALS.iter().map(|text| (*text).to_owned()));
    let mut kinds = vec![NORMAL; first_special];
    kinds.resize(tokens.len(), CONTROL);
    // The rest is never made by the tokenizer, but the model may choose it.
    while tokens.len() < vocab {
        tokens.push(format!("<pad{}>", tokens.len()));
        kinds.push(NORMAL);
    }
    let special = |index: usize| Value::U32(u32::try_from(first_special + index).expect("small"));
    let merges = MERGES.iter().map(|(left, right)| format!("{left} {right}")).collect();
    writer
        .metadata("tokenizer.ggml.model", Value::String("gpt2".to_owned()))
        .metadata("tokenizer.ggml.pre", Value::String("smollm".to_owned()))
        .metadata("tokenizer.ggml.tokens", Value::Array(Array::String(tokens.iter().collect())))
        .metadata("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)))
        .metadata("tokenizer.ggml.merges", Value::Array(Array::String(merges)))
        .metadata("tokenizer.ggml.bos_token_id", special(1))
        .metadata("tokenizer.ggml.eos_token_id", special(2))
        .metadata("tokenizer.ggml.unknown_token_id", special(0))
        .metadata("tokenizer.ggml.add_bos_token", Value::Bool(false))
        .metadata("tokenizer.chat_template", Value::String(TEMPLATE.to_owned()));
}

/// Copies a model's tokenizer, padded to a vocabulary of `vocab` tokens.
pub(crate) fn copy(writer: &mut Writer, tokenizer: &Metadata, vocab: usize) {
    let tokens = |key: &str| key.starts_with("tokenizer.");
    for (key, value) in tokenizer.iter().filter(|(key, _)| tokens(key)) {
        let value = match value {
            Value::Array(Array::String(words)) if key == "tokenizer.ggml.tokens" => {
                assert!(vocab >= words.iter().count(), "a vocabulary of {vocab} is too small");
                let pads = (words.iter().count()..vocab).map(|at| format!("<pad{at}>"));
                let words = words.iter().map(str::to_owned).chain(pads);
                Value::Array(Array::String(words.collect()))
            }
            Value::Array(Array::I32(kinds)) if key == "tokenizer.ggml.token_type" => {
                let mut kinds = kinds.clone();
                kinds.resize(vocab, NORMAL);
                Value::Array(Array::I32(kinds))
            }
            other => other.clone(),
        };
        writer.metadata(key, value);
    }
}

/// GPT-2's printable stand-in for a byte: itself where it is printable Latin-1, else the next
/// free code point from 256 on.
fn byte_text(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !printable(*b)).count();
    char::from_u32(256 + u32::try_from(before).expect("below 256")).expect("a letter")
}
