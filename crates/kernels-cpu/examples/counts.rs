//! One kernel a few times on one thread, for `cargo xtask counts`, which counts its instructions.
//!
//! Arguments: a kernel and how many times; or `--list`.
#![expect(clippy::print_stdout, reason = "it lists what it knows")]

use kernels_cpu::{CpuBackend, variants};
use quant::FormatId;
use tensor::{
    AttentionRule, Backend, Batch, KvFormat, KvLayout, Result, Rope, RopePairing, Span, Tensor,
    WeightSource,
};

const N: usize = 256;
const K: usize = 512;
const HEAD: usize = 64;
const N_HEADS: usize = 6;
const N_KV_HEADS: usize = 2;
const CONTEXT: usize = 512;

type Run = Box<dyn FnMut() -> Result<()>>;
/// Sets a kernel up; what it gives runs it once.
type Setup = fn(CpuBackend) -> Result<Run>;

const KERNELS: [(&str, Setup); 13] = [
    ("product q4_0 1 row", |cpu| product(cpu, FormatId::Q4_0, 1)),
    ("product q4_0 16 rows", |cpu| product(cpu, FormatId::Q4_0, 16)),
    ("product q4_k 1 row", |cpu| product(cpu, FormatId::Q4K, 1)),
    ("product q4_k 16 rows", |cpu| product(cpu, FormatId::Q4K, 16)),
    ("product q6_k 1 row", |cpu| product(cpu, FormatId::Q6K, 1)),
    ("product q6_k 16 rows", |cpu| product(cpu, FormatId::Q6K, 16)),
    ("product q8_0 1 row", |cpu| product(cpu, FormatId::Q8_0, 1)),
    ("product q8_0 16 rows", |cpu| product(cpu, FormatId::Q8_0, 16)),
    ("product f16 1 row", |cpu| product(cpu, FormatId::F16, 1)),
    ("product f16 16 rows", |cpu| product(cpu, FormatId::F16, 16)),
    ("attention 1 row", |cpu| attention(cpu, 1)),
    ("attention 16 rows", |cpu| attention(cpu, 16)),
    ("norm 16 rows", norm),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &args[..] else {
        KERNELS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let kernel = KERNELS.iter().find(|(known, _)| known == name).expect("a name of the list");
    let cpu = CpuBackend::with_variant(variants()[0], 1)?;
    let mut run = kernel.1(cpu)?;
    for _ in 0..times.parse().expect("a count") {
        run()?;
    }
    Ok(())
}

fn values(rows: usize, cols: usize) -> Tensor {
    Tensor::host_from((0..rows * cols).map(|i| (i as f32).sin()).collect(), cols)
}

fn product(cpu: CpuBackend, format: FormatId, rows: usize) -> Result<Run> {
    let row_bytes = format.row_bytes(K).expect("K is whole blocks");
    // f16 0x2b2b is 0.056: sane scales in every format.
    let bytes = vec![0x2b; N * row_bytes];
    let source = WeightSource {
        name: "weight",
        format,
        n: N,
        k: K,
        bytes: &bytes,
        precise: false,
        factor: 1.0,
    };
    let weight = cpu.prepare(&source)?;
    let (x, mut out) = (values(rows, K), Tensor::host_zeros(rows, N));
    Ok(Box::new(move || cpu.matmul(&mut [&mut out], &x, &[&weight])))
}

/// The last rows of a full context, RoPE and the writing of their keys and values with it.
fn attention(cpu: CpuBackend, rows: usize) -> Result<Run> {
    let mut kv = cpu.alloc_kv(&KvLayout {
        n_layers: 1,
        n_kv_heads: N_KV_HEADS,
        head_dim_k: HEAD,
        head_dim_v: HEAD,
        page_len: 64,
        page_count: CONTEXT / 64,
        format: KvFormat::F16,
    })?;
    let pages: Vec<u32> = (0..(CONTEXT / 64) as u32).collect();
    let rope = Rope::new(RopePairing::Halves, HEAD, HEAD, 1e4);
    let (q, k) = (values(rows, N_HEADS * HEAD), values(rows, N_KV_HEADS * HEAD));
    let (v, tokens) = (values(rows, N_KV_HEADS * HEAD), vec![0; rows]);
    let (mut q, mut k) = (q, k);
    let mut out = Tensor::host_zeros(rows, N_HEADS * HEAD);
    Ok(Box::new(move || {
        let spans = [Span { rows, first_position: CONTEXT - rows, pages: &pages, state: 0 }];
        let batch = Batch::decode(&tokens, &spans);
        cpu.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), &rope, &batch)?;
        cpu.attention(&mut out, &q, (&kv, 0), &AttentionRule::causal(0.125), &batch)
    }))
}

fn norm(cpu: CpuBackend) -> Result<Run> {
    let (mut x, scale) = (values(16, K), values(1, K));
    let (delta, mut out) = (Tensor::host_zeros(16, K), Tensor::host_zeros(16, K));
    Ok(Box::new(move || cpu.add_rms_norm(&mut out, &mut x, &delta, (&scale, 1e-5))))
}
