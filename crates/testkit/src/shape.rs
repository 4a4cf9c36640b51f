//! Random models with a real model's shape, written as a stream: what speed is measured with.
//!
//! Speed depends on shapes and formats, not on values; but values must stay sane through all
//! layers, so weights are normal with a deviation of 0.02 and norms are 1.

use std::io::{self, Write};

use gguf::{Metadata, Writer};
use quant::FormatId;

use crate::metadata::Numbers;
use crate::pool::Pools;
use crate::{Mix, Part};

/// Name, shape and format of a tensor.
type Planned = (String, Vec<u64>, FormatId);

/// What is counted of a hole at a time.
const HOLE_BYTES: usize = 64 << 20;

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
    Shape {
        name: "69B",
        n_layers: 80,
        d: 8192,
        ffn: 28_672,
        n_heads: 64,
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
        let (writer, tensors, total) = self.announced(mix, tokenizer);
        let mut pools = Pools::default();
        let mut lens = tensors.iter().map(|(_, shape, format)| (shape.clone(), *format));
        let mut done = 0;
        writer.write_with(out, |_, _, out| {
            let (shape, format) = lens.next().expect("as many as were announced");
            let count = usize::try_from(shape.iter().product::<u64>()).expect("a tensor's length");
            let written = if shape.len() == 1 {
                write_ones(count, out)?
            } else {
                pools.write(format, count, out)?
            };
            done += written;
            progress(done, total);
            Ok(())
        })
    }

    /// Writes the header of such a model alone. Gives the length of the whole file: one made
    /// so long has a hole for weights, and takes no room.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// # Panics
    /// As [`Shape::write`].
    pub fn write_head(
        &self,
        mix: &Mix,
        tokenizer: &Metadata,
        out: &mut impl Write,
    ) -> io::Result<u64> {
        let (writer, tensors, _) = self.announced(mix, tokenizer);
        let mut left = tensors.iter();
        let zeros = vec![0; HOLE_BYTES];
        let mut out = Hollow { head: out, has_head: false, len: 0 };
        writer.write_with(&mut out, |_, _, out| {
            let (_, shape, format) = left.next().expect("as many as were announced");
            let rows: u64 = shape[1..].iter().product();
            let row = usize::try_from(shape[0]).ok().and_then(|k| format.row_bytes(k));
            let mut bytes = rows * row.expect("a row is whole blocks") as u64;
            while bytes > 0 {
                let part = bytes.min(HOLE_BYTES as u64);
                out.write_all(&zeros[..part as usize])?;
                bytes -= part;
            }
            Ok(())
        })?;
        Ok(out.len)
    }

    /// The file in the making: its writer, tensors and bytes of these.
    fn announced(&self, mix: &Mix, tokenizer: &Metadata) -> (Writer, Vec<Planned>, u64) {
        let mut writer = Writer::new();
        self.put_metadata(&mut writer, mix);
        let tokens = |key: &str| key.starts_with("tokenizer.");
        for (key, value) in tokenizer.iter().filter(|(key, _)| tokens(key)) {
            writer.metadata(key, value.clone());
        }
        let tensors = self.tensors(mix);
        let sizes =
            tensors.iter().map(|(name, shape, format)| writer.announce(name, shape, *format));
        let total = sizes.sum();
        (writer, tensors, total)
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
    fn tensors(&self, mix: &Mix) -> Vec<Planned> {
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

/// A file whose first piece, the header, is written, and the rest only counted.
struct Hollow<W> {
    head: W,
    has_head: bool,
    len: u64,
}

impl<W: Write> Write for Hollow<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_head {
            self.head.write_all(bytes)?;
            self.has_head = true;
        }
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
            let mut head = Vec::new();
            let len = shape.write_head(mix, &tokenizer, &mut head).expect("memory takes it");
            assert!(bytes.starts_with(&head) && len == bytes.len() as u64, "{}", mix.name);
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
        let wanted = if name.contains("norm") { 1.0 } else { f64::from(crate::pool::DEVIATION) };
        assert!((deviation / wanted - 1.0).abs() < 0.1, "{name} {format:?}: {deviation}");
    }
}
