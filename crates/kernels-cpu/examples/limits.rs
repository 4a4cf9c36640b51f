//! What this machine can do at most: `cargo xtask limits`.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::time::Instant;

use kernels_cpu::limits::{Arithmetic, BEYOND_CACHES_BYTES, ReadBuffer, arithmetic_rate};
use kernels_cpu::{Pool, Variant, variants};

/// A small model's size.
const SMALL_BYTES: usize = 100 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut counts = vec![1, cores];
    counts.dedup();
    println!("| variant | threads | read 1 GiB | read 100 MiB | int8 | fp32 | prompts |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for threads in counts {
        let pool = Pool::new(threads);
        let buffer = ReadBuffer::new(BEYOND_CACHES_BYTES, &pool)?;
        for variant in variants() {
            println!("{}", row(variant, &pool, &buffer));
        }
    }
    Ok(())
}

fn row(variant: Variant, pool: &Pool, buffer: &ReadBuffer) -> String {
    let started = Instant::now();
    let clock = || started.elapsed().as_secs_f64();
    let read = |bytes| buffer.read_rate(bytes, variant, pool, &clock).unwrap_or(0.0) / 1e9;
    let arithmetic = |kind| arithmetic_rate(kind, variant, pool, &clock).unwrap_or(0.0) / 1e12;
    format!(
        "| {} | {} | {:.1} GB/s | {:.1} GB/s | {:.3} TOPS | {:.3} TFLOP/s | {:.3} TFLOP/s |",
        variant.name(),
        pool.threads(),
        read(BEYOND_CACHES_BYTES),
        read(SMALL_BYTES),
        arithmetic(Arithmetic::Int8),
        arithmetic(Arithmetic::Float32),
        arithmetic(Arithmetic::PrefillFloat),
    )
}
