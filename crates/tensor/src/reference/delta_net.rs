//! A gated delta net, row by row.

use std::any::Any;

use super::{fit, store};
use crate::{
    Batch, DeltaInputs, DeltaNet, Error, KvStore, Result, StateCache, StateLayout, Tensor,
};

/// Added to the square of a query's or key's length.
const LENGTH_EPS: f64 = 1e-6;

/// Of each layer `[slots][conv, then recurrent]`.
struct States(Vec<Vec<f32>>);

impl KvStore for States {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Zeroed states.
pub(super) fn alloc(layout: &StateLayout) -> Result<StateCache> {
    let values = layout.conv_values.checked_add(layout.recurrent_values);
    let len = values.and_then(|values| values.checked_mul(layout.slots));
    let layer = |_| store::zeroed(len, "the states of sequences");
    let layers: Result<Vec<Vec<f32>>> = (0..layout.n_layers).map(layer).collect();
    Ok(StateCache { layout: layout.clone(), store: Box::new(States(layers?)) })
}

/// `out [rows, n_v_heads * head_dim_v]`, see [`Row::advance`]. A span that begins at position 0
/// begins with a state of zeros.
pub(super) fn delta_net(
    out: &mut Tensor,
    inputs: DeltaInputs<'_>,
    (state, layer): (&mut StateCache, usize),
    net: &DeltaNet,
    batch: &Batch<'_>,
) -> Result<()> {
    let layout = state.layout.clone();
    fit(layer < layout.n_layers, || format!("layer {layer} of {}", layout.n_layers))?;
    let misfit = net.misfit(out, inputs, &layout);
    fit(misfit.is_none(), || misfit.unwrap_or_default())?;
    batch.check_states(layout.slots)?;
    out.set_rows_as(inputs.qkv)?;
    let store: Option<&mut States> = state.store.as_any_mut().downcast_mut();
    let values = &mut store.ok_or(Error::ForeignBuffer)?.0[layer];
    let (channels, heads) = (net.channels(), net.n_v_heads);
    let width = heads * net.head_dim_v;
    let mut row = 0;
    for span in batch.spans {
        let len = layout.conv_values + layout.recurrent_values;
        let state = &mut values[span.state * len..][..len];
        if span.first_position == 0 && span.rows > 0 {
            state.fill(0.0);
        }
        let (conv, recurrent) = state.split_at_mut(layout.conv_values);
        for _ in 0..span.rows {
            let of = Row {
                net,
                qkv: &inputs.qkv.host()?[row * channels..][..channels],
                gate: &inputs.gate.host()?[row * width..][..width],
                intake: &inputs.intake.host()?[row * heads..][..heads],
                step: &inputs.step.host()?[row * heads..][..heads],
            };
            of.advance(&mut out.host_mut()?[row * width..][..width], conv, recurrent)?;
            row += 1;
        }
    }
    Ok(())
}

/// What one row brings.
struct Row<'a> {
    net: &'a DeltaNet,
    qkv: &'a [f32],
    gate: &'a [f32],
    intake: &'a [f32],
    step: &'a [f32],
}

impl Row<'_> {
    /// With `q`, `k`, `v` of the convolution, `q` and `k` of length 1, `q` over the root of its
    /// width: `S = exp(decay * softplus(step + bias)) * S`, `S += k (x) intake * (v - S^T k)`,
    /// `out = rms_norm(S^T q) * silu(gate)`, for each value head.
    fn advance(&self, out: &mut [f32], conv: &mut [f32], recurrent: &mut [f32]) -> Result<()> {
        let net = self.net;
        let (dim_k, dim_v) = (net.head_dim_k, net.head_dim_v);
        let mixed = self.convolve(conv)?;
        let keys = net.n_k_heads * dim_k;
        let [decay, bias, norm] = [net.decay.host()?, net.step_bias.host()?, net.norm.host()?];
        let heads = recurrent.chunks_exact_mut(dim_k * dim_v).zip(out.chunks_exact_mut(dim_v));
        for (h, (state, out)) in heads.enumerate() {
            let group = net.key_head(h);
            let q = of_length_1(&mixed[group * dim_k..][..dim_k]);
            let k = of_length_1(&mixed[keys + group * dim_k..][..dim_k]);
            let v = &mixed[2 * keys + h * dim_v..][..dim_v];
            let intake = sigmoid(f64::from(self.intake[h]));
            let step = f64::from(self.step[h]) + f64::from(bias[h]);
            let forget = (f64::from(decay[h]) * softplus(step)).exp();
            let mut known = vec![0.0; dim_v];
            for (state, k) in state.chunks_exact(dim_v).zip(&k) {
                for (known, state) in known.iter_mut().zip(state) {
                    *known += forget * f64::from(*state) * k;
                }
            }
            let mut sums = vec![0.0; dim_v];
            for ((state, k), q) in state.chunks_exact_mut(dim_v).zip(&k).zip(&q) {
                for (j, state) in state.iter_mut().enumerate() {
                    let new = forget * f64::from(*state) + k * intake * (v[j] - known[j]);
                    *state = new as f32;
                    sums[j] += new * q / (dim_k as f64).sqrt();
                }
            }
            let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
            let factor = 1.0 / (squares / dim_v as f64 + f64::from(net.norm_eps)).sqrt();
            for (j, out) in out.iter_mut().enumerate() {
                let gate = f64::from(self.gate[h * dim_v + j]);
                let gate = gate * sigmoid(gate);
                *out = (sums[j] * factor * f64::from(norm[j]) * gate) as f32;
            }
        }
        Ok(())
    }

    /// `silu` of each channel's weighted last rows, `[channels]`; moves the window on.
    fn convolve(&self, conv: &mut [f32]) -> Result<Vec<f64>> {
        let (channels, kernel) = (self.net.channels(), self.net.kernel());
        let weights = self.net.conv.host()?;
        let value = |c: usize| {
            let weights = &weights[c * kernel..][..kernel];
            let earlier = (0..kernel - 1).map(|j| conv[j * channels + c]);
            let rows = earlier.chain([self.qkv[c]]);
            let sum: f64 = rows.zip(weights).map(|(x, w)| f64::from(x) * f64::from(*w)).sum();
            sum * sigmoid(sum)
        };
        let mixed = (0..channels).map(value).collect();
        if kernel > 1 {
            conv.copy_within(channels.., 0);
            conv[(kernel - 2) * channels..].copy_from_slice(self.qkv);
        }
        Ok(mixed)
    }
}

fn of_length_1(x: &[f64]) -> Vec<f64> {
    let length = (x.iter().map(|x| x * x).sum::<f64>() + LENGTH_EPS).sqrt();
    x.iter().map(|x| x / length).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + exp(x))`, which is x where `exp` would overflow.
fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}
