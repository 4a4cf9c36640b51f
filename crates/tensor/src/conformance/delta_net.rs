//! Gated delta nets: groups, widths, several sequences, chunks; and gates by a sigmoid.

use super::cases::{ROWS, Rng, Values, values};
use super::run::{Checker, host, input, output};
use super::tolerance;
use crate::{Backend, Batch, DeltaInputs, DeltaNet, HeadOrder, Result, Span, StateLayout};

/// Slots of every case: more than are used.
const SLOTS: usize = 3;
/// Positions of each sequence.
const LENS: [usize; 2] = [9, 37];

struct Case {
    n_k_heads: usize,
    /// Value heads of a key head.
    each: usize,
    order: HeadOrder,
    head_dim_k: usize,
    head_dim_v: usize,
    kernel: usize,
}

/// Inputs of one sequence, `[positions, cols]`.
struct Sequence {
    qkv: Vec<f32>,
    gate: Vec<f32>,
    intake: Vec<f32>,
    step: Vec<f32>,
}

pub(super) fn run(check: &mut Checker<'_>) {
    use HeadOrder::{Grouped, Tiled};
    for (n_k_heads, each, order, (head_dim_k, head_dim_v), kernel) in [
        (1, 1, Grouped, (16, 16), 4),
        (2, 2, Grouped, (32, 32), 4),
        (2, 2, Tiled, (32, 32), 4),
        (1, 3, Grouped, (24, 40), 2),
        (2, 1, Grouped, (128, 128), 4),
        (1, 1, Grouped, (8, 5), 1),
    ] {
        let case = Case { n_k_heads, each, order, head_dim_k, head_dim_v, kernel };
        let name = format!(
            "{n_k_heads} x {each} heads of {head_dim_k}/{head_dim_v}, {order:?}, kernel {kernel}"
        );
        let result = compare(check, &case, &name);
        check.done("delta_net", &name, result);
    }
    for cols in [1, 33, 256] {
        let result = gates(check, cols);
        check.done("sigmoid_gate", &format!("width {cols}"), result);
    }
}

impl Case {
    fn net(&self, backend: &dyn Backend, rng: &mut Rng) -> Result<DeltaNet> {
        let heads = self.n_k_heads * self.each;
        let mut net = DeltaNet {
            n_k_heads: self.n_k_heads,
            n_v_heads: heads,
            order: self.order,
            head_dim_k: self.head_dim_k,
            head_dim_v: self.head_dim_v,
            conv: backend.alloc(1, 1)?,
            decay: backend.alloc(1, heads)?,
            step_bias: backend.alloc(1, heads)?,
            norm: backend.alloc(1, self.head_dim_v)?,
            norm_eps: 1e-6,
        };
        let channels = net.channels();
        net.conv = backend.alloc(channels, self.kernel)?;
        backend.upload(&mut net.conv, &values(Values::Even, channels, self.kernel, rng))?;
        let decay: Vec<f32> = (0..heads).map(|_| -0.8 - 0.6 * rng.even()).collect();
        backend.upload(&mut net.decay, &decay)?;
        backend.upload(&mut net.step_bias, &values(Values::Even, 1, heads, rng))?;
        let norm: Vec<f32> = (0..self.head_dim_v).map(|_| 1.0 + 0.3 * rng.even()).collect();
        backend.upload(&mut net.norm, &norm)?;
        Ok(net)
    }

    fn sequences(&self, rng: &mut Rng) -> Vec<Sequence> {
        let heads = self.n_k_heads * self.each;
        let wide = heads * self.head_dim_v;
        let channels = 2 * self.n_k_heads * self.head_dim_k + wide;
        let sequence = |len| Sequence {
            qkv: values(Values::Even, len, channels, rng),
            gate: values(Values::Even, len, wide, rng),
            intake: values(Values::Even, len, heads, rng),
            step: values(Values::Even, len, heads, rng),
        };
        LENS.map(sequence).into()
    }
}

fn compare(check: &mut Checker<'_>, case: &Case, name: &str) -> Result<()> {
    let sequences = case.sequences(&mut Rng(17));
    let whole: Vec<Vec<usize>> = LENS.map(|len| vec![len]).into();
    let found = steps(check.backend, case, &sequences, &whole)?;
    let expected = steps(&check.reference, case, &sequences, &whole)?;
    let wide = case.n_k_heads * case.each * case.head_dim_v;
    for (s, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let bound = |i: usize| {
            let head = &expected[i / case.head_dim_v * case.head_dim_v..][..case.head_dim_v];
            let highest = head.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
            tolerance::delta_net(i / wide + 1, case.head_dim_k, f64::from(highest))
        };
        check.close("delta_net", &format!("sequence {s}, {name}"), (found, expected), bound);
    }
    for chunk in [1, 2, 3, 8] {
        let cut = LENS.map(|len| {
            (0..len.div_ceil(chunk)).map(|i| chunk.min(len - i * chunk)).collect::<Vec<usize>>()
        });
        let found_cut = steps(check.backend, case, &sequences, &cut)?;
        for (s, (cut, whole)) in found_cut.iter().zip(&found).enumerate() {
            let name = format!("{chunk} at a time, sequence {s}, {name}");
            check.same("delta_net", &name, cut, whole);
        }
    }
    Ok(())
}

