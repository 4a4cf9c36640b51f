//! A mixture of experts: rows are grouped by expert, and what each expert has to do is cut into
//! pieces that all threads share. In three steps, whatever the count of experts: gates and ups,
//! the preparation of what they give, and the weighted sum of downs.
//!
//! **Invariant:** a row's sum goes by rising expert, so that its bits do not depend on neighbours.

use std::ops::Range;
use std::slice;

use tensor::{Error, ExpertBiases, Experts, Result, Tensor, Weight};

use crate::activation::Rows;
use crate::backend::{Scratch, alike, fit, matrix, shape};
use crate::matmul::{self, Place, Product, Term, Unit};
use crate::threads::{Parts, Pool};
use crate::{CpuBackend, gate};

/// Rows whose experts a thread chooses at a time.
const PART_ROWS: usize = 16;

/// Which rows go through which expert.
struct Plan {
    /// Experts that have rows, and their part of `slots`; by rising expert.
    parts: Vec<(usize, Range<usize>)>,
    /// Row and weight.
    slots: Vec<(usize, f32)>,
}

/// `out[r] = sum of weight * down_e(activation(gate_e(x[r]), up_e(x[r])))`.
pub(crate) fn experts(
    cpu: &CpuBackend,
    out: &mut Tensor,
    (x, scores): (&Tensor, &Tensor),
    experts: &Experts,
) -> Result<()> {
    check(out, (x, scores), experts)?;
    out.set_rows_as(x)?;
    if x.rows() == 0 {
        return Ok(());
    }
    let plan = Plan::new(cpu.pool(), scores.host()?, experts);
    let scratch = &mut *cpu.scratch();
    gate_and_up(cpu, scratch, x, (experts, &plan))?;
    let ffn = experts.gate[0].n;
    let mut terms = Vec::with_capacity(plan.parts.len());
    for (e, slots) in &plan.parts {
        let bias = bias_of(experts, *e, |biases| &biases.down)?;
        let (weight, to) = (matrix(&experts.down[*e], ffn)?, &plan.slots[slots.clone()]);
        terms.push(Term { weight, rows: slots.clone(), bias, to });
    }
    let hidden = &scratch.hidden[0];
    let row = |slot: usize| &hidden[slot * ffn..][..ffn];
    let rows = Rows { k: ffn, runs: &plan.runs(), row: &row };
    // The first stands for all, so that a row's bits do not depend on which others are chosen.
    let weights = [matrix(&experts.down[0], ffn)?];
    cpu.prepare_activation(&mut scratch.activation, &rows, &weights);
    matmul::sum(cpu.on(), out.host_mut()?, &scratch.activation, &terms);
    Ok(())
}

/// `hidden[slot] = activation(gate_e(x), up_e(x))` of every slot.
fn gate_and_up(
    cpu: &CpuBackend,
    scratch: &mut Scratch,
    x: &Tensor,
    (experts, plan): (&Experts, &Plan),
) -> Result<()> {
    let (d, ffn, values) = (x.cols(), experts.gate[0].n, x.host()?);
    // One row is prepared once for all its experts, many once for each.
    let alone = x.rows() == 1;
    let (one, many) = (0..1, plan.runs());
    let runs = if alone { slice::from_ref(&one) } else { &many };
    let row = |slot: usize| &values[plan.slots[slot].0 * d..][..d];
    let rows = Rows { k: d, runs, row: &row };
    let Scratch { activation: prepared, hidden: [gates, ups], .. } = scratch;
    let together = alike(experts.gate[0].format, experts.up[0].format);
    gates.resize(plan.slots.len() * ffn, 0.0);
    if !together {
        ups.resize(plan.slots.len() * ffn, 0.0);
    }
    let outs = [Parts::new(gates), Parts::new(ups)];
    let (mut units, mut products) = (Vec::new(), Vec::new());
    for (e, slots) in &plan.parts {
        let (gate, up) = (matrix(&experts.gate[*e], d)?, matrix(&experts.up[*e], d)?);
        let biases = [
            bias_of(experts, *e, |biases| &biases.gate)?,
            bias_of(experts, *e, |biases| &biases.up)?,
        ];
        let rows = if alone { one.clone() } else { slots.clone() };
        let places =
            outs.each_ref().map(|out| Place { out, first: slots.start * ffn, stride: ffn });
        if together {
            let biases = biases[0].zip(biases[1]).map(|(gate, up)| [gate, up]);
            units.push(Unit { gate, up, rows, biases, place: places[0] });
            continue;
        }
        for (weight, (bias, place)) in [gate, up].into_iter().zip(biases.into_iter().zip(places)) {
            products.push(Product { weight, rows: rows.clone(), bias, place });
        }
    }
    if together {
        let weights = [matrix(&experts.gate[0], d)?, matrix(&experts.up[0], d)?];
        cpu.prepare_activation(prepared, &rows, &weights);
        matmul::gated(cpu.on(), prepared, (&units, experts.activation));
    } else {
        cpu.multiply(prepared, &rows, products);
        gate::gate(cpu.on(), gates, ups, experts.activation);
    }
    Ok(())
}

