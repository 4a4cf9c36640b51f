//! Products of prefill rows: near the reference, and the same whatever else is in a step.

use quant::FormatId;

use super::cases::{Matrix, Rng, Values, small_matrix, values};
use super::matmul::groups;
use super::run::{Checker, host, input, output};
use super::tolerance::{self, Precision};
use crate::{Activation, Backend, Result, Tensor, Weight};

const ROWS: usize = 65;
/// Steps of this many rows, and that many decode rows before prefill rows.
const STEPS: [usize; 4] = [1, 3, 16, 33];

pub(super) fn run(check: &mut Checker<'_>) {
    for format in FormatId::all() {
        run_format(check, format);
    }
}

pub(super) fn run_format(check: &mut Checker<'_>, format: FormatId) {
    let result = products(check, format);
    check.done("matmul", &format!("{} of prefill rows", format.name()), result);
}

/// Each weight's product with `x`, whose first rows are decode rows.
fn multiply(
    backend: &dyn Backend,
    (x, decode_rows): (&[f32], usize),
    weights: &[&Weight],
) -> Result<Vec<Vec<f32>>> {
    let mut x = input(backend, x, weights[0].k)?;
    x.set_decode_rows(decode_rows);
    let mut outs = Vec::new();
    for weight in weights {
        outs.push(output(backend, x.rows(), weight.n)?);
    }
    let mut refs: Vec<&mut Tensor> = outs.iter_mut().collect();
    backend.matmul(&mut refs, &x, weights)?;
    let kinds = outs.iter().all(|out| out.prefill_rows() == x.prefill_rows());
    assert!(kinds, "rows of a product are of the kinds of what is multiplied");
    outs.iter().map(|out| host(backend, out)).collect()
}

fn products(check: &mut Checker<'_>, format: FormatId) -> Result<()> {
    let (n, k) = small_matrix(format);
    let mut rng = Rng(17);
    let matrices = [(); 2].map(|()| Matrix::new(format, (n, k), &mut rng));
    let float = Matrix::new(FormatId::F32, (5, k), &mut rng);
    let backend = check.backend;
    let [weight, other] = matrices.each_ref().map(|matrix| backend.prepare(&matrix.source()));
    let (weight, other, float) = (weight?, other?, backend.prepare(&float.source())?);
    let reference = check.reference.prepare(&matrices[0].source())?;
    let x = values(Values::Even, ROWS, k, &mut rng);
    let name = format.name();

    let whole = multiply(backend, (&x, 0), &[&weight])?.swap_remove(0);
    let expected = multiply(&check.reference, (&x, 0), &[&reference])?.swap_remove(0);
    let (xs, ws) = (groups(&x, k), groups(&matrices[0].dequantized(), k));
    check.close("matmul", &format!("{name}, prefill rows"), (&whole, &expected), |i| {
        tolerance::matmul(&xs[i / n], &ws[i % n], Precision::Bf16)
    });
    let among = multiply(backend, (&x, 0), &[&other, &weight, &float])?.swap_remove(1);
    check.same("matmul", &format!("{name}, prefill rows among weights"), &among, &whole);

    let answers = multiply(backend, (&x, ROWS), &[&weight])?.swap_remove(0);
    for step in STEPS {
        let mut cut = Vec::new();
        for x in x.chunks(step * k) {
            cut.extend(multiply(backend, (x, 0), &[&weight])?.swap_remove(0));
        }
        let case = format!("{name}, {step} of {ROWS} prefill rows at a time");
        check.same("matmul", &case, &cut, &whole);
        let mixed = multiply(backend, (&x, step), &[&weight, &float])?.swap_remove(0);
        let apart = [&answers[..step * n], &whole[step * n..]].concat();
        let case = format!("{name}, {step} decode rows before prefill rows");
        check.same("matmul", &case, &mixed, &apart);
        gated(check, &case, (&x, step), [&weight, &other])?;
    }
    Ok(())
}

/// A gated unit is what its two products give.
fn gated(
    check: &mut Checker<'_>,
    case: &str,
    (values, decode_rows): (&[f32], usize),
    weights: [&Weight; 2],
) -> Result<()> {
    let (backend, n) = (check.backend, weights[0].n);
    let mut x = input(backend, values, weights[0].k)?;
    x.set_decode_rows(decode_rows);
    let mut out = output(backend, x.rows(), n)?;
    backend.gated(&mut out, &x, (weights[0], weights[1]), Activation::Silu)?;
    let products = multiply(backend, (values, decode_rows), &weights)?;
    let (mut gates, ups) = (input(backend, &products[0], n)?, input(backend, &products[1], n)?);
    backend.gate(&mut gates, &ups, Activation::Silu)?;
    check.same("gated", case, &host(backend, &out)?, &host(backend, &gates)?);
    Ok(())
}
