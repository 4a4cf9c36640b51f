//! What works on the columns of each head apart: norms, products, copies.

use quant::FormatId;

use super::cases::{Matrix, Rng, Values, values};
use super::matmul::{groups, precision};
use super::run::{Checker, host, input};
use super::tolerance;
use crate::{Backend, HeadColumns, Result, Weight};

/// Rows of a step.
const ROWS: [usize; 5] = [0, 1, 2, 7, 33];
/// Columns of heads that are normed, and how many there are.
const NORMED: [(usize, usize); 9] =
    [(1, 3), (2, 1), (16, 3), (20, 2), (64, 1), (64, 5), (80, 3), (128, 4), (256, 2)];
/// Formats, outputs and inputs of heads that are multiplied.
const MULTIPLIED: [(FormatId, usize, usize); 7] = [
    (FormatId::F32, 33, 20),
    (FormatId::F16, 16, 64),
    (FormatId::Q8_0, 33, 32),
    (FormatId::Q8_0, 64, 128),
    (FormatId::Q4_0, 17, 64),
    (FormatId::Q4K, 20, 256),
    (FormatId::NVFP4, 17, 64),
];
const N_HEADS: usize = 3;

pub(super) fn run(check: &mut Checker<'_>) {
    for (len, n_heads) in NORMED {
        let case = format!("{n_heads} heads of {len}");
        let result = norms(check, len, n_heads);
        check.done("rms_norm_heads", &case, result);
    }
    for (format, n, k) in MULTIPLIED {
        let case = format!("{N_HEADS} heads of {} [{n}, {k}]", format.name());
        let result = products(check, format, (n, k), &case);
        check.done("matmul_heads", &case, result);
    }
    let heads = |first, stride, len| HeadColumns { first, stride, len };
    for (to, from) in [
        (heads(0, 16, 16), heads(0, 16, 16)),
        (heads(64, 96, 32), heads(5, 0, 32)),
        (heads(1, 3, 2), heads(0, 70, 2)),
        (heads(7, 0, 0), heads(0, 9, 0)),
    ] {
        let case = format!("{from:?} to {to:?}");
        let result = copies(check, (to, from), &case);
        check.done("copy_heads", &case, result);
    }
}

fn norm(backend: &dyn Backend, (x, cols): (&[f32], usize), scale: &[f32]) -> Result<Vec<f32>> {
    let mut x = input(backend, x, cols)?;
    backend.rms_norm_heads(&mut x, &input(backend, scale, scale.len())?, 1e-6)?;
    host(backend, &x)
}

fn norms(check: &mut Checker<'_>, len: usize, n_heads: usize) -> Result<()> {
    let (cols, mut rng) = (n_heads * len, Rng(len as u64));
    let scale = values(Values::Even, 1, len, &mut rng);
    for rows in ROWS {
        for kind in [Values::Even, Values::Zeros, Values::Large, Values::Tiny] {
            let x = values(kind, rows, cols, &mut rng);
            let case = format!("{rows} rows of {n_heads} heads of {len}, {kind:?}");
            let found = norm(check.backend, (&x, cols), &scale)?;
            let expected = norm(&check.reference, (&x, cols), &scale)?;
            let bound = |i: usize| tolerance::rms_norm(expected[i], len);
            check.close("rms_norm_heads", &case, (&found, &expected), bound);
            let mut alone = Vec::new();
            for x in x.chunks_exact(cols) {
                alone.extend(norm(check.backend, (x, cols), &scale)?);
            }
            check.same("rms_norm_heads", &format!("{case}, one by one"), &alone, &found);
        }
    }
    Ok(())
}

/// What one call gives for these rows of x; `out` held its column's number everywhere.
fn multiply(
    backend: &dyn Backend,
    x: (&[f32], usize, HeadColumns),
    out: (usize, HeadColumns),
    weights: &[Weight],
) -> Result<Vec<f32>> {
    let (x, cols, from) = x;
    let (x, (out_cols, to)) = (input(backend, x, cols)?, out);
    let before: Vec<f32> = (0..(x.rows() + 1) * out_cols).map(|i| (i % out_cols) as f32).collect();
    let mut out = input(backend, &before, out_cols)?;
    backend.matmul_heads((&mut out, to), (&x, from), weights)?;
    host(backend, &out)
}

fn products(
    check: &mut Checker<'_>,
    format: FormatId,
    (n, k): (usize, usize),
    case: &str,
) -> Result<()> {
    let mut rng = Rng((n * k) as u64);
    let from = HeadColumns { first: 3, stride: k + 1, len: k };
    let to = HeadColumns { first: 1, stride: n + 2, len: n };
    let (cols, out_cols) = (N_HEADS * (k + 1) + 4, N_HEADS * (n + 2) + 1);
    let matrices = [(); N_HEADS].map(|()| Matrix::new(format, (n, k), &mut rng));
    let prepare = |backend: &dyn Backend| -> Result<Vec<Weight>> {
        matrices.iter().map(|matrix| backend.prepare(&matrix.source())).collect()
    };
    let (weights, references) = (prepare(check.backend)?, prepare(&check.reference)?);
    let w: Vec<_> = matrices.iter().map(|m| groups(&m.dequantized(), k)).collect();
    for rows in ROWS {
        let x = values(Values::Even, rows, cols, &mut rng);
        let found = multiply(check.backend, (&x, cols, from), (out_cols, to), &weights)?;
        let expected = multiply(&check.reference, (&x, cols, from), (out_cols, to), &references)?;
        let part = |row: usize, h: usize| &x[row * cols + from.first + h * from.stride..][..k];
        let precision = precision(format, Values::Even);
        check.close("matmul_heads", &format!("{case}, {rows} rows"), (&found, &expected), |i| {
            let (row, column) = (i / out_cols, i % out_cols);
            let at = column.wrapping_sub(to.first);
            let (h, j) = (at / to.stride, at % to.stride);
            // Columns of no head stay as they were.
            if h >= N_HEADS || j >= n {
                return 0.0;
            }
            tolerance::matmul(&groups(part(row, h), k)[0], &w[h][j], precision)
        });
        let mut alone = Vec::new();
        for x in x.chunks_exact(cols) {
            alone.extend(multiply(check.backend, (x, cols, from), (out_cols, to), &weights)?);
        }
        check.same("matmul_heads", &format!("{case}, {rows} rows one by one"), &alone, &found);
    }
    Ok(())
}

fn copies(
    check: &mut Checker<'_>,
    (to, from): (HeadColumns, HeadColumns),
    case: &str,
) -> Result<()> {
    let (cols, out_cols, backend) = (200, 300, check.backend);
    for rows in ROWS {
        let x = values(Values::Tiny, rows, cols, &mut Rng(5));
        let before: Vec<f32> = (0..(rows + 1) * out_cols).map(|i| i as f32).collect();
        let mut out = input(backend, &before, out_cols)?;
        backend.copy_heads((&mut out, to), (&input(backend, &x, cols)?, from), N_HEADS)?;
        let mut expected = before[..rows * out_cols].to_vec();
        for (out, x) in expected.chunks_exact_mut(out_cols).zip(x.chunks_exact(cols)) {
            for h in 0..N_HEADS {
                for i in 0..to.len {
                    out[to.first + h * to.stride + i] = x[from.first + h * from.stride + i];
                }
            }
        }
        let found = host(backend, &out)?;
        check.same("copy_heads", &format!("{case}, {rows} rows"), &found, &expected);
    }
    Ok(())
}
