//! A random model of a real architecture, small enough to run in a test.

use std::path::Path;

use gguf::Writer;
use quant::FormatId;

use crate::metadata::Numbers;
use crate::{Rng, rng, vocabulary};

/// Its shape. [`TinyModel::default`] is a two-layer llama of width 64.
#[derive(Clone, Debug)]
pub struct TinyModel {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Of the weights.
    pub seed: u64,
    /// Layers.
    pub n_layers: u32,
    /// Width; a multiple of the format's block length.
    pub d: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Key and value heads.
    pub n_kv_heads: u32,
    /// Width of the feed-forward; a multiple of the format's block length.
    pub ffn: u32,
    /// Tokens, padded from the tokenizer's own.
    pub vocab: u32,
    /// Context it claims to be trained for.
    pub context: u32,
    /// Format of the matrices.
    pub format: FormatId,
    /// Whether the embedding table serves as the output matrix too.
    pub tied: bool,
}

impl Default for TinyModel {
    fn default() -> TinyModel {
        TinyModel {
            architecture: "llama",
            seed: 1,
            n_layers: 2,
            d: 64,
            n_heads: 4,
            n_kv_heads: 2,
            ffn: 128,
            vocab: 288,
            context: 256,
            format: FormatId::Q8_0,
            tied: false,
        }
    }
}

impl TinyModel {
    /// The file.
    #[must_use]
    pub fn gguf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.writer().write_to(&mut out).expect("memory takes what is written");
        out
    }

    /// Writes the file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.gguf()).expect("the test's folder can be written");
    }

    /// The file in the making, for tests that change it.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let mut writer = Writer::new();
        self.put_metadata(&mut writer);
        vocabulary::write(&mut writer, self.vocab as usize);
        self.put_tensors(&mut writer);
        writer
    }

    fn put_metadata(&self, writer: &mut Writer) {
        let numbers = Numbers {
            n_layers: self.n_layers,
            context: self.context,
            d: self.d,
            ffn: self.ffn,
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            vocab: self.vocab,
            rope_base: 10_000.0,
        };
        numbers.put(writer, self.architecture, "tiny random model".to_owned());
    }

    fn put_tensors(&self, writer: &mut Writer) {
        let mut rng = rng(self.seed);
        let (d, ffn) = (self.d, self.ffn);
        let kv = d / self.n_heads * self.n_kv_heads;
        self.put_matrix(writer, &mut rng, "token_embd.weight", (d, self.vocab));
        put_norm(writer, &mut rng, "output_norm.weight", d);
        if !self.tied {
            self.put_matrix(writer, &mut rng, "output.weight", (d, self.vocab));
        }
        for layer in 0..self.n_layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            put_norm(writer, &mut rng, &name("attn_norm"), d);
            put_norm(writer, &mut rng, &name("ffn_norm"), d);
            for (part, shape) in [
                ("attn_q", (d, d)),
                ("attn_k", (d, kv)),
                ("attn_v", (d, kv)),
                ("attn_output", (d, d)),
                ("ffn_gate", (d, ffn)),
                ("ffn_up", (d, ffn)),
                ("ffn_down", (ffn, d)),
            ] {
                self.put_matrix(writer, &mut rng, &name(part), shape);
            }
        }
    }

    fn put_matrix(&self, writer: &mut Writer, rng: &mut Rng, name: &str, (k, n): (u32, u32)) {
        let scale = 1.0 / (k as f32).sqrt();
        let row = self.format.row_bytes(k as usize).expect("widths are whole blocks");
        let mut bytes = vec![0; row * n as usize];
        if self.format.can_quantize() {
            let count = k as usize * n as usize;
            let values: Vec<f32> = (0..count).map(|_| rng.normal() * scale).collect();
            self.format.quantize_row(&values, &mut bytes);
        } else {
            let blocks = bytes.chunks_exact_mut(self.format.block_bytes());
            blocks.for_each(|block| fill(self.format, block, rng, scale));
        }
        writer.tensor(name, &[u64::from(k), u64::from(n)], self.format, bytes);
    }
}

/// Any bytes whose largest weight is a few times `scale`, of a format that is only read.
fn fill(format: FormatId, block: &mut [u8], rng: &mut Rng, scale: f32) {
    let mut weights = vec![0.0_f32; format.block_len()];
    let mut highest = 0.0;
    while !(scale..=4.0 * scale).contains(&highest) {
        block.fill_with(|| rng.next_u64() as u8);
        format.dequantize_row(block, &mut weights);
        // Of blocks whose scale is not a number this is 0.
        highest = weights.iter().fold(0.0, |highest: f32, weight| highest.max(weight.abs()));
    }
}

fn put_norm(writer: &mut Writer, rng: &mut Rng, name: &str, d: u32) {
    let bytes = (0..d).flat_map(|_| (1.0 + 0.1 * rng.f32()).to_le_bytes()).collect();
    writer.tensor(name, &[u64::from(d)], FormatId::F32, bytes);
}
