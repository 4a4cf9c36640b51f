//! How wrong estimates are where the fit did not look.

use super::regression::Problem;
use super::stages::Stage;
use crate::random::Random;
use crate::speed::shrunk_mean;

/// From the solution with everything to that without one group, so many steps are enough.
const STEPS_MAX: usize = 8;
/// Draws of a machine's rows.
const DRAWS: usize = 20;
/// Parts of a cross validation.
const FOLDS: usize = 10;

/// An estimate of a sample that the fit did not see, against its measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    /// Which sample.
    pub(super) index: usize,
    /// Logarithm of measured over estimated time.
    pub(super) error: f64,
    /// The same before the estimate was held to the bound.
    pub(super) unbounded: f64,
}

/// Logarithms of estimated times, each group's by a fit to all others.
pub(super) fn leave_out<K: Ord>(problem: &Problem, full: &[f64], keys: &[K]) -> Vec<f64> {
    let mut groups: Vec<&K> = keys.iter().collect();
    groups.sort();
    groups.dedup();
    let mut logs = vec![0.0; keys.len()];
    for group in groups {
        let solution = problem.solve(full, STEPS_MAX, |index| &keys[index] == group);
        for (index, log) in logs.iter_mut().enumerate().filter(|(index, _)| &keys[*index] == group)
        {
            *log = problem.equations[index].log_at(&solution);
        }
    }
    logs
}

/// A fold for each of so many, at random, equally many in each.
pub(super) fn folds(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    Random::seeded().shuffle_first(&mut order, count);
    let mut folds = vec![0; count];
    for (position, index) in order.into_iter().enumerate() {
        folds[index] = position % FOLDS;
    }
    folds
}

/// Errors of an unseen machine's other samples after so many of it were measured, drawn at random
/// again and again; a machine without more than these is left out.
pub(super) fn few_rows(stage: &Stage, unseen_machine: &[Held], rows: usize) -> Vec<Held> {
    let mut random = Random::seeded();
    let mut found = Vec::new();
    for mut own in by_machine(stage) {
        if own.len() <= rows {
            continue;
        }
        for _ in 0..DRAWS {
            random.shuffle_first(&mut own, rows);
            let (measured, rest) = own.split_at(rows);
            let logs: Vec<f64> =
                measured.iter().map(|index| unseen_machine[*index].unbounded).collect();
            let mean = shrunk_mean(&logs, stage.spread.noise, stage.spread.machines);
            let factor = mean.expect("there are some rows");
            found.extend(rest.iter().map(|index| {
                let measured = stage.problem.equations[*index].log_time;
                stage.held(*index, measured - unseen_machine[*index].unbounded + factor)
            }));
        }
    }
    found
}

fn by_machine(stage: &Stage) -> Vec<Vec<usize>> {
    let name = |index: &usize| stage.samples[*index].machine.name.as_str();
    let mut order: Vec<usize> = (0..stage.samples.len()).collect();
    order.sort_by_key(name);
    order.chunk_by(|a, b| name(a) == name(b)).map(<[usize]>::to_vec).collect()
}
