//! What works on rows alone: buffers, embedding, norms, sums, factors, soft caps, gathering.

use quant::FormatId;

use super::cases::{Matrix, ROWS, Rng, Values, small_matrix, values};
use super::matmul::ACTIVATIONS;
use super::run::{Checker, host, input, output};
use super::tolerance;
use crate::{Activation, Backend, Result};

/// Widths of rows.
const WIDTHS: [usize; 7] = [1, 31, 32, 33, 64, 576, 1025];

pub(super) fn run(check: &mut Checker<'_>) {
    let result = buffers(check);
    check.done("alloc", "buffers", result);
    for format in FormatId::all() {
        let result = embed(check, format);
        check.done("embed", format.name(), result);
    }
    for d in WIDTHS {
        let case = format!("width {d}");
        let result = norms(check, d);
        check.done("rms_norm", &case, result);
        let result = layer_norms(check, d);
        check.done("layer_norm", &case, result);
        let result = activations(check, d);
        check.done("activate", &case, result);
        let result = sums(check, d);
        check.done("add", &case, result);
        let result = added_rows(check, d);
        check.done("add_rows", &case, result);
        let result = factors(check, d);
        check.done("scale", &case, result);
        let result = gather(check, d);
        check.done("gather_rows", &case, result);
    }
}

/// Zeroed at first, given back as put in, and as many rows as put in.
fn buffers(check: &mut Checker<'_>) -> Result<()> {
    let backend = check.backend;
    let mut tensor = backend.alloc(5, 33)?;
    let zeros = host(backend, &tensor)?;
    check.same("alloc", "[5, 33]", &zeros, &[0.0; 165]);
    let put = values(Values::Tiny, 3, 33, &mut Rng(1));
    backend.upload(&mut tensor, &put)?;
    let got = host(backend, &tensor)?;
    check.same("download", "3 of 5 rows", &got, &put);
    backend.upload(&mut tensor, &[])?;
    let got = host(backend, &tensor)?;
    check.same("download", "0 of 5 rows", &got, &[]);
    Ok(())
}

fn embed(check: &mut Checker<'_>, format: FormatId) -> Result<()> {
    let (n, k) = small_matrix(format);
    let matrix = Matrix::new(format, (n, k), &mut Rng(3));
    let table = matrix.dequantized();
    let weight = check.backend.prepare(&matrix.source())?;
    let last = u32::try_from(n - 1).expect("a small matrix");
    for tokens in [&[][..], &[0], &[last, 5, 5, 0, 16, 15]] {
        let mut out = output(check.backend, tokens.len(), k)?;
        check.backend.embed(&mut out, &weight, tokens)?;
        let found = host(check.backend, &out)?;
        let rows = tokens.iter().map(|token| &table[*token as usize * k..][..k]);
        let expected: Vec<f32> = rows.flatten().copied().collect();
        let highest = |i: usize| {
            let row = expected[i / k * k..][..k].iter();
            row.fold(0.0, |highest: f64, value| highest.max(f64::from(value.abs())))
        };
        let case = format!("{} [{n}, {k}] of {tokens:?}, seed 3", format.name());
        check.close("embed", &case, (&found, &expected), |i| tolerance::embed(highest(i)));
    }
    Ok(())
}

fn rms_norm(backend: &dyn Backend, x: &[f32], scale: &[f32], eps: f32) -> Result<Vec<f32>> {
    let d = scale.len();
    let mut norm = backend.alloc(1, d)?;
    backend.upload(&mut norm, scale)?;
    let x = input(backend, x, d)?;
    let mut out = output(backend, x.rows(), d)?;
    backend.rms_norm(&mut out, &x, &norm, eps)?;
    host(backend, &out)
}

/// `(residual, out)`.
fn add_rms_norm(
    backend: &dyn Backend,
    (residual, delta): (&[f32], &[f32]),
    scale: &[f32],
    eps: f32,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let d = scale.len();
    let mut norm = backend.alloc(1, d)?;
    backend.upload(&mut norm, scale)?;
    let (mut residual, delta) = (input(backend, residual, d)?, input(backend, delta, d)?);
    let mut out = output(backend, residual.rows(), d)?;
    backend.add_rms_norm(&mut out, &mut residual, &delta, (&norm, eps))?;
    Ok((host(backend, &residual)?, host(backend, &out)?))
}

