//! Mixtures of experts: choices, formats, biases, groups, many rows and few.

use quant::FormatId;

use super::cases::{Matrix, Rng, Values, values};
use super::matmul::{groups, precision};
use super::run::{Checker, host, input, output};
use super::tolerance::{self, Groups as Columns};
use crate::{
    Activation, Backend, ExpertBiases, Experts, Gating, GroupWorth, Groups, Result, Routing, Weight,
};

/// One layer and how many rows go through it.
struct Case {
    /// Of gate, up and down.
    formats: [FormatId; 3],
    count: usize,
    d: usize,
    ffn: usize,
    routing: Routing,
    activation: Activation,
    selection_bias: bool,
    biases: bool,
    rows: &'static [usize],
}

fn cases() -> Vec<Case> {
    let routing = |used| Routing {
        used,
        gating: Gating::Softmax,
        normalised: true,
        scale: 1.0,
        groups: None,
    };
    let case = |formats, count, used| Case {
        formats,
        count,
        d: 64,
        ffn: 32,
        routing: routing(used),
        activation: Activation::Silu,
        selection_bias: false,
        biases: false,
        rows: &[1, 33],
    };
    let all = |format| [format; 3];
    let groups = |count, used, worth| Some(Groups { count, used, worth });
    let oss = Activation::ClampedSilu { alpha: 1.702, limit: 7.0 };
    let whole = |used, scale| Routing { normalised: false, scale, ..routing(used) };
    let sigmoid = |used| Routing { gating: Gating::Sigmoid, scale: 2.5, ..routing(used) };
    let q4k = [FormatId::Q4K, FormatId::Q4K, FormatId::Q6K];
    vec![
        Case { rows: &[0, 1, 2, 7, 65], ..case(all(FormatId::Q8_0), 4, 2) },
        case(all(FormatId::F32), 1, 1),
        Case { ffn: 17, d: 33, ..case(all(FormatId::F16), 4, 1) },
        Case { routing: whole(8, 1.0), ..case(all(FormatId::Q8_0), 60, 8) },
        Case { d: 256, ffn: 256, rows: &[1, 20], ..case(q4k, 4, 2) },
        Case { activation: oss, biases: true, d: 96, ..case(all(FormatId::MXFP4), 32, 4) },
        Case { activation: oss, biases: true, ffn: 33, ..case(all(FormatId::F32), 4, 4) },
        Case {
            routing: Routing { groups: groups(4, 2, GroupWorth::BestTwo), ..sigmoid(3) },
            selection_bias: true,
            ..case(all(FormatId::Q8_0), 16, 3)
        },
        Case {
            routing: Routing { groups: groups(5, 1, GroupWorth::Best), ..whole(6, 16.0) },
            ..case(all(FormatId::Q4_0), 60, 6)
        },
        // Formats that want their input prepared in different ways.
        case([FormatId::Q8_0, FormatId::F32, FormatId::Q4_0], 4, 2),
        Case { biases: true, d: 256, ..case([FormatId::Q8_0, FormatId::Q6K, FormatId::F16], 4, 2) },
        Case {
            d: 256,
            ffn: 256,
            ..case([FormatId::IQ2XXS, FormatId::IQ2XXS, FormatId::IQ3S], 4, 2)
        },
        Case { activation: Activation::GeluTanh, ..case(all(FormatId::Q5_1), 4, 3) },
        // Each expert has factors of its own, and its biases none.
        Case { biases: true, ffn: 64, rows: &[1, 7, 65], ..case(all(FormatId::NVFP4), 8, 3) },
    ]
}

pub(super) fn run(check: &mut Checker<'_>) {
    for (seed, case) in cases().into_iter().enumerate() {
        let Case { formats, count, d, ffn, ref routing, .. } = case;
        let name = format!("{count} of [{ffn}, {d}], {formats:?}, {routing:?}, seed {seed}");
        let result = compare(check, &case, Rng(seed as u64), &name);
        check.done("experts", &name, result);
    }
}

/// The layer as a file has it.
struct Layer {
    /// Gate, up and down of each expert.
    matrices: [Vec<Matrix>; 3],
    /// `[count, n]` of each.
    biases: Option<[Vec<f32>; 3]>,
    selection_bias: Option<Vec<f32>>,
}

impl Case {
    fn layer(&self, rng: &mut Rng) -> Layer {
        let Case { count, d, ffn, formats, .. } = *self;
        let [gate, up, down] = formats;
        let shapes = [(gate, (ffn, d)), (up, (ffn, d)), (down, (d, ffn))];
        let bias = |n: usize, rng: &mut Rng| values(Values::Even, count, n, rng);
        Layer {
            matrices: shapes.map(|(format, shape)| {
                (0..count).map(|_| Matrix::new(format, shape, rng)).collect()
            }),
            biases: self.biases.then(|| [ffn, ffn, d].map(|n| bias(n, rng))),
            selection_bias: self.selection_bias.then(|| bias(1, rng)),
        }
    }

    fn experts(&self, backend: &dyn Backend, layer: &Layer) -> Result<Experts> {
        let prepare = |matrices: &[Matrix]| -> Result<Vec<Weight>> {
            matrices.iter().map(|matrix| backend.prepare(&matrix.source())).collect()
        };
        let [gate, up, down] = &layer.matrices;
        let biases = |[gate, up, down]: &[Vec<f32>; 3]| -> Result<ExpertBiases> {
            let of = |values: &[f32]| {
                let mut tensor = backend.alloc(self.count, values.len() / self.count)?;
                backend.upload(&mut tensor, values).map(|()| tensor)
            };
            Ok(ExpertBiases { gate: of(gate)?, up: of(up)?, down: of(down)? })
        };
        Ok(Experts {
            gate: prepare(gate)?,
            up: prepare(up)?,
            down: prepare(down)?,
            biases: layer.biases.as_ref().map(biases).transpose()?,
            activation: self.activation,
            routing: self.routing,
            selection_bias: layer.selection_bias.clone(),
        })
    }
}

