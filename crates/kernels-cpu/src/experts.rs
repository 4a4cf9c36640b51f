//! A mixture of experts: rows are grouped by expert.

use tensor::{Backend, Experts, Result, Tensor, Weight};

use crate::CpuBackend;
use crate::backend::{fit, shape};

/// `out[r] = sum of weight * down_e(activation(gate_e(x[r]), up_e(x[r])))`.
pub(crate) fn experts(
    cpu: &CpuBackend,
    out: &mut Tensor,
    (x, scores): (&Tensor, &Tensor),
    experts: &Experts,
) -> Result<()> {
    check(out, (x, scores), experts)?;
    out.set_rows(x.rows())?;
    let (d, count) = (x.cols(), experts.gate.len());
    let ffn = experts.gate[0].n;
    out.host_mut()?.fill(0.0);
    let chosen: Vec<Vec<(usize, f64)>> = scores
        .host()?
        .chunks_exact(count)
        .map(|scores| experts.routing.choose(scores, experts.selection_bias.as_deref()))
        .collect();
    for e in 0..count {
        let rows: Vec<(usize, f32)> = chosen
            .iter()
            .enumerate()
            .flat_map(|(row, chosen)| {
                chosen.iter().filter(|c| c.0 == e).map(move |c| (row, c.1 as f32))
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        let index: Vec<u32> = rows.iter().map(|row| row.0 as u32).collect();
        let mut gathered = Tensor::host_zeros(rows.len(), d);
        cpu.gather_rows(&mut gathered, x, &index)?;
        let (mut gate, mut up) =
            (Tensor::host_zeros(rows.len(), ffn), Tensor::host_zeros(rows.len(), ffn));
        cpu.matmul(&mut [&mut gate], &gathered, &[&experts.gate[e]])?;
        cpu.matmul(&mut [&mut up], &gathered, &[&experts.up[e]])?;
        if let Some(biases) = &experts.biases {
            for (x, bias) in [(&mut gate, &biases.gate), (&mut up, &biases.up)] {
                let bias = Tensor::host_from(bias.host()?[e * ffn..][..ffn].to_vec(), ffn);
                cpu.add_bias(x, &bias)?;
            }
        }
        crate::gate::gate(cpu.on(), gate.host_mut()?, up.host()?, experts.activation);
        let mut down = Tensor::host_zeros(rows.len(), d);
        cpu.matmul(&mut [&mut down], &gate, &[&experts.down[e]])?;
        if let Some(biases) = &experts.biases {
            let bias = Tensor::host_from(biases.down.host()?[e * d..][..d].to_vec(), d);
            cpu.add_bias(&mut down, &bias)?;
        }
        let out = out.host_mut()?;
        for ((row, weight), values) in rows.iter().zip(down.host()?.chunks_exact(d)) {
            for (out, value) in out[row * d..][..d].iter_mut().zip(values) {
                *out += weight * value;
            }
        }
    }
    Ok(())
}

fn check(out: &Tensor, (x, scores): (&Tensor, &Tensor), experts: &Experts) -> Result<()> {
    let (d, count) = (x.cols(), experts.gate.len());
    let ffn = experts.gate.first().map_or(0, |gate| gate.n);
    let routing = &experts.routing;
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
