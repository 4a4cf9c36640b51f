//! What works on the columns of each head apart.

use std::ops::Range;

use tensor::{HeadColumns, Result, Tensor, Weight};

use crate::CpuBackend;
use crate::activation::Rows;
use crate::backend::{fit, matrix, shape};
use crate::matmul::{Place, Product};
use crate::norm::part_len;
use crate::threads::{Parts, Pool};

/// `out` of head `h` `= x` of head `h * weights[h]^T`.
pub(crate) fn matmul_heads(
    cpu: &CpuBackend,
    (out, to): (&mut Tensor, HeadColumns),
    (x, from): (&Tensor, HeadColumns),
    weights: &[Weight],
) -> Result<()> {
    check((out, to), (x, from), weights.len())?;
    let fits = weights.iter().all(|weight| (weight.n, weight.k) == (to.len, from.len));
    fit(fits, || format!("weights of heads are not [{}, {}]", to.len, from.len))?;
    let apart = weights.len() < 2 || to.stride >= to.len;
    fit(apart, || format!("heads of {} columns every {} overlap", to.len, to.stride))?;
    let (rows, out_cols, cols) = (x.rows(), out.cols(), x.cols());
    if rows == 0 {
        return Ok(());
    }
    let (out, x) = (Parts::new(out.host_mut()?), x.host()?);
    let runs: Vec<Range<usize>> = (0..weights.len()).map(|h| h * rows..(h + 1) * rows).collect();
    let row = |i: usize| &x[i % rows * cols + from.first + i / rows * from.stride..][..from.len];
    let x = Rows { k: from.len, runs: &runs, row: &row };
    let mut products = Vec::with_capacity(weights.len());
    for (h, (weight, rows)) in weights.iter().zip(&runs).enumerate() {
        let (weight, first) = (matrix(weight, from.len)?, to.first + h * to.stride);
        let place = Place { out: &out, first, stride: out_cols };
        products.push(Product { weight, rows: rows.clone(), bias: None, place });
    }
    cpu.multiply(&mut cpu.scratch().activation, &x, products);
    Ok(())
}

/// `out` of head `h` `= x` of head `h`.
pub(crate) fn copy_heads(
    pool: &Pool,
    (out, to): (&mut Tensor, HeadColumns),
    (x, from): (&Tensor, HeadColumns),
    n_heads: usize,
) -> Result<()> {
    check((out, to), (x, from), n_heads)?;
    fit(to.len == from.len, || format!("heads of {} into heads of {}", from.len, to.len))?;
    let (out_cols, x_cols) = (out.cols(), x.cols());
    let (out, x, len) = (out.host_mut()?, x.host()?, part_len(out_cols));
    pool.run_parts(out, len, |part, out| {
        let x = x[part * (len / out_cols) * x_cols..].chunks_exact(x_cols);
        for (out, x) in out.chunks_exact_mut(out_cols).zip(x) {
            for h in 0..n_heads {
                let x = &x[from.first + h * from.stride..][..from.len];
                out[to.first + h * to.stride..][..to.len].copy_from_slice(x);
            }
        }
    });
    Ok(())
}

/// Refuses heads that reach beyond the columns, and gives `out` the rows of `x`.
fn check(
    (out, to): (&mut Tensor, HeadColumns),
    (x, from): (&Tensor, HeadColumns),
    n_heads: usize,
) -> Result<()> {
    let fits = to.fit(n_heads, out.cols()) && from.fit(n_heads, x.cols());
    fit(fits && out.cols() > 0 && x.cols() > 0, || {
        let shapes = (shape(x), shape(out));
        format!("{n_heads} heads at {from:?} to {to:?} of {shapes:?}")
    })?;
    out.set_rows_as(x)
}