/// `[n]` of one expert.
fn bias_of(
    experts: &Experts,
    e: usize,
    of: fn(&ExpertBiases) -> &Tensor,
) -> Result<Option<&[f32]>> {
    let Some(biases) = &experts.biases else { return Ok(None) };
    let cols = of(biases).cols();
    Ok(Some(&of(biases).host()?[e * cols..][..cols]))
}

impl Plan {
    fn new(pool: &Pool, scores: &[f32], experts: &Experts) -> Plan {
        let count = experts.gate.len();
        let bias = experts.selection_bias.as_deref();
        let mut chosen = vec![Vec::new(); scores.len() / count];
        pool.run_parts(&mut chosen, PART_ROWS, |part, chosen| {
            let scores = scores[part * PART_ROWS * count..].chunks_exact(count);
            for (chosen, scores) in chosen.iter_mut().zip(scores) {
                *chosen = experts.routing.choose(scores, bias);
            }
        });
        let mut ends = vec![0; count];
        for (e, _) in chosen.iter().flatten() {
            ends[*e] += 1;
        }
        let mut parts = Vec::new();
        let mut next = 0;
        for (e, end) in ends.iter_mut().enumerate().filter(|(_, end)| **end > 0) {
            parts.push((e, next..next + *end));
            // From here on, where the expert's next row goes.
            (*end, next) = (next, next + *end);
        }
        let mut slots = vec![(0, 0.0); next];
        for (row, chosen) in chosen.iter().enumerate() {
            for (e, weight) in chosen {
                slots[ends[*e]] = (row, *weight as f32);
                ends[*e] += 1;
            }
        }
        Plan { parts, slots }
    }

    fn runs(&self) -> Vec<Range<usize>> {
        self.parts.iter().map(|(_, slots)| slots.clone()).collect()
    }
}

fn check(out: &Tensor, (x, scores): (&Tensor, &Tensor), experts: &Experts) -> Result<()> {
    let (d, count) = (x.cols(), experts.gate.len());
    let ffn = experts.gate.first().map_or(0, |gate| gate.n);
    let routing = &experts.routing;
    for weights in [&experts.gate, &experts.up, &experts.down] {
        let mut formats = weights.iter().map(|weight| weight.format);
        let first = formats.next();
        if let Some(other) = formats.find(|format| Some(*format) != first) {
            let other = other.name();
            return Err(Error::Unsupported(format!("experts of one layer, some of them {other}")));
        }
    }
    let all = |weights: &[Weight], (n, k)| {
        weights.len() == count && weights.iter().all(|weight| (weight.n, weight.k) == (n, k))
    };
    let fits = all(&experts.gate, (ffn, d))
        && all(&experts.up, (ffn, d))
        && all(&experts.down, (d, ffn))
        && shape(scores) == (x.rows(), count)
        && out.cols() == d
        && (1..=count).contains(&routing.used)
        && experts.selection_bias.as_ref().is_none_or(|bias| bias.len() == count)
        && experts.biases.as_ref().is_none_or(|biases| {
            let shapes = [&biases.gate, &biases.up, &biases.down].map(shape);
            shapes == [(count, ffn), (count, ffn), (count, d)]
        })
        && routing.groups.is_none_or(|groups| {
            groups.count > 0
                && count.is_multiple_of(groups.count)
                && (1..=groups.count).contains(&groups.used)
                && routing.used <= count / groups.count * groups.used
        });
    fit(fits, || {
        let shapes = (shape(x), shape(scores), shape(out));
        format!("x, scores, out are {shapes:?} for {count} experts of {ffn}, {routing:?}")
    })
}