fn norms(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    let scale = values(Values::Even, 1, d, &mut rng);
    for rows in ROWS {
        for kind in [Values::Even, Values::Zeros, Values::Large, Values::Tiny] {
            for eps in [1e-5, 1e-6] {
                let case = format!("{rows} rows of {d}, {kind:?}, eps {eps}");
                let x = values(kind, rows, d, &mut rng);
                let found = rms_norm(check.backend, &x, &scale, eps)?;
                let expected = rms_norm(&check.reference, &x, &scale, eps)?;
                let bound = |i: usize| tolerance::rms_norm(expected[i], d);
                check.close("rms_norm", &case, (&found, &expected), bound);
                let mut alone = Vec::new();
                for x in x.chunks_exact(d) {
                    alone.extend(rms_norm(check.backend, x, &scale, eps)?);
                }
                check.same("rms_norm", &format!("{case}, one by one"), &alone, &found);
                let delta = values(kind, rows, d, &mut rng);
                let sum: Vec<f32> = x.iter().zip(&delta).map(|(x, delta)| x + delta).collect();
                let found = add_rms_norm(check.backend, (&x, &delta), &scale, eps)?;
                check.same("add_rms_norm", &format!("{case}, residual"), &found.0, &sum);
                let expected = rms_norm(&check.reference, &sum, &scale, eps)?;
                let bound = |i: usize| tolerance::rms_norm(expected[i], d);
                check.close("add_rms_norm", &case, (&found.1, &expected), bound);
            }
        }
    }
    Ok(())
}

