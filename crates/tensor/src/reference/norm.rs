//! Root-mean-square norm, residual and bias additions.

use super::{fit, shape};
use crate::{Result, Tensor};

/// `out[i] = x[i] / sqrt(mean(x^2) + eps) * scale[i]` of each row; `scale [1, d]`.
/// Source: Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
pub(super) fn rms_norm(out: &mut Tensor, x: &Tensor, (scale, eps): (&Tensor, f32)) -> Result<()> {
    let d = x.cols();
    vector("scale", scale, d)?;
    fit(out.cols() == d, || format!("out has {} columns, x {d}", out.cols()))?;
    out.set_rows(x.rows())?;
    let scale = scale.host()?;
    for (out, x) in out.host_mut()?.chunks_exact_mut(d).zip(x.host()?.chunks_exact(d)) {
        let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let factor = 1.0 / (squares / d as f64 + f64::from(eps)).sqrt();
        for ((out, x), scale) in out.iter_mut().zip(x).zip(scale) {
            *out = (f64::from(*x) * factor * f64::from(*scale)) as f32;
        }
    }
    Ok(())
}

/// `residual += delta`.
pub(super) fn add(residual: &mut Tensor, delta: &Tensor) -> Result<()> {
    let shapes = (shape(residual), shape(delta));
    fit(shapes.0 == shapes.1, || format!("{:?} and {:?}", shapes.0, shapes.1))?;
    for (residual, delta) in residual.host_mut()?.iter_mut().zip(delta.host()?) {
        *residual += delta;
    }
    Ok(())
}

/// `x[r] += bias` for every row; `bias [1, cols]`.
pub(super) fn add_bias(x: &mut Tensor, bias: &Tensor) -> Result<()> {
    let cols = x.cols();
    vector("bias", bias, cols)?;
    let bias = bias.host()?;
    for x in x.host_mut()?.chunks_exact_mut(cols) {
        for (x, bias) in x.iter_mut().zip(bias) {
            *x += bias;
        }
    }
    Ok(())
}

fn vector(name: &str, tensor: &Tensor, cols: usize) -> Result<()> {
    let fits = shape(tensor) == (1, cols) && cols > 0;
    fit(fits, || format!("{name} is {:?}, not (1, {cols})", shape(tensor)))
}
