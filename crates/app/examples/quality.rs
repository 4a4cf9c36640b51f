//! How far the fast kernels are from the reference on a real text, and llama.cpp likewise.
//!
//! `quality MODEL TEXT [--llama-logits FILE]`; FILE is what llama-perplexity writes with
//! `-c 512 --save-all-logits FILE` for the same model and text. Fails when a bound is broken.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::path::Path;
use std::sync::Arc;

use gguf::GgufFile;
use kernels_cpu::CpuBackend;
use model::{LoadOptions, Model};
use tensor::reference::Reference;
use tensor::{Backend, Batch, KvFormat, Span};
use tokenizer::{Specials, Tokenizer};

type Failure = Box<dyn std::error::Error>;

const CHUNK_LEN: usize = 512;
const TOP_1_MIN: f64 = 0.98;
const KL_MAX: f64 = 5e-3;
/// llama.cpp 0c1e57098 (AVX-512 VNNI build) on this text, by this program: the second halves of
/// the chunks. hob may not be farther from the reference.
const LLAMA_CPP_KL: f64 = 2.52e-3;

#[derive(Default)]
struct Distance {
    kl: f64,
    agree: usize,
    count: usize,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, rest @ ..] = arguments.as_slice() else {
        return Err("usage: quality MODEL TEXT [--llama-logits FILE]".into());
    };
    let file = GgufFile::open(Path::new(model))?;
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    let tokens = tokenizer.encode(&std::fs::read_to_string(text)?, Specials::Parse);
    let chunks = tokens.len() / CHUNK_LEN;
    let llama = match rest {
        [flag, path] if flag == "--llama-logits" => {
            let bytes = std::fs::read(path)?;
            Some(LlamaLogits { bytes, chunks, vocab_len: tokenizer.vocab_len() })
        }
        _ => None,
    };
    let mut exact = load(&file, Arc::new(Reference::new()), KvFormat::F32)?;
    let mut fast = load(&file, Arc::new(CpuBackend::detect(None)), KvFormat::F16)?;
    let (mut all, mut halves, mut theirs) = <(Distance, Distance, Distance)>::default();
    let mut answers = Distance::default();
    for (index, chunk) in tokens.chunks_exact(CHUNK_LEN).enumerate() {
        let wanted = logits(&mut exact, chunk, 0)?;
        let found = logits(&mut fast, chunk, 0)?;
        let as_answers = logits(&mut fast, chunk, CHUNK_LEN)?;
        let vocab_len = exact.spec().vocab;
        for row in 0..CHUNK_LEN {
            let at = row * vocab_len..(row + 1) * vocab_len;
            let reference = log_softmax(&wanted[at.clone()]);
            let ours = log_softmax(&found[at.clone()]);
            all.add(&reference, &ours);
            answers.add(&reference, &log_softmax(&as_answers[at]));
            if (CHUNK_LEN / 2..CHUNK_LEN - 1).contains(&row) {
                halves.add(&reference, &ours);
                if let Some(llama) = &llama {
                    theirs.add(&reference, &llama.row(index, row, chunk)?);
                }
            }
        }
        println!("chunk {} of {chunks}: {}", index + 1, all.text());
    }
    println!("hob, {} tokens: {}", all.count, all.text());
    println!("hob, the same as tokens of answers: {}", answers.text());
    println!("hob, second halves: {}", halves.text());
    if llama.is_some() {
        println!("llama.cpp, second halves: {}", theirs.text());
    }
    check((&all, &answers), &halves)
}

fn check((all, answers): (&Distance, &Distance), halves: &Distance) -> Result<(), Failure> {
    for distance in [all, answers] {
        let count = distance.count as f64;
        let (top_1, kl) = (distance.agree as f64 / count, distance.kl / count);
        if distance.count < 2000 || top_1 < TOP_1_MIN || kl > KL_MAX {
            return Err(format!("wanted 2000 tokens, top-1 >= {TOP_1_MIN}, KL <= {KL_MAX}").into());
        }
    }
    if halves.kl / halves.count as f64 > LLAMA_CPP_KL {
        return Err(format!("farther from the reference than llama.cpp's {LLAMA_CPP_KL}").into());
    }
    println!(
        "within bounds: top-1 >= {TOP_1_MIN}, KL <= {KL_MAX} and <= llama.cpp's {LLAMA_CPP_KL}"
    );
    Ok(())
}

