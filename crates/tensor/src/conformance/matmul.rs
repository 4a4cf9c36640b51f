//! Matmul and gated units in every format.

use quant::FormatId;

use super::cases::{Matrix, ROWS, Rng, VALUES, Values, matrices, small_matrix, values};
use super::run::{Checker, host, input, multiply, output};
use super::tolerance::{self, Groups, Precision};
use crate::{Activation, Backend, Result, Weight};

pub(super) fn run(check: &mut Checker<'_>) {
    for format in FormatId::all() {
        run_format(check, format);
    }
    for formats in [
        [FormatId::Q4_0, FormatId::F32, FormatId::Q8_0],
        [FormatId::Q4K, FormatId::Q6K, FormatId::F16],
        [FormatId::IQ2XS, FormatId::F16, FormatId::IQ3S],
    ] {
        let case = format!("{formats:?} together");
        let result = together(check, &case, formats);
        check.done("matmul", &case, result);
    }
}

/// All that one format takes part in alone.
pub(super) fn run_format(check: &mut Checker<'_>, format: FormatId) {
    for (n, k) in matrices(format) {
        let case = format!("{} [{n}, {k}]", format.name());
        let result = shapes(check, format, (n, k));
        check.done("matmul", &case, result);
    }
    let case = format!("{}, invariance", format.name());
    let result = invariance(check, format);
    check.done("matmul", &case, result);
    let case = format!("{}, gated", format.name());
    let result = gated(check, format);
    check.done("gated", &case, result);
}

/// What the bound of this format and these values is about.
pub(super) fn precision(format: FormatId, kind: Values) -> Precision {
    match kind {
        _ if format.block_len() == 1 => Precision::Exact,
        Values::Whole | Values::Zeros => Precision::Exact,
        Values::Even | Values::Large | Values::Tiny | Values::Holes => Precision::Int8,
    }
}

pub(super) fn groups(matrix: &[f32], k: usize) -> Vec<Groups> {
    matrix.chunks_exact(k).map(Groups::of).collect()
}

/// One matrix against all numbers of rows.
fn shapes(check: &mut Checker<'_>, format: FormatId, (n, k): (usize, usize)) -> Result<()> {
    let seed = (n * 10_000 + k) as u64;
    let mut rng = Rng(seed);
    let matrix = Matrix::new(format, (n, k), &mut rng);
    let weights = groups(&matrix.dequantized(), k);
    let weight = check.backend.prepare(&matrix.source())?;
    let promised = check.backend.prepared_bytes(&matrix.source());
    if weight.held_bytes != promised {
        let reason = format!("holds {} bytes, promised {promised}", weight.held_bytes);
        check.fail("prepare", &format!("{} [{n}, {k}]", format.name()), reason);
    }
    let reference = check.reference.prepare(&matrix.source())?;
    for kind in VALUES {
        let counts: &[usize] = if VALUES[..2].contains(&kind) { &ROWS } else { &[7] };
        let x = values(kind, counts[counts.len() - 1], k, &mut rng);
        // Rows do not know of each other, so that what few of them give stands with those of most.
        let expected = multiply(&check.reference, &x, &[&reference])?.swap_remove(0);
        let (precision, groups) = (precision(format, kind), groups(&x, k));
        let bound = |i: usize| tolerance::matmul(&groups[i / n], &weights[i % n], precision);
        let bounds: Vec<f64> = (0..expected.len()).map(bound).collect();
        for rows in counts {
            let found = multiply(check.backend, &x[..rows * k], &[&weight])?.swap_remove(0);
            let case = format!("{} [{n}, {k}], {rows} rows, {kind:?}, seed {seed}", format.name());
            check.close("matmul", &case, (&found, &expected[..rows * n]), |i| bounds[i]);
        }
    }
    Ok(())
}

/// A row alone, among others, and with other weights: the same bits.
fn invariance(check: &mut Checker<'_>, format: FormatId) -> Result<()> {
    let (n, k) = small_matrix(format);
    let mut rng = Rng(7);
    let matrix = Matrix::new(format, (n, k), &mut rng);
    let other = Matrix::new(format, (16, k), &mut rng);
    let float = Matrix::new(FormatId::F32, (5, k), &mut rng);
    let backend = check.backend;
    let weight = backend.prepare(&matrix.source())?;
    let (other, float) = (backend.prepare(&other.source())?, backend.prepare(&float.source())?);
    let rows = 65;
    let x = values(Values::Even, rows, k, &mut rng);
    let whole = multiply(backend, &x, &[&weight])?.swap_remove(0);
    let among = multiply(backend, &x, &[&other, &weight, &float])?.swap_remove(1);
    check.same("matmul", &format!("{}, among weights", format.name()), &among, &whole);
    for step in [1, 2, 3, 9] {
        let mut cut = Vec::new();
        for x in x.chunks(step * k) {
            cut.extend(multiply(backend, x, &[&weight])?.swap_remove(0));
        }
        let case = format!("{}, {step} of 65 rows at a time, seed 7", format.name());
        check.same("matmul", &case, &cut, &whole);
    }
    Ok(())
}

