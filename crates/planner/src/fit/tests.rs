//! That the fit finds what is there, that the file's coefficients say what the fit says, and that
//! estimates with them are as near to measurements as promised.

use super::bands::bands;
use super::cross::{Held, folds};
use super::regression::{Equation, Prior, Problem, Term};
use super::sample::hash;
use super::stages::{Stage, machine_factors};
use super::{Sample, differences, refused, samples, to_toml};
use crate::catalogue::{Flag, measurements};
use crate::machine::Machine;
use crate::speed::{Coefficients, DecodeCoefficients, Predictor, median};

fn predictor<'a>(
    coefficients: &'a Coefficients,
    machine: &'a Machine,
    sample: &Sample,
) -> Predictor<'a> {
    Predictor::new(coefficients, machine, sample.engine_kind())
}

/// The machine, or its processor where that ran the model.
fn machine_of(sample: &Sample) -> Machine {
    Machine { class: sample.site().class, ..sample.machine.clone() }
}

#[test]
fn the_fit_finds_what_times_were_made_of() {
    // Two unknown factors, one of them to a power, and noise-free times.
    let truth = [0.7_f64, -0.4];
    let equation = |index: usize| {
        let (x, power) = (1.0 + index as f64, 0.1 * index as f64);
        let terms = vec![
            Term { amount: x, factors: vec![(0, 1.0)] },
            Term { amount: 3.0, factors: vec![(1, power)] },
        ];
        let time = x * truth[0].exp() + 3.0 * (power * truth[1]).exp();
        Equation { terms, log_time: time.ln(), weight: 1.0 }
    };
    let prior = Prior { mean: 0.0, deviation: 1e3 };
    let mut problem =
        Problem { priors: vec![prior; 2], equations: (0..12).map(equation).collect(), noise: 0.1 };
    let near = |found: &[f64], within: f64| {
        found.iter().zip(truth).all(|(found, truth)| (found - truth).abs() < within)
    };
    let found = problem.solve(&problem.start(), 25, |_| false);
    assert!(near(&found, 1e-5), "{found:?}");
    // One time that is wrong by a factor of ten moves little, and nothing where it is left out.
    problem.equations[4].log_time += 10.0_f64.ln();
    assert!(near(&problem.solve(&problem.start(), 25, |_| false), 0.3));
    assert!(near(&problem.solve(&problem.start(), 25, |index| index == 4), 1e-5));
}

#[test]
fn a_prior_holds_what_nothing_measures() {
    let priors = vec![Prior { mean: 2.0, deviation: 0.5 }; 3];
    let problem = Problem { priors, equations: Vec::new(), noise: 0.1 };
    assert_eq!(problem.solve(&[0.0; 3], 25, |_| false), problem.start());
}

#[test]
fn samples_are_those_of_the_table() {
    let all = samples();
    assert_eq!(all.len(), measurements().len());
    assert!(all.iter().filter(|sample| sample.is_decode()).count() >= 673);
    assert!(all.iter().filter(|sample| sample.is_prefill()).count() >= 205);
    for sample in &all {
        let demand = &sample.demand;
        assert!(demand.dense_bytes + demand.expert_bytes <= sample.file_bytes * 1.001);
        assert!(demand.head_weights < demand.dense_weights, "{}", sample.model);
    }
}

#[test]
fn what_is_above_the_bound_is_refused_with_its_line() {
    let all = samples();
    let text = include_str!("../../data/measurements.csv");
    let lines: Vec<&str> = text.lines().collect();
    for sample in &all {
        let line = lines[sample.line - 1];
        assert!(line.contains(&sample.model) && line.contains(&sample.quantisation), "{line}");
        let flags = &measurements()[sample.line - 2].flags;
        assert!(!flags.contains(&Flag::AboveRoofline) || sample.is_above_bound(), "{line}");
        // Whoever reads the table without this reckoning passes it over too.
        assert!(!flags.is_empty() || !sample.is_above_bound(), "flag line {}: {line}", sample.line);
    }
    // What nobody flagged is refused all the same.
    let mut sample = all.iter().find(|sample| sample.is_decode()).unwrap().clone();
    assert!(refused(std::slice::from_ref(&sample)).is_empty());
    sample.decode_tps = Some(1.01 * sample.bound_tps());
    assert!(!sample.is_decode() && !sample.is_decode_held_out());
    assert_eq!(refused(std::slice::from_ref(&sample))[0].line, sample.line);
    assert!(refused(&all).len() >= 12);
}

#[test]
fn what_is_held_out_is_held_out_for_good() {
    // The published test values of FNV-1a.
    assert_eq!([hash(""), hash("foobar")], [0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8]);
    let all = samples();
    let held = |of: fn(&Sample) -> bool| all.iter().filter(|sample| of(sample)).count();
    assert!(held(Sample::is_decode_held_out) >= 24);
    assert!(held(Sample::is_prefill_held_out) >= 11);
    assert!(!all.iter().any(|sample| sample.is_decode() && sample.is_decode_held_out()));
    assert!(!all.iter().any(|sample| sample.is_prefill() && sample.is_prefill_held_out()));
}