fn load(file: &GgufFile, backend: Arc<dyn Backend>, kv_format: KvFormat) -> Result<Model, Failure> {
    let options = LoadOptions {
        context_len: 512,
        rows_max: CHUNK_LEN,
        kv_page_len: 32,
        kv_page_count: CHUNK_LEN / 32,
        kv_format,
        state_slots: 1,
    };
    Ok(Model::load(file, backend, &options, &mut |_, _| {})?)
}

fn logits(model: &mut Model, tokens: &[u32], decode_rows: usize) -> Result<Vec<f32>, Failure> {
    let pages: Vec<u32> = (0..16).collect();
    let spans = [Span { rows: tokens.len(), first_position: 0, pages: &pages, state: 0 }];
    let rows: Vec<u32> = (0..).take(tokens.len()).collect();
    let mut out = Vec::new();
    let batch = Batch { tokens, spans: &spans, decode_rows };
    model.forward((&batch, &[]), &rows, &mut out)?;
    Ok(out)
}

impl Distance {
    fn add(&mut self, reference: &[f64], other: &[f64]) {
        self.kl += reference.iter().zip(other).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        self.agree += usize::from(best(reference) == best(other));
        self.count += 1;
    }

    fn text(&self) -> String {
        let count = self.count as f64;
        let (top_1, kl) = (100.0 * self.agree as f64 / count, self.kl / count);
        format!("top-1 {top_1:.2} %, mean KL {kl:.2e}")
    }
}

fn best(values: &[f64]) -> usize {
    let better = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    values.iter().enumerate().max_by(better).map_or(0, |(index, _)| index)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    logits.iter().map(|logit| f64::from(logit - max) - sum.ln()).collect()
}

/// What llama-perplexity wrote: a header, the tokens, then for each scored token a scale and an
/// offset (f32) and a 16-bit value for each entry of the vocabulary.
struct LlamaLogits {
    bytes: Vec<u8>,
    chunks: usize,
    vocab_len: usize,
}

/// Bytes before the tokens.
const LLAMA_HEADER: usize = 8 + 3 * 4;

impl LlamaLogits {
    fn u32_at(&self, at: usize) -> u32 {
        let b = &self.bytes[at..at + 4];
        u32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }

    /// Log-probabilities after row `row` of chunk `index`, whose tokens must be these.
    fn row(&self, index: usize, row: usize, tokens: &[u32]) -> Result<Vec<f64>, Failure> {
        let token_at = |i: usize| self.u32_at(LLAMA_HEADER + 4 * (index * CHUNK_LEN + i));
        let same = tokens.iter().enumerate().all(|(i, token)| token_at(i) == *token);
        if &self.bytes[..8] != b"_logits_" || !same {
            return Err("the file of logits is for another text or tokenisation".into());
        }
        let values = 2 * self.vocab_len.div_ceil(2) + 4;
        let at = index * (CHUNK_LEN / 2 - 1) + row - CHUNK_LEN / 2;
        let start = LLAMA_HEADER + self.chunks * CHUNK_LEN * 4 + at * values * 2;
        let scale = f64::from(f32::from_bits(self.u32_at(start)));
        let offset = f64::from(f32::from_bits(self.u32_at(start + 4)));
        let row = &self.bytes[start + 8..start + 8 + 2 * self.vocab_len];
        let value =
            |pair: &[u8]| scale * f64::from(u16::from_le_bytes([pair[0], pair[1]])) + offset;
        Ok(row.chunks_exact(2).map(value).collect())
    }
}