/// Several weights of different formats in one call.
fn together(check: &mut Checker<'_>, case: &str, formats: [FormatId; 3]) -> Result<()> {
    let k = formats.iter().map(|format| format.block_len()).fold(64, usize::max);
    let mut rng = Rng(11);
    let matrices: Vec<Matrix> =
        formats.iter().zip([33, 1, 20]).map(|(f, n)| Matrix::new(*f, (n, k), &mut rng)).collect();
    let prepare = |backend: &dyn Backend| -> Result<Vec<Weight>> {
        matrices.iter().map(|matrix| backend.prepare(&matrix.source())).collect()
    };
    let (weights, references) = (prepare(check.backend)?, prepare(&check.reference)?);
    let x = values(Values::Even, 9, k, &mut rng);
    let found = multiply(check.backend, &x, &weights.iter().collect::<Vec<_>>())?;
    let expected = multiply(&check.reference, &x, &references.iter().collect::<Vec<_>>())?;
    let x = groups(&x, k);
    for (j, matrix) in matrices.iter().enumerate() {
        let w = groups(&matrix.dequantized(), k);
        let precision = precision(matrix.format, Values::Even);
        check.close("matmul", case, (&found[j], &expected[j]), |i| {
            tolerance::matmul(&x[i / matrix.n], &w[i % matrix.n], precision)
        });
    }
    Ok(())
}

/// All, with the numbers of gpt-oss.
pub(super) const ACTIVATIONS: [Activation; 4] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::GeluErf,
    Activation::ClampedSilu { alpha: 1.702, limit: 7.0 },
];

fn gate(
    backend: &dyn Backend,
    x: &[f32],
    ([gate, up], activation): ([&Weight; 2], Activation),
) -> Result<Vec<f32>> {
    let x = input(backend, x, gate.k)?;
    let mut out = output(backend, x.rows(), gate.n)?;
    backend.gated(&mut out, &x, (gate, up), activation)?;
    host(backend, &out)
}

/// In two operations.
fn gate_apart(
    backend: &dyn Backend,
    x: &[f32],
    ([gate, up], activation): ([&Weight; 2], Activation),
) -> Result<Vec<f32>> {
    let x = input(backend, x, gate.k)?;
    let mut gates = output(backend, x.rows(), gate.n)?;
    let mut ups = output(backend, x.rows(), gate.n)?;
    backend.matmul(&mut [&mut gates, &mut ups], &x, &[gate, up])?;
    backend.gate(&mut gates, &ups, activation)?;
    host(backend, &gates)
}

/// Gated units: bounds, then invariance.
fn gated(check: &mut Checker<'_>, format: FormatId) -> Result<()> {
    let (n, k) = small_matrix(format);
    let mut rng = Rng(13);
    let matrices = [(); 2].map(|()| Matrix::new(format, (n, k), &mut rng));
    let [g, u] = matrices.each_ref().map(|matrix| check.backend.prepare(&matrix.source()));
    let (g, u) = (g?, u?);
    let [ref_g, ref_u] = matrices.each_ref().map(|m| check.reference.prepare(&m.source()));
    let (ref_g, ref_u) = (ref_g?, ref_u?);
    let [w_g, w_u] = matrices.each_ref().map(|matrix| groups(&matrix.dequantized(), k));
    // What comes after the products does not know their format: one of a kind meets them all.
    let all = [FormatId::F32, FormatId::Q8_0].contains(&format);
    let activations = &ACTIVATIONS[..if all { ACTIVATIONS.len() } else { 1 }];
    for kind in [Values::Even, Values::Whole, Values::Zeros] {
        let x = values(kind, ROWS[ROWS.len() - 1], k, &mut rng);
        let products = multiply(&check.reference, &x, &[&ref_g, &ref_u])?;
        let (precision, groups) = (precision(format, kind), groups(&x, k));
        for (at, activation) in activations.iter().copied().enumerate() {
            let expected = gate(&check.reference, &x, ([&ref_g, &ref_u], activation))?;
            let bound = |i: usize| {
                let bound = |w: &[Groups]| tolerance::matmul(&groups[i / n], &w[i % n], precision);
                let value = |j: usize| f64::from(products[j][i]);
                tolerance::gated(activation, (value(0), bound(&w_g)), (value(1), bound(&w_u)))
            };
            let bounds: Vec<f64> = (0..expected.len()).map(bound).collect();
            for rows in ROWS.into_iter().filter(|rows| at == 0 || *rows == 7) {
                let found = gate(check.backend, &x[..rows * k], ([&g, &u], activation))?;
                let name = format.name();
                let case =
                    format!("{name} [{n}, {k}], {activation:?}, {rows} rows, {kind:?}, seed 13");
                check.close("gated", &case, (&found, &expected[..rows * n]), |i| bounds[i]);
            }
        }
    }
    let x = values(Values::Even, 65, k, &mut rng);
    for activation in activations.iter().copied() {
        let whole = gate(check.backend, &x, ([&g, &u], activation))?;
        for rows in [65, 7, 1] {
            let apart = gate_apart(check.backend, &x[..rows * k], ([&g, &u], activation))?;
            let case = format!("{}, {activation:?}, {rows} rows, seed 13", format.name());
            check.same("gate", &case, &apart, &whole[..rows * n]);
        }
        for step in [1, 7] {
            let mut cut = Vec::new();
            for x in x.chunks(step * k) {
                cut.extend(gate(check.backend, x, ([&g, &u], activation))?);
            }
            let case =
                format!("{}, {activation:?}, {step} of 65 rows at a time, seed 13", format.name());
            check.same("gated", &case, &cut, &whole);
        }
    }
    Ok(())
}
