//! Random models with a real model's shape, written as a stream: what speed is measured with.
//!
//! Speed depends on shapes and formats, not on values; but values must stay sane through all
//! layers, so weights are normal with a deviation of 0.02 and norms are 1.

use std::io::{self, Write};

use gguf::{Metadata, Writer};
use quant::FormatId;

use crate::metadata::Numbers;
use crate::{Mix, Part, rng};

/// Of the weights, as models are initialised.
const DEVIATION: f32 = 0.02;
/// Random weights that are quantised; the file repeats them in random order.
const POOL_WEIGHTS: usize = 1 << 20;
/// Weights that are taken from the pool at once, where the format's blocks are not longer. A row
/// of any known model is a multiple.
const UNIT_WEIGHTS: usize = 64;
/// Bytes that are gathered for the disk.
const BUFFER_BYTES: usize = 1 << 20;

/// A real model's shape, of the `llama` architecture.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// As in file names.
    pub name: &'static str,
    /// Layers.
    pub n_layers: u32,
    /// Width.
    pub d: u32,
    /// Width of the feed-forward.
    pub ffn: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Key and value heads.
    pub n_kv_heads: u32,
    /// Tokens; the tokenizer that is copied in has as many at most.
    pub vocab: u32,
    /// Context it claims to be trained for.
    pub context: u32,
    /// Base of the rotation's frequencies.
    pub rope_base: f32,
}

/// The shapes that speed is judged on, with SmolLM2's vocabulary; none is tied.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "1.17B",
        n_layers: 22,
        d: 2048,
        ffn: 5632,
        n_heads: 32,
        n_kv_heads: 4,
        vocab: 49_152,
        context: 40_960,
        rope_base: 10_000.0,
    },
    Shape {
        name: "7.4B",
        n_layers: 32,
        d: 4096,
        ffn: 14_336,
        n_heads: 32,
        n_kv_heads: 8,
        vocab: 49_152,
        context: 40_960,
        rope_base: 500_000.0,
    },
];

impl Shape {
    /// Writes a model of this shape: matrices in the formats of `mix`, the tokenizer of
    /// `tokenizer`, another model's metadata. `progress` hears of bytes done and in all.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// # Panics
    /// When this program does not know a format of `mix`, see [`Mix::is_known`].
    pub fn write(
        &self,
        mix: &Mix,
        tokenizer: &Metadata,
        out: &mut impl Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<()> {
        let mut writer = Writer::new();
        self.put_metadata(&mut writer, mix);
        let tokens = |key: &str| key.starts_with("tokenizer.");
        for (key, value) in tokenizer.iter().filter(|(key, _)| tokens(key)) {
            writer.metadata(key, value.clone());
        }
        let tensors = self.tensors(mix);
        let mut total = 0;
        for (name, shape, format) in &tensors {
            total += writer.announce(name, shape, *format);
        }
        let mut pools = Vec::new();
        let mut lens = tensors.iter().map(|(_, shape, format)| (shape.clone(), *format));
        let mut done = 0;
        writer.write_with(out, |_, _, out| {
            let (shape, format) = lens.next().expect("as many as were announced");
            let count = usize::try_from(shape.iter().product::<u64>()).expect("a tensor's length");
            let written = if shape.len() == 1 {
                write_ones(count, out)?
            } else {
                pool(&mut pools, format).write(count, out)?
            };
            done += written;
            progress(done, total);
            Ok(())
        })
    }

    fn put_metadata(&self, writer: &mut Writer, mix: &Mix) {
        let numbers = Numbers {
            n_layers: self.n_layers,
            context: self.context,
            d: self.d,
            ffn: self.ffn,
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            vocab: self.vocab,
            rope_base: self.rope_base,
        };
        numbers.put(writer, "llama", format!("random {} {}", self.name, mix.name));
    }

    /// `(name, shape, format)` in the order of use.
    fn tensors(&self, mix: &Mix) -> Vec<(String, Vec<u64>, FormatId)> {
        let (d, ffn, vocab) = (u64::from(self.d), u64::from(self.ffn), u64::from(self.vocab));
        let kv = d / u64::from(self.n_heads) * u64::from(self.n_kv_heads);
        let matrix = |name: String, part: Part, layer: u32, k: u64, n: u64| {
            let format = (mix.format)(part, layer, self.n_layers);
            let format = FormatId::from_name(format)
                .unwrap_or_else(|| panic!("{name} wants the unknown format {format}"));
            (name, vec![k, n], format)
        };
        let norm = |name: String| (name, vec![d], FormatId::F32);
        let embedding = "token_embd.weight".to_owned();
        let mut all = vec![matrix(embedding, Part::Embedding, 0, d, vocab)];
        for layer in 0..self.n_layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            all.push(norm(name("attn_norm")));
            all.push(matrix(name("attn_q"), Part::Other, layer, d, d));
            all.push(matrix(name("attn_k"), Part::Other, layer, d, kv));
            all.push(matrix(name("attn_v"), Part::Value, layer, d, kv));
            all.push(matrix(name("attn_output"), Part::Other, layer, d, d));
            all.push(norm(name("ffn_norm")));
            all.push(matrix(name("ffn_gate"), Part::Other, layer, d, ffn));
            all.push(matrix(name("ffn_up"), Part::Other, layer, d, ffn));
            all.push(matrix(name("ffn_down"), Part::Down, layer, ffn, d));
        }
        all.push(norm("output_norm.weight".to_owned()));
        all.push(matrix("output.weight".to_owned(), Part::Output, 0, d, vocab));
        all
    }
}

