//! What works on the columns of each head apart.

use super::matmul::product;
use super::{fit, shape};
use crate::{HeadColumns, Result, Tensor, Weight};

/// `out` of head `h` `= x` of head `h * weights[h]^T`.
pub(super) fn matmul_heads(
    (out, to): (&mut Tensor, HeadColumns),
    (x, from): (&Tensor, HeadColumns),
    weights: &[Weight],
) -> Result<()> {
    check((out, to), (x, from), weights.len())?;
    let fits = weights.iter().all(|weight| (weight.n, weight.k) == (to.len, from.len));
    fit(fits, || format!("weights of heads are not [{}, {}]", to.len, from.len))?;
    let (out_cols, x_cols) = (out.cols(), x.cols());
    let rows = out.host_mut()?.chunks_exact_mut(out_cols).zip(x.host()?.chunks_exact(x_cols));
    for (out, x) in rows {
        for (h, weight) in weights.iter().enumerate() {
            let x = &x[from.first + h * from.stride..][..from.len];
            let out = &mut out[to.first + h * to.stride..][..to.len];
            for (out, value) in out.iter_mut().zip(product(x, weight, None)?) {
                *out = value as f32;
            }
        }
    }
    Ok(())
}

/// `out` of head `h` `= x` of head `h`.
pub(super) fn copy_heads(
    (out, to): (&mut Tensor, HeadColumns),
    (x, from): (&Tensor, HeadColumns),
    n_heads: usize,
) -> Result<()> {
    check((out, to), (x, from), n_heads)?;
    fit(to.len == from.len, || format!("heads of {} into heads of {}", from.len, to.len))?;
    let (out_cols, x_cols) = (out.cols(), x.cols());
    let rows = out.host_mut()?.chunks_exact_mut(out_cols).zip(x.host()?.chunks_exact(x_cols));
    for (out, x) in rows {
        for h in 0..n_heads {
            let x = &x[from.first + h * from.stride..][..from.len];
            out[to.first + h * to.stride..][..to.len].copy_from_slice(x);
        }
    }
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
