//! Every variant against sums in f64, against each other, and against itself in other batches.

mod attention;
mod conformance;
mod prefill;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use quant::FormatId;
use tensor::{
    Activation, Backend, Experts, Gating, KvFormat, Routing, Tensor, Weight, WeightSource,
};

use self::attention::{Case, check};
use crate::formats::{is_blockwise, is_quantised};
use crate::{CpuBackend, Pool, Variant, variants};

const QUANTISED: [FormatId; 14] = [
    FormatId::IQ4NL,
    FormatId::IQ4XS,
    FormatId::MXFP4,
    FormatId::NVFP4,
    FormatId::Q4_0,
    FormatId::Q4_1,
    FormatId::Q5_0,
    FormatId::Q5_1,
    FormatId::Q8_0,
    FormatId::Q2K,
    FormatId::Q3K,
    FormatId::Q4K,
    FormatId::Q5K,
    FormatId::Q6K,
];
const FLOATS: [FormatId; 3] = [FormatId::F32, FormatId::F16, FormatId::BF16];
/// Kept as blocks of their file.
const BLOCKWISE: [FormatId; 10] = [
    FormatId::IQ1M,
    FormatId::IQ1S,
    FormatId::IQ2S,
    FormatId::IQ2XS,
    FormatId::IQ2XXS,
    FormatId::IQ3S,
    FormatId::IQ3XXS,
    FormatId::Q8K,
    FormatId::TQ1_0,
    FormatId::TQ2_0,
];
const SEED: u64 = 0x5eed;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 30) as f32 - 1.0
    }
    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }
}

fn backends() -> Vec<CpuBackend> {
    variants().into_iter().map(|variant| CpuBackend::with_variant(variant, 3).unwrap()).collect()
}

/// Where the f16 of a block are, so that random blocks have sane scales.
fn f16_offsets(format: FormatId) -> &'static [usize] {
    match format {
        FormatId::IQ4NL | FormatId::IQ4XS | FormatId::Q4_0 | FormatId::Q5_0 | FormatId::Q8_0 => {
            &[0]
        }
        FormatId::Q4_1 | FormatId::Q5_1 | FormatId::Q4K | FormatId::Q5K => &[0, 2],
        FormatId::Q2K => &[80, 82],
        FormatId::Q3K => &[108],
        FormatId::Q6K => &[208],
        _ => &[],
    }
}

