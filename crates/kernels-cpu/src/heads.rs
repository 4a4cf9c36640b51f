//! What works on the columns of each head apart.

use tensor::{Backend, HeadColumns, Result, Tensor, Weight};

use crate::CpuBackend;
use crate::backend::{fit, shape};
use crate::norm::part_len;
use crate::threads::Pool;

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
    let rows = x.rows();
    let (out_cols, x_cols) = (out.cols(), x.cols());
    let (out, x) = (out.host_mut()?, x.host()?);
    for (h, weight) in weights.iter().enumerate() {
        let part = |x: &[f32]| x[from.first + h * from.stride..][..from.len].to_vec();
        let part = Tensor::host_from(x.chunks_exact(x_cols).flat_map(part).collect(), from.len);
        let mut product = Tensor::host_zeros(rows, to.len);
        cpu.matmul(&mut [&mut product], &part, &[weight])?;
        let products = product.host()?.chunks_exact(to.len);
        for (out, product) in out.chunks_exact_mut(out_cols).zip(products) {
            out[to.first + h * to.stride..][..to.len].copy_from_slice(product);
        }
    }
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
    out.set_rows(x.rows())
}
