//! Times the shapes of a 135M-parameter Llama (width 576, feed-forward 1536, vocabulary 49152,
//! 30 layers) on every variant: one decoded token, and a prompt of 512 tokens.
//!
//! Arguments: threads, and which of the variants (0 is the best).
#![expect(clippy::print_stdout, reason = "it is a tool that prints a table")]

use std::time::Instant;

use kernels_cpu::{CpuBackend, variants};
use quant::FormatId;
use tensor::{
    Backend, Batch, KvFormat, KvLayout, Result, Rope, RopePairing, Span, Tensor, Weight,
    WeightSource,
};

const D: usize = 576;
const KV: usize = 192;
const FFN: usize = 1536;
const VOCAB: usize = 49152;
const LAYERS: usize = 30;
const HEAD: usize = 64;
const CONTEXT: usize = 1024;

struct Layer {
    qkv: [Weight; 3],
    out: Weight,
    gate: Weight,
    up: Weight,
    down: Weight,
}

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let only: Option<usize> = std::env::args().nth(2).and_then(|text| text.parse().ok());
    for (index, variant) in variants().into_iter().enumerate() {
        if only.is_some_and(|only| only != index) {
            continue;
        }
        let offered = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = CpuBackend::with_variant(variant, threads.unwrap_or(offered))?;
        println!("{}", cpu.description());
        for format in [FormatId::Q4_1, FormatId::Q4K, FormatId::Q8_0, FormatId::Q6K, FormatId::F16]
        {
            product(&cpu, format)?;
        }
        model(&cpu)?;
    }
    Ok(())
}

fn weight(cpu: &CpuBackend, format: FormatId, n: usize, k: usize) -> Result<Weight> {
    let row_bytes = format.row_bytes(k).expect("the shapes are whole blocks");
    // f16 0x2b2b is 0.056: sane scales in every format.
    let bytes = vec![0x2b; n * row_bytes];
    cpu.prepare(&WeightSource { name: "weight", format, n, k, bytes: &bytes, precise: false })
}

fn product(cpu: &CpuBackend, format: FormatId) -> Result<()> {
    let (n, k) = (4096, 4096);
    let weight = weight(cpu, format, n, k)?;
    print!("  {:5} [{n}, {k}]", format.name());
    for rows in [1, 8, 64] {
        let x = Tensor::host_from((0..rows * k).map(|i| (i as f32).sin()).collect(), k);
        let mut out = Tensor::host_zeros(rows, n);
        let seconds = time(|| cpu.matmul(&mut [&mut out], &x, &[&weight]))?;
        let gops = 2.0 * (rows * n * k) as f64 / seconds / 1e9;
        let gbps = weight.held_bytes as f64 / seconds / 1e9;
        print!("  rows {rows}: {gops:.0} GOPS {gbps:.1} GB/s");
    }
    println!();
    Ok(())
}

/// Best of a few.
fn time(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..12 {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn model(cpu: &CpuBackend) -> Result<()> {
    let start = Instant::now();
    let q4 = |n, k| weight(cpu, FormatId::Q4_1, n, k);
    let mut layers = Vec::new();
    for _ in 0..LAYERS {
        layers.push(Layer {
            qkv: [q4(D, D)?, q4(KV, D)?, q4(KV, D)?],
            out: q4(D, D)?,
            gate: q4(FFN, D)?,
            up: q4(FFN, D)?,
            down: q4(D, FFN)?,
        });
    }
    let head = weight(cpu, FormatId::Q8_0, VOCAB, D)?;
    println!("  prepared in {:.3} s", start.elapsed().as_secs_f64());
    for (first, rows) in [(64, 1), (512, 1), (0, 512)] {
        let mut parts = [0.0; 6];
        let mut best = f64::MAX;
        for _ in 0..if rows == 1 { 20 } else { 4 } {
            let start = Instant::now();
            let took = forward(cpu, &layers, &head, (first, rows))?;
            let seconds = start.elapsed().as_secs_f64();
            if seconds < best {
                (best, parts) = (seconds, took);
            }
        }
        println!(
            "  {rows} tokens at {first}: {:.2} ms, {:.0} tokens/s (ms: norm {:.2} qkv+out {:.2} \
             rope {:.2} attention {:.2} ffn {:.2} head {:.2})",
            best * 1e3,
            rows as f64 / best,
            parts[0] * 1e3,
            parts[1] * 1e3,
            parts[2] * 1e3,
            parts[3] * 1e3,
            parts[4] * 1e3,
            parts[5] * 1e3,
        );
    }
    Ok(())
}

/// One step without allocation in the measured parts; seconds of each part.
fn forward(
    cpu: &CpuBackend,
    layers: &[Layer],
    head: &Weight,
    (first_position, rows): (usize, usize),
) -> Result<[f64; 6]> {
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: KV / HEAD,
        head_dim_k: HEAD,
        head_dim_v: HEAD,
        page_len: 64,
        page_count: CONTEXT / 64,
        format: KvFormat::F16,
    };
    let mut kv = cpu.alloc_kv(&layout)?;
    let pages: Vec<u32> = (0..layout.page_count as u32).collect();
    let (tokens, spans) = (vec![0; rows], [Span { rows, first_position, pages: &pages }]);
    let batch = Batch { tokens: &tokens, spans: &spans };
    let rope = Rope::new(RopePairing::Interleaved, HEAD, HEAD, 1e5);
    let ones = Tensor::host_from(vec![1.0; D], D);
    let mut x = Tensor::host_from((0..rows * D).map(|i| (i as f32).sin()).collect(), D);
    let (mut normed, mut delta) = (cpu.alloc(rows, D)?, cpu.alloc(rows, D)?);
    let (mut q, mut k, mut v) = (cpu.alloc(rows, D)?, cpu.alloc(rows, KV)?, cpu.alloc(rows, KV)?);
    let (mut mixed, mut hidden) = (cpu.alloc(rows, D)?, cpu.alloc(rows, FFN)?);
    let mut logits = cpu.alloc(1, VOCAB)?;
    let mut last = Tensor::host_zeros(1, D);
    let mut parts = [0.0; 6];
    let mut clock = Instant::now();
    let mut lap = |part: usize| {
        parts[part] += clock.elapsed().as_secs_f64();
        clock = Instant::now();
    };
    for layer in layers {
        cpu.add_rms_norm(&mut normed, &mut x, &delta, (&ones, 1e-5))?;
        lap(0);
        let [wq, wk, wv] = &layer.qkv;
        cpu.matmul(&mut [&mut q, &mut k, &mut v], &normed, &[wq, wk, wv])?;
        lap(1);
        cpu.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), &rope, &batch)?;
        lap(2);
        cpu.attention(&mut mixed, &q, (&kv, 0), 0.125, &batch)?;
        lap(3);
        cpu.matmul(&mut [&mut delta], &mixed, &[&layer.out])?;
        lap(1);
        cpu.add_rms_norm(&mut normed, &mut x, &delta, (&ones, 1e-5))?;
        lap(0);
        cpu.swiglu(&mut hidden, &normed, &layer.gate, &layer.up)?;
        cpu.matmul(&mut [&mut delta], &hidden, &[&layer.down])?;
        lap(4);
    }
    cpu.gather_rows(&mut last, &normed, &[rows as u32 - 1])?;
    cpu.matmul(&mut [&mut logits], &last, &[head])?;
    lap(5);
    Ok(parts)
}