/// What a layer norm multiplies with and adds, `[d]` each, and its epsilon.
struct LayerNorm {
    scale: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl LayerNorm {
    fn of(&self, backend: &dyn Backend, x: &[f32]) -> Result<Vec<f32>> {
        let d = self.scale.len();
        let vector = |values: &[f32]| -> Result<_> {
            let mut vector = backend.alloc(1, d)?;
            backend.upload(&mut vector, values)?;
            Ok(vector)
        };
        let (scale, bias) = (vector(&self.scale)?, vector(&self.bias)?);
        let x = input(backend, x, d)?;
        let mut out = output(backend, x.rows(), d)?;
        backend.layer_norm(&mut out, &x, (&scale, &bias), self.eps)?;
        host(backend, &out)
    }

    /// Of each value of `x`.
    fn bounds(&self, x: &[f32]) -> Vec<f64> {
        let d = self.scale.len();
        let mut bounds = Vec::with_capacity(x.len());
        for row in x.chunks_exact(d) {
            let wide = || row.iter().copied().map(f64::from);
            let mean = wide().sum::<f64>() / d as f64;
            let variance = wide().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            let deviation = (variance + f64::from(self.eps)).sqrt();
            let highest = wide().fold(0.0, |highest: f64, x| highest.max(x.abs()));
            bounds.extend(wide().enumerate().map(|(i, x)| {
                let of = (f64::from(self.scale[i]), f64::from(self.bias[i]));
                tolerance::layer_norm((highest, deviation), (x - mean) / deviation, of, d)
            }));
        }
        bounds
    }
}

fn layer_norms(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    let [scale, bias] = [(); 2].map(|()| values(Values::Even, 1, d, &mut rng));
    for rows in ROWS {
        for kind in [Values::Even, Values::Zeros, Values::Large, Values::Tiny] {
            for (eps, shift) in [(1e-12, 0.0), (1e-5, 0.5)] {
                let case = format!("{rows} rows of {d}, {kind:?} and {shift}, eps {eps}");
                let norm = LayerNorm { scale: scale.clone(), bias: bias.clone(), eps };
                let x = values(kind, rows, d, &mut rng);
                let x: Vec<f32> = x.into_iter().map(|x| x + shift).collect();
                let found = norm.of(check.backend, &x)?;
                let (expected, bounds) = (norm.of(&check.reference, &x)?, norm.bounds(&x));
                check.close("layer_norm", &case, (&found, &expected), |i| bounds[i]);
                let mut alone = Vec::new();
                for x in x.chunks_exact(d) {
                    alone.extend(norm.of(check.backend, x)?);
                }
                check.same("layer_norm", &format!("{case}, one by one"), &alone, &found);
            }
        }
    }
    Ok(())
}

fn activate(backend: &dyn Backend, x: &[f32], d: usize, by: Activation) -> Result<Vec<f32>> {
    let mut x = input(backend, x, d)?;
    backend.activate(&mut x, by)?;
    host(backend, &x)
}

/// From where the result is nothing to where it is the input; the same alone.
fn activations(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    for (rows, by) in [0, 1, 7].into_iter().flat_map(|rows| ACTIVATIONS.map(|by| (rows, by))) {
        for (kind, factor) in [(Values::Even, 8.0), (Values::Large, 1.0), (Values::Tiny, 1.0)] {
            let x = values(kind, rows, d, &mut rng);
            let x: Vec<f32> = x.into_iter().map(|x| x * factor).collect();
            let found = activate(check.backend, &x, d, by)?;
            let expected = activate(&check.reference, &x, d, by)?;
            let case = format!("{rows} rows of {d}, {kind:?}, {by:?}");
            check.close("activate", &case, (&found, &expected), |i| {
                tolerance::gated(by, (f64::from(x[i]), 0.0), (1.0, 0.0))
            });
            let mut alone = Vec::new();
            for x in x.chunks_exact(d) {
                alone.extend(activate(check.backend, x, d, by)?);
            }
            check.same("activate", &format!("{case}, one by one"), &alone, &found);
        }
    }
    Ok(())
}

/// One correctly rounded addition each: exact.
fn sums(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    let backend = check.backend;
    for rows in ROWS {
        let case = format!("{rows} rows of {d}");
        let x = values(Values::Even, rows, d, &mut rng);
        let delta = values(Values::Large, rows, d, &mut rng);
        let mut out = input(backend, &x, d)?;
        backend.add(&mut out, &input(backend, &delta, d)?)?;
        let expected: Vec<f32> = x.iter().zip(&delta).map(|(x, delta)| x + delta).collect();
        let found = host(backend, &out)?;
        check.same("add", &case, &found, &expected);
        let bias = values(Values::Even, 1, d, &mut rng);
        let mut vector = backend.alloc(1, d)?;
        backend.upload(&mut vector, &bias)?;
        let mut out = input(backend, &x, d)?;
        backend.add_bias(&mut out, &vector)?;
        let expected: Vec<f32> = x.iter().enumerate().map(|(i, x)| x + bias[i % d]).collect();
        let found = host(backend, &out)?;
        check.same("add_bias", &case, &found, &expected);
    }
    Ok(())
}

/// A product and a sum, rounded each, are exact; rows without a factor are not touched, not even by
/// what is no number.
fn added_rows(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    let backend = check.backend;
    for rows in ROWS {
        let x = values(Values::Even, rows, d, &mut rng);
        let mut delta = values(Values::Large, rows, d, &mut rng);
        let factors: Vec<f32> = [0.5, 0.0, -1.7, 1.0].into_iter().cycle().take(rows).collect();
        for (delta, factor) in delta.chunks_exact_mut(d).zip(&factors) {
            if *factor == 0.0 {
                delta.fill(f32::NAN);
            }
        }
        let mut out = input(backend, &x, d)?;
        backend.add_rows(&mut out, &input(backend, &delta, d)?, &factors)?;
        let pairs = x.iter().zip(&delta).enumerate();
        let sum = |(i, (x, delta)): (usize, (&f32, &f32))| match factors[i / d] {
            0.0 => *x,
            factor => x + factor * delta,
        };
        let expected: Vec<f32> = pairs.map(sum).collect();
        let found = host(backend, &out)?;
        check.same("add_rows", &format!("{rows} rows of {d}"), &found, &expected);
    }
    Ok(())
}

/// A product, rounded once, is exact; soft caps from far below to far beyond.
fn factors(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let mut rng = Rng(d as u64);
    let backend = check.backend;
    for rows in [0, 1, 7] {
        for (factor, kind) in [(45.25, Values::Even), (-0.3, Values::Large), (0.0, Values::Tiny)] {
            let x = values(kind, rows, d, &mut rng);
            let mut out = input(backend, &x, d)?;
            backend.scale(&mut out, factor)?;
            let found = host(backend, &out)?;
            let expected: Vec<f32> = x.iter().map(|x| x * factor).collect();
            check.same("scale", &format!("{rows} rows of {d}, {factor}"), &found, &expected);
        }
        for (cap, kind) in [(30.0, Values::Large), (30.0, Values::Tiny), (0.5, Values::Even)] {
            let x = values(kind, rows, d, &mut rng);
            let mut out = input(backend, &x, d)?;
            backend.soft_cap(&mut out, cap)?;
            let found = host(backend, &out)?;
            let mut out = input(&check.reference, &x, d)?;
            check.reference.soft_cap(&mut out, cap)?;
            let expected = host(&check.reference, &out)?;
            let case = format!("{rows} rows of {d}, {kind:?}, cap {cap}");
            let bound = |i: usize| tolerance::soft_cap(expected[i]);
            check.close("soft_cap", &case, (&found, &expected), bound);
        }
    }
    Ok(())
}

fn gather(check: &mut Checker<'_>, d: usize) -> Result<()> {
    let backend = check.backend;
    let x = values(Values::Tiny, 9, d, &mut Rng(d as u64));
    let tensor = input(backend, &x, d)?;
    for rows in [&[][..], &[8], &[3, 3, 0, 8, 1]] {
        let mut out = output(backend, rows.len(), d)?;
        backend.gather_rows(&mut out, &tensor, rows)?;
        let expected = rows.iter().map(|row| &x[*row as usize * d..][..d]);
        let expected: Vec<f32> = expected.flatten().copied().collect();
        let found = host(backend, &out)?;
        check.same("gather_rows", &format!("{rows:?} of width {d}"), &found, &expected);
    }
    Ok(())
}
