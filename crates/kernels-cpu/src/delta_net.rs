//! A gated delta net: a convolution over the last rows, then for each value head a chain over the
//! rows of its sequence. Heads of all sequences are shared out over threads.
#![expect(unsafe_code, reason = "threads write disjoint heads of one output and one state")]

use std::any::Any;

use tensor::{
    Batch, DeltaInputs, DeltaNet, Error, KvStore, Result, Span, StateCache, StateLayout, Tensor,
};

use crate::backend::fit;
use crate::gate::over_sigmoid;
use crate::isa::Isa;
use crate::memory::zeroed;
use crate::simd::{Kernel, LANES, Simd, lanes_of};
use crate::threads::{Parts, Pool};

/// Added to the square of a query's or key's length.
const LENGTH_EPS: f32 = 1e-6;
/// Above it `ln(1 + exp(x))` is x.
const SOFTPLUS_LINEAR: f32 = 20.0;

/// Of each layer, of each slot: the last rows of the convolution, `[kernel - 1][channels]`, and
/// what heads keep, `[n_v_heads][head_dim_k][head_dim_v]`.
struct States(Vec<LayerStates>);

struct LayerStates {
    conv: Vec<f32>,
    recurrent: Vec<f32>,
}

impl KvStore for States {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Zeroed states.
pub(crate) fn alloc(layout: &StateLayout) -> Result<StateCache> {
    let of = |values: usize| {
        let len = values.saturating_mul(layout.slots);
        zeroed(len, "the states of sequences")
    };
    let layer = |_| -> Result<LayerStates> {
        Ok(LayerStates { conv: of(layout.conv_values)?, recurrent: of(layout.recurrent_values)? })
    };
    let layers: Result<Vec<LayerStates>> = (0..layout.n_layers).map(layer).collect();
    Ok(StateCache { layout: layout.clone(), store: Box::new(States(layers?)) })
}

/// What heads read of a step.
#[derive(Clone, Copy)]
struct Step<'a> {
    net: &'a DeltaNet,
    /// `[rows][channels]`, after the convolution.
    mixed: &'a [f32],
    gate: &'a [f32],
    intake: &'a [f32],
    steps: &'a [f32],
    decay: &'a [f32],
    bias: &'a [f32],
    norm: &'a [f32],
}

/// `out [rows, n_v_heads * head_dim_v]`.
pub(crate) fn delta_net(
    (isa, pool, mixed): (Isa, &Pool, &mut Vec<f32>),
    out: &mut Tensor,
    (inputs, batch): (DeltaInputs<'_>, &Batch<'_>),
    (state, layer): (&mut StateCache, usize),
    net: &DeltaNet,
) -> Result<()> {
    let layout = state.layout.clone();
    fit(layer < layout.n_layers, || format!("layer {layer} of {}", layout.n_layers))?;
    let misfit = net.misfit(out, inputs, &layout);
    fit(misfit.is_none(), || misfit.unwrap_or_default())?;
    batch.check_states(layout.slots)?;
    out.set_rows_as(inputs.qkv)?;
    let states: Option<&mut States> = state.store.as_any_mut().downcast_mut();
    let LayerStates { conv, recurrent } = &mut states.ok_or(Error::ForeignBuffer)?.0[layer];
    for span in batch.spans.iter().filter(|span| span.rows > 0 && span.first_position == 0) {
        conv[span.state * layout.conv_values..][..layout.conv_values].fill(0.0);
        let len = layout.recurrent_values;
        recurrent[span.state * len..][..len].fill(0.0);
    }
    convolve((isa, pool), mixed, (inputs.qkv.host()?, conv), net, batch)?;
    let step = Step {
        net,
        mixed,
        gate: inputs.gate.host()?,
        intake: inputs.intake.host()?,
        steps: inputs.step.host()?,
        decay: net.decay.host()?,
        bias: net.step_bias.host()?,
        norm: net.norm.host()?,
    };
    let (heads, head_values) = (net.n_v_heads, net.head_dim_k * net.head_dim_v);
    let mut tasks: Vec<(usize, &Span<'_>, usize)> = Vec::new();
    let mut row = 0;
    for span in batch.spans.iter().filter(|span| span.rows > 0) {
        tasks.extend((0..heads).map(|head| (row, span, head)));
        row += span.rows;
    }
    let (out, states) = (Parts::new(out.host_mut()?), Parts::new(recurrent));
    pool.run(tasks.len(), |task| {
        let (row, span, head) = tasks[task];
        let at = (span.state * heads + head) * head_values;
        // SAFETY: a task is alone with its sequence and head, and no two spans share a state.
        let state = unsafe { states.slice(at, head_values) };
        isa.run(Head { step, head, rows: (row, span.rows), state, out: &out });
    });
    Ok(())
}

/// `mixed = silu` of each channel's weighted last rows; moves the windows on.
fn convolve(
    (isa, pool): (Isa, &Pool),
    mixed: &mut Vec<f32>,
    (qkv, conv): (&[f32], &mut [f32]),
    net: &DeltaNet,
    batch: &Batch<'_>,
) -> Result<()> {
    let (channels, kernel) = (net.channels(), net.kernel());
    let (weights, window) = (net.conv.host()?, (kernel - 1) * channels);
    mixed.clear();
    mixed.resize(qkv.len(), 0.0);
    let mut rows: Vec<(&Span<'_>, usize)> = Vec::new();
    for span in batch.spans {
        rows.extend((0..span.rows).map(|i| (span, i)));
    }
    let earlier = &*conv;
    pool.run_parts(mixed, channels, |r, mixed| {
        let (span, i) = rows[r];
        let state = &earlier[span.state * window..][..window];
        for j in 0..kernel {
            // Row `i + j + 1 - kernel` of the span; before its first, those of the state.
            let x = match (i + j + 1).checked_sub(kernel) {
                Some(_) => &qkv[(r + j + 1 - kernel) * channels..][..channels],
                None => &state[(i + j) * channels..][..channels],
            };
            for (c, (mixed, x)) in mixed.iter_mut().zip(x).enumerate() {
                *mixed += weights[c * kernel + j] * x;
            }
        }
        isa.run(Silu(mixed));
    });
    let mut row = 0;
    for span in batch.spans {
        let state = &mut conv[span.state * window..];
        let kept = (kernel - 1).saturating_sub(span.rows) * channels;
        let fresh = window - kept;
        if span.rows > 0 {
            state.copy_within(fresh..window, 0);
            let end = (row + span.rows) * channels;
            state[kept..window].copy_from_slice(&qkv[end - fresh..end]);
        }
        row += span.rows;
    }
    Ok(())
}

/// `x = x / (1 + exp(-x))`.
struct Silu<'a>(&'a mut [f32]);

impl Kernel for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.0.chunks_mut(LANES) {
            let values = s.load(&lanes_of(x, 0));
            let mut out = [0.0; LANES];
            s.store(&mut out, over_sigmoid(s, values, s.sub(s.splat(0.0), values)));
            x.copy_from_slice(&out[..x.len()]);
        }
    }
}

