//! A mixture of experts, row by row: what [`Backend::experts`](crate::Backend::experts) is.

use super::matmul::{gated_values, product};
use super::{fit, shape};
use crate::{ExpertBiases, Experts, Result, Tensor};

/// `out[r] = sum of weight * down_e(activation(gate_e(x[r]), up_e(x[r])))`.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, equation 1.
pub(super) fn experts(
    out: &mut Tensor,
    (x, scores): (&Tensor, &Tensor),
    experts: &Experts,
) -> Result<()> {
    check(out, (x, scores), experts)?;
    out.set_rows_as(x)?;
    let (d, count) = (x.cols(), experts.gate.len());
    let rows = x.host()?.chunks_exact(d).zip(scores.host()?.chunks_exact(count));
    for (out, (x, scores)) in out.host_mut()?.chunks_exact_mut(d).zip(rows) {
        let mut sums = vec![0.0_f64; d];
        let chosen = experts.routing.choose(scores, experts.selection_bias.as_deref());
        for (expert, weight) in chosen {
            for (sum, value) in sums.iter_mut().zip(expert_of(experts, expert, x)?) {
                *sum += weight * value;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }
    Ok(())
}

/// `[d]` of one expert and one row.
fn expert_of(experts: &Experts, e: usize, x: &[f32]) -> Result<Vec<f64>> {
    let biases = experts.biases.as_ref();
    let row = |of: fn(&ExpertBiases) -> &Tensor| -> Result<Option<&[f32]>> {
        let Some(biases) = biases else { return Ok(None) };
        let cols = of(biases).cols();
        Ok(Some(&of(biases).host()?[e * cols..][..cols]))
    };
    let gate = product(x, &experts.gate[e], row(|biases| &biases.gate)?)?;
    let up = product(x, &experts.up[e], row(|biases| &biases.up)?)?;
    let gated = gated_values(&gate, &up, experts.activation);
    product(&gated, &experts.down[e], row(|biases| &biases.down)?)
}

fn check(out: &Tensor, (x, scores): (&Tensor, &Tensor), experts: &Experts) -> Result<()> {
    let (d, count) = (x.cols(), experts.gate.len());
    let ffn = experts.gate.first().map_or(0, |gate| gate.n);
    let routing = &experts.routing;
    let all = |weights: &[crate::Weight], (n, k)| {
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
