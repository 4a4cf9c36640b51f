//! A random encoder with a WordPiece vocabulary, small enough to run in a test: one that embeds, or
//! one that scores pairs.

use std::path::Path;

use gguf::{Array, Value, Writer};
use quant::FormatId;

use crate::{Rng, rng};

/// A `bert` of two layers.
#[derive(Clone, Debug)]
pub struct TinyEncoder {
    /// Of the weights.
    pub seed: u64,
    /// Longest text in tokens.
    pub context: u32,
    /// Whether it has the head that scores pairs; it pools means else.
    pub scores: bool,
}

impl Default for TinyEncoder {
    fn default() -> TinyEncoder {
        TinyEncoder { seed: 1, context: 64, scores: false }
    }
}

/// Width, and that of the feed-forward.
const D: u64 = 64;
const FFN: u64 = 128;
const LAYERS: u32 = 2;

/// The first tokens, in the order of the ids that the metadata name.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const CONTROL: i32 = 3;
const NORMAL: i32 = 1;

impl TinyEncoder {
    /// Writes the file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &Path) {
        let mut bytes = Vec::new();
        self.writer().write_to(&mut bytes).expect("memory takes what is written");
        std::fs::write(path, bytes).expect("the test's folder can be written");
    }

    /// The file in the making, for tests that change it.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let mut writer = Writer::new();
        let tokens = tokens();
        let vocab = tokens.len() as u64;
        self.put_metadata(&mut writer);
        put_vocabulary(&mut writer, &tokens);
        self.put_tensors(&mut writer, vocab);
        writer
    }

    fn put_metadata(&self, writer: &mut Writer) {
        writer
            .metadata("general.architecture", Value::String("bert".to_owned()))
            .metadata("general.name", Value::String("tiny random encoder".to_owned()));
        for (name, value) in [
            ("block_count", LAYERS),
            ("context_length", self.context),
            ("embedding_length", D as u32),
            ("feed_forward_length", FFN as u32),
            ("attention.head_count", 4),
            ("pooling_type", if self.scores { 4 } else { 1 }),
        ] {
            writer.metadata(&format!("bert.{name}"), Value::U32(value));
        }
        writer
            .metadata("bert.attention.layer_norm_epsilon", Value::F32(1e-12))
            .metadata("bert.attention.causal", Value::Bool(false));
    }

    fn put_tensors(&self, writer: &mut Writer, vocab: u64) {
        let mut rng = rng(self.seed);
        let context = u64::from(self.context);
        put(writer, &mut rng, ("token_embd.weight", &[D, vocab]), (0.0, 1.0));
        put(writer, &mut rng, ("position_embd.weight", &[D, context]), (0.0, 0.5));
        put(writer, &mut rng, ("token_types.weight", &[D, 2]), (0.0, 0.5));
        put_norm(writer, &mut rng, "token_embd_norm");
        for layer in 0..LAYERS {
            for (part, n, k) in [
                ("attn_q", D, D),
                ("attn_k", D, D),
                ("attn_v", D, D),
                ("attn_output", D, D),
                ("ffn_up", FFN, D),
                ("ffn_down", D, FFN),
            ] {
                put_layer(writer, &mut rng, &format!("blk.{layer}.{part}"), (n, k));
            }
            put_norm(writer, &mut rng, &format!("blk.{layer}.attn_output_norm"));
            put_norm(writer, &mut rng, &format!("blk.{layer}.layer_output_norm"));
        }
        if self.scores {
            put_layer(writer, &mut rng, "cls", (D, D));
            put_layer(writer, &mut rng, "cls.output", (1, D));
        }
    }
}

/// Letters and digits, beginning a word and going on with one, marks, and a few words.
fn tokens() -> Vec<String> {
    let mut tokens: Vec<String> = SPECIALS.map(str::to_owned).to_vec();
    let letters = ('a'..='z').chain('0'..='9');
    tokens.extend(letters.clone().map(|letter| format!("▁{letter}")));
    tokens.extend(letters.map(String::from));
    tokens.extend(".,!?-'".chars().map(|mark| format!("▁{mark}")));
    tokens.extend(["the", "cat", "dog", "sat", "hello", "world"].map(|word| format!("▁{word}")));
    tokens.extend(["ing", "ed"].map(str::to_owned));
    tokens
}

fn put_vocabulary(writer: &mut Writer, tokens: &[String]) {
    let kind = |i| if i < SPECIALS.len() { CONTROL } else { NORMAL };
    let kinds = (0..tokens.len()).map(kind).collect();
    writer
        .metadata("tokenizer.ggml.model", Value::String("bert".to_owned()))
        .metadata("tokenizer.ggml.pre", Value::String("default".to_owned()))
        .metadata("tokenizer.ggml.token_type_count", Value::U32(2))
        .metadata("tokenizer.ggml.tokens", Value::Array(Array::String(tokens.iter().collect())))
        .metadata("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    // The key of the separator is spelled so in the format.
    let ids = ["padding", "unknown", "bos", "seperator", "mask"];
    for (id, name) in (0..).zip(ids) {
        writer.metadata(&format!("tokenizer.ggml.{name}_token_id"), Value::U32(id));
    }
    writer.metadata("tokenizer.ggml.eos_token_id", Value::U32(3));
}

fn put_layer(writer: &mut Writer, rng: &mut Rng, name: &str, (n, k): (u64, u64)) {
    let spread = 1.0 / (k as f32).sqrt();
    put(writer, rng, (&format!("{name}.weight"), &[k, n]), (0.0, 2.0 * spread));
    put(writer, rng, (&format!("{name}.bias"), &[n]), (0.0, 0.1));
}

fn put_norm(writer: &mut Writer, rng: &mut Rng, name: &str) {
    put(writer, rng, (&format!("{name}.weight"), &[D]), (1.0, 0.1));
    put(writer, rng, (&format!("{name}.bias"), &[D]), (0.0, 0.1));
}

fn put(
    writer: &mut Writer,
    rng: &mut Rng,
    (name, shape): (&str, &[u64]),
    (mean, scale): (f32, f32),
) {
    let count: u64 = shape.iter().product();
    let bytes = (0..count).flat_map(|_| (mean + scale * rng.f32()).to_le_bytes()).collect();
    writer.tensor(name, shape, FormatId::F32, bytes);
}