/// Quantised weights that a file is put together from: quantising each weight of a large model
/// would take minutes and change nothing that is measured.
struct Pool {
    format: FormatId,
    /// Weights of a unit.
    weights: usize,
    /// Bytes of a unit.
    bytes: usize,
    units: Vec<u8>,
    rng: crate::Rng,
}

fn pool(pools: &mut Vec<Pool>, format: FormatId) -> &mut Pool {
    let at = pools.iter().position(|pool| pool.format == format).unwrap_or_else(|| {
        pools.push(Pool::new(format));
        pools.len() - 1
    });
    &mut pools[at]
}

impl Pool {
    fn new(format: FormatId) -> Pool {
        let mut rng = rng(u64::from(format.ggml_id()) + 1);
        let values: Vec<f32> = (0..POOL_WEIGHTS).map(|_| rng.normal() * DEVIATION).collect();
        let weights = UNIT_WEIGHTS.max(format.block_len());
        let bytes = format.row_bytes(weights).expect("a unit is whole blocks");
        let mut units = vec![0; POOL_WEIGHTS / weights * bytes];
        format.quantize_row(&values, &mut units);
        Pool { format, weights, bytes, units, rng }
    }

    /// Writes so many weights; the count of bytes.
    fn write(&mut self, count: usize, out: &mut dyn Write) -> io::Result<u64> {
        assert!(count.is_multiple_of(self.weights), "{count} weights are no whole units");
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + self.bytes);
        let (units, mut written) = ((self.units.len() / self.bytes) as u64, 0);
        for _ in 0..count / self.weights {
            let at = usize::try_from(self.rng.below(units)).expect("an index") * self.bytes;
            buffer.extend_from_slice(&self.units[at..at + self.bytes]);
            if buffer.len() >= BUFFER_BYTES {
                out.write_all(&buffer)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
        }
        out.write_all(&buffer)?;
        Ok(written + buffer.len() as u64)
    }
}

fn write_ones(count: usize, out: &mut dyn Write) -> io::Result<u64> {
    let bytes: Vec<u8> = (0..count).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
    out.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use gguf::{Metadata, Value};
    use quant::FormatId;

    use super::{SHAPES, Shape};
    use crate::MIXES;

    #[test]
    fn a_small_shape_is_a_whole_file_of_finite_weights() {
        let shape = Shape { n_layers: 2, d: 256, ffn: 512, vocab: 300, ..SHAPES[0] };
        let mut tokenizer = Metadata::new();
        tokenizer.insert("tokenizer.ggml.model", Value::String("gpt2".to_owned()));
        tokenizer.insert("general.name", Value::String("not copied".to_owned()));
        for mix in MIXES.iter().filter(|mix| mix.is_known()) {
            let (mut bytes, mut told) = (Vec::new(), (0, 0));
            let mut progress = |done, total| told = (done, total);
            shape.write(mix, &tokenizer, &mut bytes, &mut progress).expect("memory takes it");
            assert_eq!(told.0, told.1, "{}", mix.name);
            let header = gguf::parse(&bytes, bytes.len() as u64).expect("a whole file");
            assert_eq!(header.tensors.len(), 2 * 9 + 3);
            assert_eq!(header.metadata.str("tokenizer.ggml.model").ok().flatten(), Some("gpt2"));
            let name = header.metadata.str("general.name").ok().flatten();
            assert_eq!(name, Some(format!("random 1.17B {}", mix.name).as_str()));
            for tensor in &header.tensors {
                let at = usize::try_from(tensor.offset).expect("small");
                let len = usize::try_from(tensor.size_bytes).expect("small");
                check(&tensor.name, tensor.format, &bytes[at..at + len]);
            }
        }
    }

    fn check(name: &str, format: FormatId, bytes: &[u8]) {
        let mut values = vec![0.0; bytes.len() / format.block_bytes() * format.block_len()];
        format.dequantize_row(bytes, &mut values);
        let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let deviation = (squares / values.len() as f64).sqrt();
        let wanted = if name.contains("norm") { 1.0 } else { f64::from(super::DEVIATION) };
        assert!((deviation / wanted - 1.0).abs() < 0.1, "{name} {format:?}: {deviation}");
    }
}