fn mix(backend: &dyn Backend, x: &[f32], scores: &[f32], experts: &Experts) -> Result<Vec<f32>> {
    let (d, count) = (experts.gate[0].k, experts.gate.len());
    let (x, scores) = (input(backend, x, d)?, input(backend, scores, count)?);
    let mut out = output(backend, x.rows(), d)?;
    backend.experts(&mut out, &x, &scores, experts)?;
    host(backend, &out)
}

fn compare(check: &mut Checker<'_>, case: &Case, mut rng: Rng, name: &str) -> Result<()> {
    let (d, count) = (case.d, case.count);
    let layer = case.layer(&mut rng);
    let experts = case.experts(check.backend, &layer)?;
    let references = case.experts(&check.reference, &layer)?;
    let about = Bounds::new(case, &layer);
    for rows in case.rows {
        for kind in [Values::Even, Values::Zeros] {
            let x = values(kind, *rows, d, &mut rng);
            let mut scores = values(Values::Even, *rows, count, &mut rng);
            // Of every other row few levels, so that experts are equally good.
            for scores in scores.chunks_exact_mut(count).step_by(2) {
                scores.iter_mut().for_each(|score| *score = score.round());
            }
            let name = format!("{name}, {rows} rows, {kind:?}");
            let found = mix(check.backend, &x, &scores, &experts)?;
            let expected = mix(&check.reference, &x, &scores, &references)?;
            let chosen = |row: usize| {
                let scores = &scores[row * count..][..count];
                case.routing.choose(scores, layer.selection_bias.as_deref())
            };
            let rows = x.chunks_exact(d).enumerate();
            let bounds: Vec<f64> = rows.flat_map(|(row, x)| about.row(x, &chosen(row))).collect();
            check.close("experts", &name, (&found, &expected), |i| bounds[i]);
            for step in [1, 5] {
                let mut cut = Vec::new();
                for (x, scores) in x.chunks(step * d).zip(scores.chunks(step * count)) {
                    cut.extend(mix(check.backend, x, scores, &experts)?);
                }
                check.same("experts", &format!("{name}, {step} at a time"), &cut, &found);
            }
        }
    }
    Ok(())
}

/// What bounds are made of.
struct Bounds<'a> {
    case: &'a Case,
    layer: &'a Layer,
    /// `[n, k]` of gate, up and down of each expert.
    weights: [Vec<Vec<f32>>; 3],
    columns: [Vec<Vec<Columns>>; 3],
}

impl<'a> Bounds<'a> {
    fn new(case: &'a Case, layer: &'a Layer) -> Bounds<'a> {
        let weights = layer
            .matrices
            .each_ref()
            .map(|matrices| matrices.iter().map(Matrix::dequantized).collect::<Vec<_>>());
        let columns = [(0, case.d), (1, case.d), (2, case.ffn)]
            .map(|(kind, k)| weights[kind].iter().map(|w| groups(w, k)).collect());
        Bounds { case, layer, weights, columns }
    }

    /// `(value, bound)` of each output of one matrix and its bias.
    fn product(&self, (kind, expert): (usize, usize), x: &[f32]) -> Vec<(f64, f64)> {
        let weights = self.weights[kind][expert].chunks_exact(x.len());
        let n = weights.len();
        let (groups, precision) =
            (Columns::of(x), precision(self.case.formats[kind], Values::Even));
        let bias = |j: usize| match &self.layer.biases {
            Some(biases) => f64::from(biases[kind][expert * n + j]),
            None => 0.0,
        };
        let value = |(j, weights): (usize, &[f32])| {
            let terms = x.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
            let product: f64 = terms.sum();
            let bound = tolerance::matmul(&groups, &self.columns[kind][expert][j], precision);
            (product + bias(j), tolerance::biased(product, bias(j), bound))
        };
        weights.enumerate().map(value).collect()
    }

    /// Of each of a row's outputs.
    fn row(&self, x: &[f32], chosen: &[(usize, f64)]) -> Vec<f64> {
        let mut terms = vec![Vec::new(); self.case.d];
        for (expert, weight) in chosen {
            let (gates, ups) = (self.product((0, *expert), x), self.product((1, *expert), x));
            let activation = self.case.activation;
            let pairs = gates.into_iter().zip(ups);
            let (made, bounds): (Vec<f64>, Vec<f64>) = pairs
                .map(|(gate, up)| {
                    (activation.of(gate.0, up.0), tolerance::gated(activation, gate, up))
                })
                .unzip();
            // As large as it may be found, because the largest of a group says how it is rounded.
            let outer = made.iter().zip(&bounds);
            let outer: Vec<f32> =
                outer.map(|(made, bound)| (made + bound * made.signum()) as f32).collect();
            let down = self.weights[2][*expert].chunks_exact(outer.len());
            let values = self.product((2, *expert), &outer);
            for ((terms, (value, bound)), down) in terms.iter_mut().zip(values).zip(down) {
                let moved = down.iter().zip(&bounds).map(|(w, b)| f64::from(w.abs()) * b);
                let bound = bound + 2.0 * moved.sum::<f64>();
                terms.push((weight * value, weight.abs() * bound));
            }
        }
        terms.iter().map(|terms| tolerance::experts(terms)).collect()
    }
}
