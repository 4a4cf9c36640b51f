//! How far from the reference a result may be, per operation, and why. The same for all backends.

use crate::Activation;

/// Relative spacing of f32 numbers.
pub(super) const F32_STEP: f64 = 1.0 / (1_u64 << 23) as f64;
/// Results below this are nothing: a backend may flush to 0 what f32 can hardly hold.
pub(super) const NOTHING: f64 = 1e-30;
/// Columns that may be quantised together.
const GROUP: usize = 32;

/// One row of x and one of w, in groups of 32 columns.
pub(super) struct Groups {
    /// Largest magnitude of each group.
    highest: Vec<f64>,
    /// Sum of magnitudes of each group.
    sum: Vec<f64>,
}

impl Groups {
    pub(super) fn of(row: &[f32]) -> Groups {
        let magnitude = |value: &f32| f64::from(value.abs());
        let groups = || row.chunks(GROUP);
        Groups {
            highest: groups().map(|g| g.iter().map(magnitude).fold(0.0, f64::max)).collect(),
            sum: groups().map(|g| g.iter().map(magnitude).sum()).collect(),
        }
    }
}

/// What a backend may take x as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// It must be taken as f32, or int8 holds it exactly.
    Exact,
    /// Weights in blocks: x may be rounded to 127 steps of the largest of 32 columns.
    Int8,
    /// Prefill rows: x and weights may be rounded to bf16.
    Bf16,
}

/// Matmul. Two sources of error:
/// * f32 sums: at most (groups + 64) roundings follow one another, each of a partial sum that is
///   no larger than the sum of magnitudes. Formats with an offset compute `d * sum(q x)` and
///   `m * sum(x)` apart, each up to three times the largest weight, hence `3 * max|w| * sum|x|`.
/// * where x may be int8: rounding `x / (max|x| / 127)` is off by at most half a step, which is
///   `max|x| / 254` for each column, times its weight;
/// * where both may be bf16: each is off by at most [`BF16_STEP`] of itself.
pub(super) fn matmul(x: &Groups, w: &Groups, precision: Precision) -> f64 {
    let roundings = (x.sum.len() + 64) as f64;
    let magnitudes: f64 = x.sum.iter().zip(&w.highest).map(|(x, w)| 3.0 * x * w).sum();
    let steps: f64 = match precision {
        Precision::Exact => 0.0,
        Precision::Int8 => x.highest.iter().zip(&w.sum).map(|(x, w)| x * w / 254.0).sum(),
        Precision::Bf16 => {
            let part = 2.0 * BF16_STEP * (1.0 + BF16_STEP);
            x.sum.iter().zip(&w.highest).map(|(x, w)| x * w * part).sum()
        }
    };
    roundings * F32_STEP * magnitudes + steps + NOTHING
}

/// A gate and an up, each off by what matmul allows. What is made of the gate has a slope of at
/// most 1.13 (GELU; SiLU 1.1, whatever its steepness), holding a value within a limit one of 1;
/// `exp` and the division may be off by 16 steps. GELU's error function may be off by 4 steps of 1,
/// which counts where it is nearly 0; there its tanh form is 1 - 1 in f64 too. An argument `p` of
/// `exp` that is off by a step of itself turns the result by `p` steps: SiLU's is exact, a
/// steepness makes it off by one, GELU's polynomial with its constants by 4.
pub(super) fn gated(
    activation: Activation,
    (gate, gate_bound): (f64, f64),
    (up, up_bound): (f64, f64),
) -> f64 {
    let made = activation.of(gate, up);
    // How far the result goes with up, and up with the result.
    let mut vanishing = 0.0;
    let (of_gate, of_up, steps) = match activation {
        Activation::Silu => (activation.of(gate, 1.0), up.abs(), 0.0),
        Activation::GeluTanh => {
            vanishing = 4.0 * f64::EPSILON * (gate * up).abs();
            let power = 1.6 * (gate + 0.044_715 * gate.powi(3));
            (activation.of(gate, 1.0), up.abs(), 4.0 * power.abs())
        }
        Activation::GeluErf => {
            vanishing = 4.0 * F32_STEP * (gate * up).abs();
            (activation.of(gate, 1.0), up.abs(), 0.0)
        }
        Activation::ClampedSilu { alpha, limit } => {
            let limit = f64::from(limit);
            let power = (f64::from(alpha) * gate.min(limit)).abs();
            (activation.of(gate, 0.0), (up.clamp(-limit, limit) + 1.0).abs(), power)
        }
    };
    let from_gate = 1.13 * gate_bound * (of_up + up_bound);
    let from_up = of_gate.abs() * up_bound;
    from_gate + from_up + vanishing + (16.0 + steps) * F32_STEP * made.abs() + NOTHING
}

/// One addition of a bias to a product, a rounding of the sum.
pub(super) fn biased(product: f64, bias: f64, product_bound: f64) -> f64 {
    product_bound + F32_STEP * ((product + bias).abs() + product_bound)
}

/// The sum over a row's experts: each is off by its own bound, and one rounding after the other
/// (weight, product, sum) is of a partial sum that is no larger than the sum of magnitudes.
pub(super) fn experts(terms: &[(f64, f64)]) -> f64 {
    let bounds: f64 = terms.iter().map(|(_, bound)| bound).sum();
    let magnitudes: f64 = terms.iter().map(|(term, bound)| term.abs() + bound).sum();
    bounds + (terms.len() + 2) as f64 * F32_STEP * magnitudes + NOTHING
}

