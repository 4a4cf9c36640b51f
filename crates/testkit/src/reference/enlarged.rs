//! The same architectures with widths of a size that memory can be measured with: next to a model
//! of some megabytes what a process takes anyway hides what is looked at.

use std::io::{self, Write};

use gguf::{Metadata, Value, Writer};
use quant::FormatId;
use serde_json::Value as Json;

use super::{ReferenceModel, metadata, stored};
use crate::pool::Pools;
use crate::vocabulary;

/// Keys of metadata whose numbers are widths, positions of a window, or shares of a head.
const WIDTHS: &[&str] = &[
    "attention.key_length",
    "attention.key_length_mla",
    "attention.kv_lora_rank",
    "attention.q_lora_rank",
    "attention.sliding_window",
    "attention.value_length",
    "attention.value_length_mla",
    "embedding_length",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.dimension_sections",
    "ssm.inner_size",
    "ssm.state_size",
];

/// Parts of names of tensors with a value for each head, expert or output: what follows the first
/// dimension of a matrix stays, as do vectors.
const COUNTED: &[&str] =
    &["attn_sinks", "cls.output", "exp_probs_b", "ffn_gate_inp", "ssm_a", "ssm_b", "ssm_dt"];

/// A model of a fixture's architecture, made wider.
#[derive(Clone, Copy, Debug)]
pub struct Enlarged<'a> {
    /// The fixture.
    pub model: &'a ReferenceModel,
    /// Times the widths of the fixture.
    pub times: u64,
    /// Context it claims to be trained for.
    pub context: u32,
    /// Tokens, padded from the tokenizer's own.
    pub vocab: usize,
    /// Format of matrices whose rows are whole blocks; others are F32.
    pub format: FormatId,
}

impl Enlarged<'_> {
    /// Writes it, with random weights and the tokenizer of another model's metadata.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// # Panics
    /// When that metadata has no tokenizer, or one of more tokens.
    pub fn write(&self, tokenizer: &Metadata, out: &mut impl Write) -> io::Result<()> {
        let mut writer = Writer::new();
        let mut numbers = self.model.json["metadata"].clone();
        for (key, value) in numbers.as_object_mut().expect("metadata") {
            let name = key.split_once('.').map_or("", |(_, name)| name);
            match name {
                "context_length" => *value = self.context.into(),
                "vocab_size" => *value = self.vocab.into(),
                name if WIDTHS.contains(&name) => widen(value, self.times),
                _ => {}
            }
            writer.metadata(key, metadata(value));
        }
        vocabulary::copy(&mut writer, tokenizer, self.vocab);
        let name = format!("random {} times {}", self.model.name, self.times);
        writer.metadata("general.name", Value::String(name));
        let tensors = self.tensors();
        for (name, shape, format) in &tensors {
            writer.announce(name, shape, *format);
        }
        let mut pools = Pools::default();
        let mut left = tensors.iter();
        writer.write_with(out, |_, _, out| {
            let (name, shape, format) = left.next().expect("as many as were announced");
            let count = usize::try_from(shape.iter().product::<u64>()).expect("a tensor's length");
            if *format == FormatId::F32 && shape.len() == 1 {
                // Norms are about 1, and of small numbers nothing grows through the layers.
                let value: f32 = if name.contains("norm") { 1.0 } else { 0.01 };
                return (0..count).try_for_each(|_| out.write_all(&value.to_le_bytes()));
            }
            pools.write(*format, count, out).map(|_| ())
        })
    }

    /// `(name, shape, format)` in the order of the fixture.
    fn tensors(&self) -> Vec<(String, Vec<u64>, FormatId)> {
        let all = self.model.json["tensors"].as_array().expect("tensors").iter();
        let one = |tensor: &Json| {
            let name = tensor["name"].as_str().expect("a name").to_owned();
            let shape = tensor["shape"].as_array().expect("a shape").iter();
            let small: Vec<u64> = shape.map(|len| len.as_u64().expect("a length")).collect();
            let shape = self.shape(&name, &small);
            let format = stored(&name, &shape, self.format);
            (name, shape, format)
        };
        all.map(one).collect()
    }

    fn shape(&self, name: &str, small: &[u64]) -> Vec<u64> {
        let mut shape: Vec<u64> = small.iter().map(|len| len * self.times).collect();
        let kept = match name {
            "token_embd.weight" | "output.weight" => {
                shape[1] = self.vocab as u64;
                return shape;
            }
            "token_types.weight" | "position_embd.weight" => 1..2,
            _ if name.contains("ssm_conv1d") => 0..1,
            _ if COUNTED.iter().any(|part| name.contains(part)) => small.len() - 1..small.len(),
            _ if name.contains("_exps.bias") => 1..2,
            _ => small.len().min(2)..small.len(),
        };
        shape[kept.clone()].copy_from_slice(&small[kept]);
        shape
    }
}

/// A width, or a list of them.
fn widen(value: &mut Json, times: u64) {
    match value {
        Json::Array(values) => values.iter_mut().for_each(|value| widen(value, times)),
        other => *other = (other.as_u64().expect("a width") * times).into(),
    }
}

#[cfg(test)]
mod tests {
    use gguf::{Metadata, Value};
    use quant::FormatId;

    use super::Enlarged;
    use crate::reference_models;

    /// Loaders and planners look closely at what headers say: here only that it is whole, and as
    /// wide as was asked for.
    #[test]
    fn models_are_made_wider() {
        let mut tokenizer = Metadata::new();
        let tokens = ["a", "b"].into_iter().map(str::to_owned).collect();
        let tokens = Value::Array(gguf::Array::String(tokens));
        tokenizer.insert("tokenizer.ggml.tokens", tokens);
        let names = ["deepseek2", "gpt_oss", "qwen3next"];
        for model in reference_models().iter().filter(|model| names.contains(&&*model.name)) {
            let wide =
                Enlarged { model, times: 2, context: 512, vocab: 64, format: FormatId::Q8_0 };
            let mut bytes = Vec::new();
            wide.write(&tokenizer, &mut bytes).expect("memory takes it");
            let header = gguf::parse(&bytes, bytes.len() as u64).expect("a whole file");
            let key = |name: &str| format!("{}.{name}", model.architecture());
            let number = |json: &serde_json::Value| json.as_u64().expect("a number");
            let width = number(&model.json["metadata"][key("embedding_length")]);
            let found = header.metadata.u64(&key("embedding_length")).ok().flatten();
            assert_eq!(found, Some(2 * width), "{}", model.name);
            let table = header.tensors.iter().find(|tensor| tensor.name == "token_embd.weight");
            assert_eq!(table.expect("a table").shape, [2 * width, 64], "{}", model.name);
            let words = header.metadata.strings("tokenizer.ggml.tokens").ok().flatten();
            assert_eq!(words.map(|words| words.iter().count()), Some(64));
        }
    }
}