/// The rows of one sequence in one value head.
struct Head<'a> {
    step: Step<'a>,
    head: usize,
    /// First row, and how many.
    rows: (usize, usize),
    /// `[head_dim_k][head_dim_v]`.
    state: &'a mut [f32],
    out: &'a Parts<'a, f32>,
}

impl Kernel for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Step { net, mixed, gate, intake, steps, decay, bias, norm } = self.step;
        let (dim_k, dim_v, heads) = (net.head_dim_k, net.head_dim_v, net.n_v_heads);
        let group = net.key_head(self.head);
        let keys = net.n_k_heads * dim_k;
        let mut q = vec![0.0; dim_k];
        let mut k = vec![0.0; dim_k];
        let mut change = vec![0.0; dim_v];
        let mut sums = vec![0.0; dim_v];
        for row in self.rows.0..self.rows.0 + self.rows.1 {
            let mixed = &mixed[row * net.channels()..][..net.channels()];
            of_length(&mut q, &mixed[group * dim_k..], 1.0 / (dim_k as f32).sqrt());
            of_length(&mut k, &mixed[keys + group * dim_k..], 1.0);
            let v = &mixed[2 * keys + self.head * dim_v..][..dim_v];
            let of_row = row * heads + self.head;
            let intake = 1.0 / (1.0 + (-intake[of_row]).exp());
            let forget = (decay[self.head] * softplus(steps[of_row] + bias[self.head])).exp();
            change.fill(0.0);
            for (state, k) in self.state.chunks_exact(dim_v).zip(&k) {
                add_scaled(&mut change, state, forget * k);
            }
            for (change, v) in change.iter_mut().zip(v) {
                *change = intake * (v - *change);
            }
            sums.fill(0.0);
            for ((state, k), q) in self.state.chunks_exact_mut(dim_v).zip(&k).zip(&q) {
                for (state, change) in state.iter_mut().zip(&change) {
                    *state = forget * *state + k * change;
                }
                add_scaled(&mut sums, state, *q);
            }
            let squares: f32 = sums.iter().map(|sum| sum * sum).sum();
            let factor = 1.0 / (squares / dim_v as f32 + net.norm_eps).sqrt();
            let at = (row * heads + self.head) * dim_v;
            // SAFETY: each (row, head) belongs to one task; the slice ends in this iteration.
            let out = unsafe { self.out.slice(at, dim_v) };
            for (j, out) in out.iter_mut().enumerate() {
                let gate = gate[at + j];
                *out = sums[j] * factor * norm[j] * (gate / (1.0 + (-gate).exp()));
            }
        }
    }
}

/// `sums += factor * x`.
#[inline(always)]
fn add_scaled(sums: &mut [f32], x: &[f32], factor: f32) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

/// `out = x`, as long as `length`.
#[inline(always)]
fn of_length(out: &mut [f32], x: &[f32], length: f32) {
    let squares: f32 = x[..out.len()].iter().map(|x| x * x).sum();
    let factor = length / (squares + LENGTH_EPS).sqrt();
    for (out, x) in out.iter_mut().zip(x) {
        *out = x * factor;
    }
}

/// `ln(1 + exp(x))`.
fn softplus(x: f32) -> f32 {
    if x > SOFTPLUS_LINEAR { x } else { x.exp().ln_1p() }
}
