//! `y[r][j] = sum over i of x[r][i] * w[j][i]`, alone and as a gated unit.

use super::spread::spread;
use super::store::WeightRows;
use super::{fit, shape};
use crate::{Activation, Result, Tensor, Weight};

/// `outs[j] [rows, n_j] = x [rows, k] * weights[j]^T [k, n_j]`.
pub(super) fn matmul(
    threads: usize,
    outs: &mut [&mut Tensor],
    x: &Tensor,
    weights: &[&Weight],
) -> Result<()> {
    fit(outs.len() == weights.len(), || {
        format!("{} outputs of {} weights", outs.len(), weights.len())
    })?;
    for (out, weight) in outs.iter().zip(weights) {
        check(out, x, weight)?;
    }
    let input = Input::of(x)?;
    for (out, weight) in outs.iter_mut().zip(weights) {
        let rows = WeightRows::of(weight)?;
        out.set_rows_as(x)?;
        columns(threads, out.host_mut()?, (&input, weight.n), |j, scratch, column| {
            rows.dequantize(j, &mut scratch[0]);
            for (r, y) in column.iter_mut().enumerate() {
                *y = dot(input.row(r), &scratch[0]) as f32;
            }
        });
    }
    Ok(())
}

/// `out [rows, n] = activation(x * gate^T, x * up^T)`.
pub(super) fn gated(
    threads: usize,
    out: &mut Tensor,
    x: &Tensor,
    ((gate, up), activation): ((&Weight, &Weight), Activation),
) -> Result<()> {
    check(out, x, gate)?;
    check(out, x, up)?;
    let input = Input::of(x)?;
    let (gate_rows, up_rows) = (WeightRows::of(gate)?, WeightRows::of(up)?);
    out.set_rows_as(x)?;
    columns(threads, out.host_mut()?, (&input, gate.n), |j, scratch, column| {
        gate_rows.dequantize(j, &mut scratch[0]);
        up_rows.dequantize(j, &mut scratch[1]);
        for (r, y) in column.iter_mut().enumerate() {
            // Rounded, as products are that are kept.
            let [gate, up] = scratch.each_ref().map(|weights| dot(input.row(r), weights) as f32);
            *y = activation.of(gate.into(), up.into()) as f32;
        }
    });
    Ok(())
}

/// `gate = activation(gate, up)`.
pub(super) fn gate(gate: &mut Tensor, up: &Tensor, activation: Activation) -> Result<()> {
    fit(shape(gate) == shape(up), || format!("gates {:?}, ups {:?}", shape(gate), shape(up)))?;
    for (gate, up) in gate.host_mut()?.iter_mut().zip(up.host()?) {
        *gate = activation.of(f64::from(*gate), f64::from(*up)) as f32;
    }
    Ok(())
}

/// `x [k] * weight^T + bias`, `[n]`.
pub(super) fn product(x: &[f32], weight: &Weight, bias: Option<&[f32]>) -> Result<Vec<f64>> {
    let rows = WeightRows::of(weight)?;
    let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
    let mut scratch = vec![0.0; weight.k];
    let value = |j: usize| {
        rows.dequantize(j, &mut scratch);
        dot(&x, &scratch) + bias.map_or(0.0, |bias| f64::from(bias[j]))
    };
    Ok((0..weight.n).map(value).collect())
}

/// `activation(gate, up)`, value by value.
pub(super) fn gated_values(gate: &[f64], up: &[f64], activation: Activation) -> Vec<f32> {
    gate.iter().zip(up).map(|(gate, up)| activation.of(*gate, *up) as f32).collect()
}

fn check(out: &Tensor, x: &Tensor, weight: &Weight) -> Result<()> {
    let (n, k) = (weight.n, weight.k);
    fit(x.cols() == k && out.cols() == n, || {
        format!("x {:?} times a weight [{n}, {k}] into {:?}", shape(x), shape(out))
    })
}

/// An activation `[rows, k]`, widened once.
struct Input {
    rows: usize,
    k: usize,
    values: Vec<f64>,
}

impl Input {
    fn of(x: &Tensor) -> Result<Input> {
        let values = x.host()?.iter().copied().map(f64::from).collect();
        Ok(Input { rows: x.rows(), k: x.cols(), values })
    }

    fn row(&self, r: usize) -> &[f64] {
        &self.values[r * self.k..][..self.k]
    }
}

/// Fills `out [rows, n]` column by column: `column(j, scratch, out)` makes the `[rows]` values of
/// output `j`, so that a weight row is dequantised once for all rows of x; `scratch` is two
/// vectors of `[k]`.
fn columns(
    threads: usize,
    out: &mut [f32],
    (input, n): (&Input, usize),
    column: impl Fn(usize, &mut [Vec<f32>; 2], &mut [f32]) + Sync,
) {
    let (rows, k) = (input.rows, input.k);
    let mut transposed = vec![0.0; out.len()];
    if transposed.is_empty() {
        return;
    }
    // Dequantising costs about as much as one row of x does.
    spread(threads, &mut transposed, (rows, (rows + 1) * k), |first, share| {
        let mut scratch = [vec![0.0; k], vec![0.0; k]];
        for (j, values) in share.chunks_exact_mut(rows).enumerate() {
            column(first + j, &mut scratch, values);
        }
    });
    for (r, out) in out.chunks_exact_mut(n).enumerate() {
        for (y, values) in out.iter_mut().zip(transposed.chunks_exact(rows)) {
            *y = values[r];
        }
    }
}

/// `sum of x[i] * w[i]`. Eight running sums, for the sake of the processor's adders.
pub(super) fn dot(x: &[f64], w: &[f32]) -> f64 {
    let (x_chunks, x_rest) = x.as_chunks::<8>();
    let (w_chunks, w_rest) = w.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for i in 0..8 {
            sums[i] += x[i] * f64::from(w[i]);
        }
    }
    let rest: f64 = x_rest.iter().zip(w_rest).map(|(x, w)| x * f64::from(*w)).sum();
    sums.iter().sum::<f64>() + rest
}