/// `n` rows of random codes in blocks with scales of either sign.
fn random_bytes(format: FormatId, n: usize, k: usize) -> Vec<u8> {
    let mut random = Random(SEED);
    let row_bytes = format.row_bytes(k).unwrap();
    let put = |bytes: &mut [u8], x: u16| bytes.copy_from_slice(&x.to_le_bytes());
    let half = |random: &mut Random| half::f16::from_f32(random.value() * 0.1).to_bits();
    if FLOATS.contains(&format) {
        let values = random.values(n * k);
        let bytes = |x: &f32| match format {
            FormatId::F16 => half::f16::from_f32(*x).to_le_bytes().to_vec(),
            FormatId::BF16 => half::bf16::from_f32(*x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        return values.iter().flat_map(bytes).collect();
    }
    let mut bytes: Vec<u8> = (0..n * row_bytes).map(|_| random.next() as u8).collect();
    if BLOCKWISE.contains(&format) {
        // Other bytes until the scale is sane, wherever it lies.
        let mut values = vec![0.0_f32; format.block_len()];
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            let mut highest = 0.0;
            while !(0.01..=1.0).contains(&highest) {
                block.fill_with(|| random.next() as u8);
                format.dequantize_row(block, &mut values);
                highest = values.iter().fold(0.0, |highest: f32, value| highest.max(value.abs()));
            }
        }
        return bytes;
    }
    for block in bytes.chunks_exact_mut(format.row_bytes(format.block_len()).unwrap()) {
        for at in f16_offsets(format) {
            put(&mut block[*at..*at + 2], half(&mut random));
        }
        if format == FormatId::MXFP4 {
            // Powers of two from 1/256 on: any would do alone, but not in one sum.
            block[0] = 120 + block[0] % 8;
        }
    }
    bytes
}

fn prepared(cpu: &CpuBackend, format: FormatId, n: usize, k: usize) -> Weight {
    prepared_for(cpu, format, (n, k), false)
}

fn prepared_for(
    cpu: &CpuBackend,
    format: FormatId,
    (n, k): (usize, usize),
    precise: bool,
) -> Weight {
    let bytes = random_bytes(format, n, k);
    let source = WeightSource { name: "test", format, n, k, bytes: &bytes, precise, factor: 1.0 };
    let weight = cpu.prepare(&source).unwrap();
    assert_eq!(weight.held_bytes, cpu.prepared_bytes(&source), "{format:?}");
    weight
}

fn embedded(cpu: &CpuBackend, weight: &Weight) -> Vec<f32> {
    let tokens: Vec<u32> = (0..weight.n as u32).collect();
    let mut out = Tensor::host_zeros(weight.n, weight.k);
    cpu.embed(&mut out, weight, &tokens).unwrap();
    out.host().unwrap().to_vec()
}

fn product(cpu: &CpuBackend, weight: &Weight, x: &[f32]) -> Vec<f32> {
    let mut out = Tensor::host_zeros(x.len() / weight.k, weight.n);
    let x = Tensor::host_from(x.to_vec(), weight.k);
    cpu.matmul(&mut [&mut out], &x, &[weight]).unwrap();
    out.host().unwrap().to_vec()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn embed_gives_the_values_of_the_file() {
    let (n, k) = (37, 512);
    for cpu in backends() {
        for format in QUANTISED.into_iter().chain(FLOATS).chain(BLOCKWISE) {
            let mut want = vec![0.0; n * k];
            let bytes = random_bytes(format, n, k);
            let row_bytes = format.row_bytes(k).unwrap();
            for (out, bytes) in want.chunks_exact_mut(k).zip(bytes.chunks_exact(row_bytes)) {
                format.dequantize_row(bytes, out);
            }
            assert_eq!(embedded(&cpu, &prepared(&cpu, format, n, k)), want, "{format:?}");
        }
    }
}

#[test]
fn formats_are_all_tried() {
    let all = || FormatId::all();
    assert_eq!(all().filter(|format| is_quantised(*format)).count(), QUANTISED.len());
    assert_eq!(all().filter(|format| is_blockwise(*format)).count(), BLOCKWISE.len());
    assert_eq!(all().count(), QUANTISED.len() + BLOCKWISE.len() + FLOATS.len());
}

#[test]
fn blocks_take_the_bytes_of_the_file() {
    for cpu in backends() {
        for format in BLOCKWISE {
            let (n, k) = (64, 512);
            let file_bytes = crate::memory::whole_pages(n * format.row_bytes(k).unwrap());
            assert_eq!(prepared(&cpu, format, n, k).held_bytes, file_bytes, "{format:?}");
        }
    }
}

#[test]
fn products_agree_with_f64_sums() {
    let (n, k, rows) = (37, 512, 3);
    let x = Random(SEED + 1).values(rows * k);
    // With errors of half a step of the largest value of 32, at random.
    let (float, coarse, fine) = (1e-5, 0.008, 0.008 / 200.0);
    for cpu in backends() {
        let floats = FLOATS.into_iter().chain(BLOCKWISE).map(|format| (format, false, float));
        let integers = QUANTISED.into_iter().map(|format| (format, false, coarse));
        let precise = QUANTISED.into_iter().map(|format| (format, true, fine));
        for (format, precise, tolerance) in floats.chain(integers).chain(precise) {
            let weight = prepared_for(&cpu, format, (n, k), precise);
            let (values, got) = (embedded(&cpu, &weight), product(&cpu, &weight, &x));
            for (r, x) in x.chunks_exact(k).enumerate() {
                for (j, w) in values.chunks_exact(k).enumerate() {
                    let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (sum, squares) = terms.fold((0.0, 0.0), |(a, b), t| (a + t, b + t * t));
                    let error = (f64::from(got[r * n + j]) - sum).abs();
                    let scale = squares.sqrt();
                    assert!(error < 4.0 * tolerance * scale, "{format:?} {r} {j}: {error} {scale}");
                }
            }
        }
    }
}

#[test]
fn a_value_that_stands_out_costs_its_neighbours_little() {
    let (n, k, large) = (37, 512, 100.0);
    let mut x = Random(SEED + 1).values(k);
    x[77] = large;
    for cpu in backends() {
        for format in QUANTISED {
            let weight = prepared(&cpu, format, n, k);
            let (values, got) = (embedded(&cpu, &weight), product(&cpu, &weight, &x));
            for (j, w) in values.chunks_exact(k).enumerate() {
                let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let error = (f64::from(got[j]) - terms.sum::<f64>()).abs();
                let norm = w.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
                // The group of 77 alone, in one byte, would be off by 0.09 of the norm.
                assert!(error < 0.02 * norm, "{format:?} {j}: {error} {norm}");
            }
        }
    }
}

#[test]
fn a_row_never_sees_its_neighbours_or_the_threads() {
    // Enough rows for blocks everywhere, and tiles of 8, 4, 2 and 1 besides; more columns than a
    // block has.
    let (n, k, rows) = (50, 768, 47);
    let mut x = Random(SEED + 2).values(rows * k);
    // Groups with low bytes and without, in the same tile.
    for (row, column) in [(1, 40), (6, 3), (6, 700), (17, 40), (22, 3), (25, 40), (30, 100)] {
        x[row * k + column] *= 50.0;
    }
    for variant in variants() {
        let (one, many) = (with(variant, 1), with(variant, 4));
        for format in QUANTISED.into_iter().chain(FLOATS).chain(BLOCKWISE) {
            let weight = prepared(&many, format, n, k);
            let all = product(&many, &weight, &x);
            assert_eq!(bits(&all), bits(&product(&one, &weight, &x)), "{variant:?} {format:?}");
            for (row, x) in x.chunks_exact(k).enumerate() {
                let alone = product(&one, &weight, x);
                assert_eq!(
                    bits(&alone),
                    bits(&all[row * n..][..n]),
                    "{variant:?} {format:?} {row}"
                );
            }
        }
    }
}

fn with(variant: Variant, threads: usize) -> CpuBackend {
    CpuBackend::with_variant(variant, threads).unwrap()
}

#[test]
fn weights_of_several_kinds_go_in_one_call() {
    let (n, k, rows) = (20, 256, 34);
    let x = Random(SEED + 7).values(rows * k);
    let formats = [
        FormatId::Q8_0,
        FormatId::Q6K,
        FormatId::F32,
        FormatId::IQ2XS,
        FormatId::Q4_1,
        FormatId::Q8_0,
    ];
    for cpu in backends() {
        let weights = formats.map(|format| prepared(&cpu, format, n, k));
        let mut outs = formats.map(|_| Tensor::host_zeros(rows, n));
        let input = Tensor::host_from(x.clone(), k);
        cpu.matmul(&mut outs.each_mut(), &input, &weights.each_ref()).unwrap();
        for (out, weight) in outs.iter().zip(&weights) {
            assert_eq!(bits(out.host().unwrap()), bits(&product(&cpu, weight, &x)));
        }
    }
}

#[test]
fn one_row_by_several_tiles_is_as_by_one() {
    // So many tiles that a thread takes several at a time.
    let (n, k, rows) = (16 * 17, 256, 2);
    let mut x = Random(SEED + 8).values(rows * k);
    x[40] *= 50.0;
    for variant in variants() {
        let cpu = with(variant, 1);
        for format in QUANTISED.into_iter().chain(FLOATS).chain(BLOCKWISE) {
            let weight = prepared(&cpu, format, n, k);
            let both = product(&cpu, &weight, &x);
            for (row, x) in x.chunks_exact(k).enumerate() {
                let alone = product(&cpu, &weight, x);
                assert_eq!(bits(&alone), bits(&both[row * n..][..n]), "{variant:?} {format:?}");
            }
        }
    }
}

#[test]
fn rows_beyond_a_pass_are_those_of_a_pass() {
    // Columns of float weights need not fill a block, nor a pair.
    for (format, k) in [(FormatId::Q8_0, 32), (FormatId::F16, 301)] {
        let (n, rows) = (16, 1040);
        let x = Random(SEED + 6).values(rows * k);
        for cpu in backends() {
            let weight = prepared(&cpu, format, n, k);
            let all = product(&cpu, &weight, &x);
            for row in [0, 511, 512, 1023, 1024, 1039] {
                let alone = product(&cpu, &weight, &x[row * k..][..k]);
                assert_eq!(bits(&alone), bits(&all[row * n..][..n]), "{format:?} {row}");
            }
        }
    }
}

#[test]
fn not_a_number_is_not_hidden() {
    for cpu in backends() {
        let weight = prepared(&cpu, FormatId::Q4_1, 16, 64);
        for spoiled in [f32::NAN, f32::INFINITY] {
            let mut x = vec![1.0; 64];
            x[40] = spoiled;
            let out = product(&cpu, &weight, &x);
            assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
        }
    }
}

#[test]
fn gates_are_the_formula() {
    let (n, k, rows) = (40, 256, 21);
    let x = Random(SEED + 3).values(rows * k);
    let kinds = [
        (FormatId::Q8_0, FormatId::F32),
        (FormatId::Q8_0, FormatId::Q4_1),
        (FormatId::Q8_0, FormatId::Q6K),
        (FormatId::F16, FormatId::IQ2XS),
        (FormatId::IQ2XS, FormatId::F32),
        (FormatId::IQ2XS, FormatId::IQ3S),
    ];
    let oss = Activation::ClampedSilu { alpha: 1.702, limit: 7.0 };
    for (cpu, kinds) in backends().iter().flat_map(|cpu| kinds.map(|kinds| (cpu, kinds))) {
        let gate = prepared(cpu, kinds.0, n, k);
        let up = prepared(cpu, kinds.1, n, k);
        let (gates, ups) = (product(cpu, &gate, &x), product(cpu, &up, &x));
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, oss] {
            let mut out = Tensor::host_zeros(rows, n);
            let input = Tensor::host_from(x.clone(), k);
            cpu.gated(&mut out, &input, (&gate, &up), activation).unwrap();
            for ((got, gate), up) in out.host().unwrap().iter().zip(&gates).zip(&ups) {
                let want = activation.of(f64::from(*gate), f64::from(*up));
                let error = (f64::from(*got) - want).abs();
                // Where an error function nearly vanishes, its error counts beside 1.
                let bound = 2e-6 * want.abs().max(1.0) + 5e-7 * f64::from((gate * up).abs());
                assert!(error <= bound, "{activation:?} {got} {want}");
            }
        }
    }
}

#[test]
fn tanh_is_within_four_steps() {
    let small = (1..2000).map(|i| i as f32 * 5e-4);
    let large = (0..600).map(|i| 1.0 + i as f32 * 0.05);
    let tiny = (0..30).map(|i| 10.0_f32.powi(-i));
    let x: Vec<f32> = small.chain(large).chain(tiny).flat_map(|x| [x, -x]).collect();
    for cpu in backends() {
        let mut out = Tensor::host_from(x.clone(), 1);
        cpu.soft_cap(&mut out, 1.0).unwrap();
        for (x, got) in x.iter().zip(out.host().unwrap()) {
            let want = f64::from(*x).tanh();
            let error = (f64::from(*got) - want).abs() / want.abs();
            assert!(error <= 4.0 / f64::from(1 << 24), "{x}: {got} {want}");
        }
        let mut odd = Tensor::host_from(vec![0.0, f32::INFINITY, f32::NAN], 3);
        cpu.soft_cap(&mut odd, 2.0).unwrap();
        let odd = odd.host().unwrap();
        assert!(odd[0] == 0.0 && odd[1] == 2.0 && odd[2].is_nan(), "{odd:?}");
    }
}

#[test]
fn a_row_of_experts_never_sees_its_neighbours_or_the_threads() {
    // Enough rows for blocks, and one expert with few.
    let (d, ffn, rows, count) = (128, 96, 70, 3);
    let x = Random(SEED + 9).values(rows * d);
    let mut scores = Random(SEED + 10).values(rows * count);
    scores.iter_mut().skip(2).step_by(count).for_each(|score| *score -= 1.2);
    for (variant, format) in variants()
        .into_iter()
        .flat_map(|variant| [FormatId::Q8_0, FormatId::F16].map(|f| (variant, f)))
    {
        let run = |threads: usize, rows: Range<usize>| {
            let cpu = with(variant, threads);
            let weights = |n, k| (0..count).map(|_| prepared(&cpu, format, n, k)).collect();
            let experts = Experts {
                gate: weights(ffn, d),
                up: weights(ffn, d),
                down: weights(d, ffn),
                biases: None,
                activation: Activation::Silu,
                routing: Routing {
                    used: 2,
                    gating: Gating::Softmax,
                    normalised: true,
                    scale: 1.0,
                    groups: None,
                },
                selection_bias: None,
            };
            let input = Tensor::host_from(x[rows.start * d..rows.end * d].to_vec(), d);
            let scores = scores[rows.start * count..rows.end * count].to_vec();
            let mut out = Tensor::host_zeros(rows.len(), d);
            let scores = Tensor::host_from(scores, count);
            cpu.experts(&mut out, &input, &scores, &experts).unwrap();
            bits(out.host().unwrap())
        };
        let all = run(4, 0..rows);
        assert_eq!(all, run(1, 0..rows), "{variant:?} {format:?}");
        for row in [0, 1, 33, 69] {
            let alone = run(3, row..row + 1);
            assert_eq!(alone, all[row * d..][..d], "{variant:?} {format:?} {row}");
        }
    }
}

#[test]
fn attention_is_softmax_whatever_the_chunks() {
    check(&Case { head_dim: 64, page_len: 64, format: KvFormat::F32, tolerance: 5e-6 });
    check(&Case { head_dim: 20, page_len: 5, format: KvFormat::F32, tolerance: 5e-6 });
    // f16 keeps 11 bits of keys and values below 1.
    check(&Case { head_dim: 64, page_len: 32, format: KvFormat::F16, tolerance: 2e-3 });
    // bf16 keeps 8 bits; Q8_0 rounds to a 254th of the largest.
    check(&Case { head_dim: 64, page_len: 32, format: KvFormat::BF16, tolerance: 1.6e-2 });
    check(&Case { head_dim: 96, page_len: 5, format: KvFormat::Q8_0, tolerance: 1.6e-2 });
}

#[test]
fn norms_are_the_formula() {
    let (rows, d) = (5, 100);
    let mut random = Random(SEED + 5);
    let (x, delta, scale) = (random.values(rows * d), random.values(rows * d), random.values(d));
    for cpu in backends() {
        let mut residual = Tensor::host_from(x.clone(), d);
        let mut out = Tensor::host_zeros(rows, d);
        let norm = Tensor::host_from(scale.clone(), d);
        let delta = Tensor::host_from(delta.clone(), d);
        cpu.add_rms_norm(&mut out, &mut residual, &delta, (&norm, 1e-5)).unwrap();
        for (out, x) in out.host().unwrap().chunks(d).zip(residual.host().unwrap().chunks(d)) {
            let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let root = (squares / d as f64 + 1e-5).sqrt();
            for i in 0..d {
                let want = f64::from(x[i]) / root * f64::from(scale[i]);
                assert!((f64::from(out[i]) - want).abs() < 1e-6, "{i}");
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let cpu = CpuBackend::detect(Some(1));
    let weight = prepared(&cpu, FormatId::Q4_0, 8, 32);
    let mut out = Tensor::host_zeros(1, 8);
    let x = Tensor::host_zeros(1, 64);
    assert!(cpu.matmul(&mut [&mut out], &x, &[&weight]).is_err());
    assert!(cpu.embed(&mut Tensor::host_zeros(1, 32), &weight, &[8]).is_err());
    let short = WeightSource {
        name: "short",
        format: FormatId::Q4_0,
        n: 2,
        k: 32,
        bytes: &[0; 35],
        precise: false,
        factor: 1.0,
    };
    assert!(cpu.prepare(&short).is_err());
}

#[test]
fn a_pool_runs_each_chunk_once() {
    let pool = Pool::new(4);
    for chunks in [0, 1, 2, 3, 100] {
        for _ in 0..200 {
            let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(chunks, |chunk| {
                counts[chunk].fetch_add(1, Ordering::Relaxed);
                // A job inside a job runs where it is.
                pool.run(2, |_| ());
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives() {
    let pool = Pool::new(3);
    for bad in 0..50 {
        let run = AssertUnwindSafe(|| pool.run(50, |chunk| assert_ne!(chunk, bad, "expected")));
        assert!(catch_unwind(run).is_err());
    }
    let sum = AtomicUsize::new(0);
    pool.run(10, |chunk| {
        sum.fetch_add(chunk, Ordering::Relaxed);
    });
    assert_eq!(sum.into_inner(), 45);
}
