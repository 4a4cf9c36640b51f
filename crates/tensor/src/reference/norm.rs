//! Root-mean-square and layer norm, residual and bias additions, soft caps.

use super::{fit, shape};
use crate::{Result, Tensor};

/// `out[i] = x[i] / sqrt(mean(x^2) + eps) * scale[i]` of each row; `scale [1, d]`.
/// Source: Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
pub(super) fn rms_norm(out: &mut Tensor, x: &Tensor, (scale, eps): (&Tensor, f32)) -> Result<()> {
    let d = x.cols();
    vector("scale", scale, d)?;
    fit(out.cols() == d, || format!("out has {} columns, x {d}", out.cols()))?;
    out.set_rows_as(x)?;
    let scale = scale.host()?;
    out.host_mut()?.copy_from_slice(x.host()?);
    out.host_mut()?.chunks_exact_mut(d).for_each(|row| norm(row, (scale, eps)));
    Ok(())
}

/// The same, in place, of each run of as many columns as `scale` has.
pub(super) fn rms_norm_heads(x: &mut Tensor, (scale, eps): (&Tensor, f32)) -> Result<()> {
    let (cols, len) = (x.cols(), scale.cols());
    vector("scale", scale, len)?;
    fit(cols.is_multiple_of(len), || format!("x has {cols} columns, the scale {len}"))?;
    let scale = scale.host()?;
    x.host_mut()?.chunks_exact_mut(len).for_each(|head| norm(head, (scale, eps)));
    Ok(())
}

fn norm(x: &mut [f32], (scale, eps): (&[f32], f32)) {
    let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let factor = 1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt();
    for (x, scale) in x.iter_mut().zip(scale) {
        *x = (f64::from(*x) * factor * f64::from(*scale)) as f32;
    }
}

/// `out[i] = (x[i] - mean) / sqrt(variance + eps) * scale[i] + bias[i]` of each row; `scale`,
/// `bias` `[1, d]`. Source: Ba, Kiros and Hinton 2016, arXiv 1607.06450, equation 4.
pub(super) fn layer_norm(
    out: &mut Tensor,
    x: &Tensor,
    (scale, bias): (&Tensor, &Tensor),
    eps: f32,
) -> Result<()> {
    let d = x.cols();
    vector("scale", scale, d)?;
    vector("bias", bias, d)?;
    fit(out.cols() == d, || format!("out has {} columns, x {d}", out.cols()))?;
    out.set_rows_as(x)?;
    let (scale, bias) = (scale.host()?, bias.host()?);
    for (out, x) in out.host_mut()?.chunks_exact_mut(d).zip(x.host()?.chunks_exact(d)) {
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / d as f64;
        let squares: f64 = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
        let factor = 1.0 / (squares / d as f64 + f64::from(eps)).sqrt();
        for (i, out) in out.iter_mut().enumerate() {
            let normed = (f64::from(x[i]) - mean) * factor;
            *out = (normed * f64::from(scale[i]) + f64::from(bias[i])) as f32;
        }
    }
    Ok(())
}

/// `cap * tanh(x / cap)`.
pub(super) fn soft_cap(x: f64, cap: f32) -> f64 {
    let cap = f64::from(cap);
    cap * (x / cap).tanh()
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

/// `out += factor * delta` of the rows whose factor is not 0.
pub(super) fn add_rows(out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()> {
    let (rows, cols) = shape(out);
    fit(shape(delta) == (rows, cols) && factors.len() == rows && cols > 0, || {
        format!("{:?} and {} factors for {:?}", shape(delta), factors.len(), (rows, cols))
    })?;
    let delta = delta.host()?.chunks_exact(cols);
    let pairs = out.host_mut()?.chunks_exact_mut(cols).zip(delta);
    for ((out, delta), factor) in pairs.zip(factors).filter(|(_, factor)| **factor != 0.0) {
        for (out, delta) in out.iter_mut().zip(delta) {
            *out += factor * delta;
        }
    }
    Ok(())
}

/// `x *= sigmoid(gate)`, value by value or row by row.
pub(super) fn sigmoid_gate(x: &mut Tensor, gate: &Tensor) -> Result<()> {
    let (cols, wide) = (x.cols(), gate.cols());
    let fits = x.rows() == gate.rows() && (wide == cols || wide == 1) && cols > 0;
    fit(fits, || format!("{:?} gated by {:?}", shape(x), shape(gate)))?;
    let gate = gate.host()?;
    for (i, x) in x.host_mut()?.iter_mut().enumerate() {
        let gate = f64::from(if wide == 1 { gate[i / cols] } else { gate[i] });
        *x = (f64::from(*x) / (1.0 + (-gate).exp())) as f32;
    }
    Ok(())
}

fn vector(name: &str, tensor: &Tensor, cols: usize) -> Result<()> {
    let fits = shape(tensor) == (1, cols) && cols > 0;
    fit(fits, || format!("{name} is {:?}, not (1, {cols})", shape(tensor)))
}