/// Estimates and the fit are two ways through the same formulas.
#[test]
fn estimates_are_what_was_fitted() {
    let all = samples();
    let written: Vec<&Sample> = all.iter().filter(|sample| sample.is_decode()).collect();
    let read: Vec<&Sample> = all.iter().filter(|sample| sample.is_prefill()).collect();
    let (decode, prefill) = (Stage::decode(&written), Stage::prefill(&read));
    let known = Coefficients::embedded();
    let coefficients = Coefficients {
        date: String::new(),
        decode: DecodeCoefficients {
            batch: known.decode.batch,
            ..decode.decode_coefficients(known.decode.errors, known.decode.bands)
        },
        prefill: prefill.prefill_coefficients(known.prefill.errors, known.prefill.bands),
        machine: machine_factors(&decode, &prefill),
    };
    let near = |tps: f64, log_time: f64, log_bound: f64, sample: &Sample| {
        let fitted = (-log_time.max(log_bound)).exp();
        let name = &sample.machine.name;
        assert!((tps / fitted - 1.0).abs() < 1e-9, "{} on {name}: {tps} {fitted}", sample.model);
    };
    for stage in [&decode, &prefill] {
        for (index, sample) in stage.samples.iter().enumerate() {
            if !sample.has_flash_attention() {
                continue;
            }
            let machine = machine_of(sample);
            let predictor = predictor(&coefficients, &machine, sample);
            let log_time = stage.problem.equations[index].log_at(&stage.solution);
            let found = if std::ptr::eq(stage, &raw const decode) {
                predictor.decode(&sample.demand, sample.context, 1)
            } else {
                predictor.prefill(&sample.demand, sample.context, 0).unwrap()
            };
            near(found.tps, log_time, stage.log_bounds[index], sample);
        }
    }
}

/// Median of errors with the coefficients of the file, percent; the rows without flash attention
/// are of builds that nobody should use now.
fn median_error(
    is_wanted: impl Fn(&Sample) -> bool,
    ratio: impl Fn(&Predictor<'_>, &Sample) -> f64,
) -> f64 {
    let all = samples();
    let errors = all.iter().filter(|s| is_wanted(s) && s.has_flash_attention()).map(|sample| {
        let machine = machine_of(sample);
        let predictor = predictor(Coefficients::embedded(), &machine, sample);
        100.0 * (ratio(&predictor, sample) - 1.0).abs()
    });
    median(&errors.collect::<Vec<_>>()).unwrap()
}

#[test]
fn estimates_are_near_measurements() {
    let written = median_error(Sample::is_decode, |predictor, sample| {
        let found = predictor.decode(&sample.demand, sample.context, 1);
        found.tps / sample.decode_tps.unwrap()
    });
    assert!(written <= 6.5, "{written} %");
    let read = median_error(Sample::is_prefill, |predictor, sample| {
        let found = predictor.prefill(&sample.demand, sample.context, 0).unwrap();
        found.tps / sample.prefill_tps.unwrap()
    });
    assert!(read <= 15.0, "{read} %");
}

#[test]
fn ranges_hold_what_they_say() {
    let all = samples();
    let picked: Vec<&Sample> = all.iter().filter(|sample| sample.is_decode()).collect();
    // Errors spread evenly from -0.5 to 0.5, the same for every group.
    let held: Vec<Held> = (0..picked.len())
        .map(|index| {
            let error = (index * 37 % 101) as f64 / 100.0 - 0.5;
            Held { index, error, unbounded: error }
        })
        .collect();
    let band = bands(&picked, &held, |sample| sample.model.clone(), 0.9);
    assert!((band.covered - 90.0).abs() < 3.0, "{band:?}");
    assert!((band.usual.low - (-0.45_f64).exp()).abs() < 0.02, "{band:?}");
    assert!((band.usual.high - 0.45_f64.exp()).abs() < 0.04, "{band:?}");
}

#[test]
fn folds_are_the_same_every_time() {
    assert_eq!(folds(25), folds(25));
    let mut counts = [0; 10];
    folds(25).into_iter().for_each(|fold| counts[fold] += 1);
    assert_eq!(counts.iter().sum::<i32>(), 25);
    assert!(counts.iter().all(|count| (2..=3).contains(count)));
}

#[test]
fn a_written_file_reads_as_what_it_was() {
    let coefficients = Coefficients::embedded();
    let text = to_toml(coefficients).unwrap();
    assert_eq!(&Coefficients::from_toml(&text).unwrap(), coefficients);
    assert!(differences(&text, &text).unwrap().is_empty());
    let mut moved = coefficients.clone();
    moved.decode.overhead_bits *= 1.0 + 1e-5;
    assert!(differences(&text, &to_toml(&moved).unwrap()).unwrap().is_empty());
    moved.decode.overhead_bits *= 1.01;
    moved.machine.pop();
    assert_eq!(differences(&text, &to_toml(&moved).unwrap()).unwrap().len(), 2);
}