/// `cap * tanh(x / cap)`: relative errors of `x / cap` do not grow in tanh; with it, the division
/// and the product 8 steps.
pub(super) fn soft_cap(expected: f32) -> f64 {
    8.0 * F32_STEP * f64::from(expected.abs()) + NOTHING
}

/// RMS norm: an f32 sum of `d` squares is off by at most `d` roundings, of which the root leaves
/// half; 8 more for the root, the division and the products.
pub(super) fn rms_norm(expected: f32, d: usize) -> f64 {
    (d as f64 / 2.0 + 8.0) * F32_STEP * f64::from(expected.abs()) + NOTHING
}

/// Layer norm of a row whose largest value is `highest` and whose deviation is `deviation`: an f32
/// mean of `d` values is off by at most `d` roundings of the largest, which the division by the
/// deviation magnifies; the deviation itself as in [`rms_norm`], and by what the mean is off.
/// `normed` is the value before `scale` and `bias`.
pub(super) fn layer_norm(
    (highest, deviation): (f64, f64),
    normed: f64,
    (scale, bias): (f64, f64),
    d: usize,
) -> f64 {
    let mean_error = (d as f64 + 8.0) * F32_STEP * highest / deviation;
    let spread_error = (d as f64 / 2.0 + 8.0) * F32_STEP + mean_error * (1.0 + mean_error);
    let error = (mean_error + normed.abs() * spread_error) * scale.abs();
    error + 2.0 * F32_STEP * ((normed * scale).abs() + bias.abs()) + NOTHING
}

/// Dequantising: formats with an offset may be computed with or without a fused product, which
/// shows in the last bits of the larger part; 4 steps of the row's largest weight.
pub(super) fn embed(row_highest: f64) -> f64 {
    4.0 * F32_STEP * row_highest + NOTHING
}

/// Rotation: an f32 angle is off by half a step of itself, which turns the pair by as much; 8 more
/// steps for sine, cosine and the products. `pair` is the length of `(a, b)` after scaling.
pub(super) fn rope(angle: f64, pair: f64) -> f64 {
    (angle.abs() + 8.0) * F32_STEP * pair + NOTHING
}

/// What attention's bound is made of.
pub(super) struct Attention {
    /// Positions that a row sees.
    pub(super) positions: usize,
    /// Width of a key head.
    pub(super) head_dim_k: usize,
    /// Largest `scale * sum |q_i k_i|` over the positions.
    pub(super) score_highest: f64,
    /// Of scores.
    pub(super) soft_cap: Option<f64>,
    /// Largest |v| over the positions.
    pub(super) value_highest: f64,
    /// By how much of themselves stored keys and the query may differ: rotation, and for f16 a
    /// rounding that falls to the other side.
    pub(super) key_error: f64,
    /// By how much a score may differ for what queries and keys lose to quantisation.
    pub(super) score_step: f64,
    /// Queries, keys, probabilities and values of prefill rows may be rounded to bf16.
    pub(super) is_prefill: bool,
}

/// Most that rounding to bf16 takes from a number, in parts of it.
const BF16_STEP: f64 = 1.0 / 512.0;

/// Attention: a score is an f32 sum of `head_dim_k` products, off by `(head_dim_k / 2 + 8)` steps
/// and what q and k are off by; an error e of scores changes each probability by at most 2 e of
/// itself; the weighted sum of values is an f32 sum over the positions, with 64 more steps for
/// `exp` and rescaling. A soft cap's slope is at most 1, so that errors only shrink on their way
/// through it; it adds 8 steps of the capped score of its own. A sink `z` is one more term of the
/// sum; rounding its distance from the maximum is off by a step of `|z - max|`, which matters by
/// `exp(-|z - max|)`: less than a step in all, and within the 64. Where all may be bf16, two
/// roundings are in each product of a score, and two in each value's share.
pub(super) fn attention(about: &Attention) -> f64 {
    let dot = (about.head_dim_k as f64 / 2.0 + 8.0) * F32_STEP;
    let capped = about.soft_cap.map_or(0.0, |cap| cap.min(about.score_highest));
    let rounded = if about.is_prefill { 2.0 * BF16_STEP * (1.0 + BF16_STEP) } else { 0.0 };
    let of_itself = (dot + 2.0 * about.key_error + rounded) * about.score_highest;
    let score_error = of_itself + about.score_step + 8.0 * F32_STEP * capped;
    let sum = (about.positions + 64) as f64 * F32_STEP;
    // Beyond 1 the first-order bound means nothing, and any probabilities would do.
    ((2.0 * score_error + sum).min(2.0) + rounded) * about.value_highest + NOTHING
}

/// A delta net: of each position's sums over `head_dim_k` products, and of exponents and roots, at
/// most `2 * head_dim_k + 64` roundings stay in the state, which never grows what is in it; so they
/// add up over positions. The norm of the output may stretch what is small by 16.
pub(super) fn delta_net(positions: usize, head_dim_k: usize, head_highest: f64) -> f64 {
    let roundings = positions * (2 * head_dim_k + 64);
    16.0 * roundings as f64 * F32_STEP * head_highest.max(1.0 / 16.0) + NOTHING
}

/// A sigmoid: `exp` may be off by a few steps of a large argument, the division by one.
pub(super) fn sigmoid(expected: f32) -> f64 {
    16.0 * F32_STEP * f64::from(expected.abs()) + NOTHING
}