/// Outputs of each sequence, cut so. Both go together as long as both have something left; what
/// lies in a slot from an earlier owner must not show.
fn steps(
    backend: &dyn Backend,
    case: &Case,
    sequences: &[Sequence],
    cuts: &[Vec<usize>],
) -> Result<Vec<Vec<f32>>> {
    let net = case.net(backend, &mut Rng(5))?;
    let (channels, heads) = (net.channels(), net.n_v_heads);
    let wide = heads * net.head_dim_v;
    let layout = StateLayout {
        // Two, so that writing one and reading the other would show.
        n_layers: 2,
        slots: SLOTS,
        conv_values: (case.kernel - 1) * channels,
        recurrent_values: wide * case.head_dim_k,
    };
    let mut states = backend.alloc_states(&layout)?;
    let mut outs: Vec<Vec<f32>> = sequences.iter().map(|_| Vec::new()).collect();
    // An earlier owner of all slots.
    let slots: Vec<(usize, usize, usize, usize)> = (0..SLOTS).map(|slot| (0, 0, 4, slot)).collect();
    let mut done = vec![0; sequences.len()];
    let mut plan = vec![slots];
    for step in 0..cuts.iter().map(Vec::len).max().unwrap_or(0) {
        let mut parts = Vec::new();
        for (s, cut) in cuts.iter().enumerate() {
            if let Some(rows) = cut.get(step) {
                parts.push((s, done[s], *rows, 2 - s));
                done[s] += rows;
            }
        }
        plan.push(parts);
    }
    for (step, parts) in plan.iter().enumerate() {
        let rows = |of: fn(&Sequence) -> &Vec<f32>, cols: usize| -> Vec<f32> {
            let part = |(s, first, rows, _): &(usize, usize, usize, usize)| {
                of(&sequences[*s])[first * cols..(first + rows) * cols].to_vec()
            };
            parts.iter().flat_map(part).collect()
        };
        let qkv = input(backend, &rows(|s| &s.qkv, channels), channels)?;
        let gate = input(backend, &rows(|s| &s.gate, wide), wide)?;
        let intake = input(backend, &rows(|s| &s.intake, heads), heads)?;
        let step_of = input(backend, &rows(|s| &s.step, heads), heads)?;
        let span = |(_, first, rows, slot): &(usize, usize, usize, usize)| Span {
            rows: *rows,
            first_position: *first,
            pages: &[],
            state: *slot,
        };
        let spans: Vec<Span<'_>> = parts.iter().map(span).collect();
        let tokens = vec![0; qkv.rows()];
        let batch = Batch::decode(&tokens, &spans);
        let mut out = output(backend, qkv.rows(), wide)?;
        let inputs = DeltaInputs { qkv: &qkv, gate: &gate, intake: &intake, step: &step_of };
        backend.delta_net(&mut out, inputs, (&mut states, 1), &net, &batch)?;
        let found = host(backend, &out)?;
        let mut at = 0;
        for (s, _, rows, _) in parts.iter().filter(|_| step > 0) {
            outs[*s].extend_from_slice(&found[at * wide..(at + rows) * wide]);
            at += rows;
        }
    }
    Ok(outs)
}

fn gates(check: &mut Checker<'_>, cols: usize) -> Result<()> {
    let mut rng = Rng(cols as u64);
    let gate = |backend: &dyn Backend, x: &[f32], gates: &[f32], wide: usize| {
        let mut x = input(backend, x, cols)?;
        backend.sigmoid_gate(&mut x, &input(backend, gates, wide)?)?;
        host(backend, &x)
    };
    for rows in ROWS {
        for wide in [1, cols] {
            let x = values(Values::Even, rows, cols, &mut rng);
            let scores = values(Values::Large, rows, wide, &mut rng);
            let scores: Vec<f32> = scores.iter().map(|score| score * 1e-3).collect();
            let found = gate(check.backend, &x, &scores, wide)?;
            let expected = gate(&check.reference, &x, &scores, wide)?;
            let case = format!("{rows} rows of {cols} by {wide}");
            let bound = |i: usize| tolerance::sigmoid(expected[i]);
            check.close("sigmoid_gate", &case, (&found, &expected), bound);
        }
    }
    Ok(())
}
