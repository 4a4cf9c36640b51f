//! Running all cases and collecting what does not agree.

use std::fmt;

use super::{attention, delta_net, experts, heads, matmul, prefill, refusals, rope, rows};
use crate::reference::Reference;
use crate::{Backend, Result, Tensor, Weight};

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Operation of [`Backend`].
    pub op: &'static str,
    /// Shape, values and seed.
    pub case: String,
    /// What was wrong, with the worst number.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.op, self.case, self.reason)
    }
}

/// Compares the backend with the reference over all cases. Agreement is an empty list.
#[must_use]
pub fn run(backend: &dyn Backend) -> Vec<Failure> {
    let mut check = Checker::new(backend);
    rows::run(&mut check);
    matmul::run(&mut check);
    prefill::run(&mut check);
    heads::run(&mut check);
    experts::run(&mut check);
    rope::run(&mut check);
    attention::run(&mut check);
    attention::run_far(&mut check);
    delta_net::run(&mut check);
    refusals::run(&mut check);
    check.failures
}

/// The backend, the reference, and what did not agree so far.
pub(super) struct Checker<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) reference: Reference,
    pub(super) failures: Vec<Failure>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(backend: &'a dyn Backend) -> Checker<'a> {
        Checker { backend, reference: Reference::new(), failures: Vec::new() }
    }

    pub(super) fn fail(&mut self, op: &'static str, case: &str, reason: String) {
        self.failures.push(Failure { op, case: case.to_owned(), reason });
    }

    /// Notes an error where there should be none.
    pub(super) fn done(&mut self, op: &'static str, case: &str, result: Result<()>) {
        if let Err(error) = result {
            self.fail(op, case, format!("refused: {error}"));
        }
    }

    /// Each value within its bound. `found` of NaN is never within.
    pub(super) fn close(
        &mut self,
        op: &'static str,
        case: &str,
        (found, expected): (&[f32], &[f32]),
        bound: impl Fn(usize) -> f64,
    ) {
        if found.len() != expected.len() {
            let reason = format!("{} values instead of {}", found.len(), expected.len());
            return self.fail(op, case, reason);
        }
        let mut outside = 0;
        let mut worst = (0.0, String::new());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let (error, bound) = (f64::from(*found) - f64::from(*expected), bound(i));
            if error.abs() <= bound {
                continue;
            }
            outside += 1;
            let excess = if error.is_nan() { f64::INFINITY } else { error.abs() / bound };
            if excess > worst.0 {
                worst = (excess, format!("[{i}] is {found}, not {expected} +- {bound:.3e}"));
            }
        }
        if outside > 0 {
            let of = expected.len();
            self.fail(op, case, format!("{outside} of {of} values are off; worst: {}", worst.1));
        }
    }

    /// Bit for bit.
    pub(super) fn same(&mut self, op: &'static str, case: &str, found: &[f32], expected: &[f32]) {
        if found.len() != expected.len() {
            let reason = format!("{} values instead of {}", found.len(), expected.len());
            return self.fail(op, case, reason);
        }
        let differs = |(found, expected): (&f32, &f32)| found.to_bits() != expected.to_bits();
        if let Some(i) = found.iter().zip(expected).position(differs) {
            let reason = format!("[{i}] is {:e}, not exactly {:e}", found[i], expected[i]);
            self.fail(op, case, reason);
        }
    }
}

/// An activation of these values with room for three rows more, which hold NaN: what is not in use
/// must not be read.
pub(super) fn input(backend: &dyn Backend, values: &[f32], cols: usize) -> Result<Tensor> {
    let mut tensor = output(backend, values.len() / cols, cols)?;
    backend.upload(&mut tensor, values)?;
    Ok(tensor)
}

/// An activation for `rows` rows, full of NaN: what was there before must not show.
pub(super) fn output(backend: &dyn Backend, rows: usize, cols: usize) -> Result<Tensor> {
    let mut tensor = backend.alloc(rows + 3, cols)?;
    backend.upload(&mut tensor, &vec![f32::NAN; (rows + 3) * cols])?;
    Ok(tensor)
}

/// The values in use.
pub(super) fn host(backend: &dyn Backend, tensor: &Tensor) -> Result<Vec<f32>> {
    let mut values = vec![f32::NAN; 3];
    backend.download(&mut values, tensor)?;
    Ok(values)
}

/// `x [rows, k]` times each weight.
pub(super) fn multiply(
    backend: &dyn Backend,
    x: &[f32],
    weights: &[&Weight],
) -> Result<Vec<Vec<f32>>> {
    let k = weights[0].k;
    let x = input(backend, x, k)?;
    let mut outs = Vec::new();
    for weight in weights {
        outs.push(output(backend, x.rows(), weight.n)?);
    }
    let mut refs: Vec<&mut Tensor> = outs.iter_mut().collect();
    backend.matmul(&mut refs, &x, weights)?;
    outs.iter().map(|out| host(backend, out)).collect()
}
