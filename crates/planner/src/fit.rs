//! Fits the speed model to published measurements and says how wrong it is where it did not look:
//! at models, machines and sources that were left out.
//!
//! Entry point: [`study`], pure: [`samples`] go in, coefficients and tables come out. Formulas,
//! priors and choices that were tried: `docs/planner.md`.

mod bands;
mod batch;
mod cross;
mod file;
mod parameters;
mod public;
mod regression;
mod sample;
mod stages;
mod table;
#[cfg(test)]
mod tests;

pub use batch::BatchLine;
pub use file::{differences, to_toml};
pub use sample::{Sample, samples};
pub use table::{Column, Line, Table, Tail};

use bands::bands;
use batch::fit_batch;
use cross::{Held, few_rows};
use public::{decode_lines, fewest_errors, naive_prefill, usual_share};
use stages::{Stage, machine_factors};
use table::{line, median_percent, percentile};

use crate::speed::{Bands, Coefficients, DecodeCoefficients, Errors};

/// Shares of measurements between the ends of a range: those of prompts are fewer and spread more,
/// so that nine of ten inside need wider quantiles.
const DECODE_NOMINAL: f64 = 0.90;
const PREFILL_NOMINAL: f64 = 0.95;

/// What a study found.
#[derive(Clone, Debug)]
pub struct Study {
    /// For `data/coefficients.toml`.
    pub coefficients: Coefficients,
    /// How far estimates of writing are from measurements.
    pub decode: Table,
    /// How far estimates of reading are.
    pub prefill: Table,
    /// How far estimates of writing are from measurements that are held out for good.
    pub decode_holdout: Table,
    /// The same of reading.
    pub prefill_holdout: Table,
    /// How much measurements on a machine help.
    pub few: Vec<Few>,
    /// Several conversations on one GB10.
    pub batch: Vec<BatchLine>,
    /// Measurements that nothing is fitted to, as they are above the bandwidth bound.
    pub refused: Vec<Sample>,
    /// What was promised, and whether it holds.
    pub targets: Vec<Target>,
}

/// Errors on an unseen machine after so many measurements of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Few {
    /// Measurements.
    pub rows: usize,
    /// Median error, percent.
    pub median: f64,
    /// Nine of ten errors are below, percent.
    pub p90: f64,
}

/// A promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is promised.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub is_met: bool,
    /// Whether it is known to be missed; see `docs/planner.md`.
    pub is_known_miss: bool,
}

/// Fits, leaves out, and compares.
///
/// # Panics
/// Where there are no samples to fit, or the models that several conversations were measured with
/// are not in the table.
#[must_use]
pub fn study(samples: &[Sample]) -> Study {
    let written: Vec<&Sample> = samples.iter().filter(|sample| sample.is_decode()).collect();
    let read: Vec<&Sample> = samples.iter().filter(|sample| sample.is_prefill()).collect();
    let decode = Stage::decode(&written);
    let prefill = Stage::prefill(&read);

    let (decode_errors, decode_held) = held_out(&decode);
    let (prefill_errors, prefill_held) = held_out(&prefill);
    let few = [1, 2, 3, 5].map(|rows| few_of(&decode, &decode_held.machine, rows));
    let decode_bands = bands_of(&decode, &decode_held, DECODE_NOMINAL);
    let prefill_bands = bands_of(&prefill, &prefill_held, PREFILL_NOMINAL);

    let fitted = decode.decode_coefficients(decode_errors, decode_bands);
    let (batch, batch_lines) = fit_batch(&fitted);
    let coefficients = Coefficients {
        date: samples.iter().filter_map(|sample| sample.date.clone()).max().unwrap_or_default(),
        decode: DecodeCoefficients { batch, ..fitted },
        prefill: prefill.prefill_coefficients(prefill_errors, prefill_bands),
        machine: machine_factors(&decode, &prefill),
    };
    let decode_table = decode_table(&decode, &decode_held);
    let decode_holdout = decode_holdout(&decode, samples);
    let prefill_holdout = prefill_holdout(&prefill, samples);
    let mut targets = targets(&coefficients, &decode_table);
    targets.extend(holdout_targets(&decode_holdout, &prefill_holdout));
    Study {
        refused: refused(samples),
        targets,
        decode_holdout,
        prefill_holdout,
        decode: decode_table,
        prefill: prefill_table(&prefill, &prefill_held, samples),
        few: few.to_vec(),
        batch: batch_lines,
        coefficients,
    }
}

/// Measurements above the bandwidth bound.
fn refused(samples: &[Sample]) -> Vec<Sample> {
    samples.iter().filter(|sample| sample.is_above_bound()).cloned().collect()
}

/// Errors of everything that was left out.
struct HeldOut {
    in_sample: Vec<Held>,
    model: Vec<Held>,
    machine: Vec<Held>,
    three: Vec<Held>,
}

fn held_out(stage: &Stage) -> (Errors, HeldOut) {
    let machine = stage.leave_out(|sample| sample.machine.name.clone());
    let held = HeldOut {
        in_sample: stage.in_sample(),
        model: stage.leave_out(|sample| sample.model.clone()),
        three: few_rows(stage, &machine, 3),
        machine,
    };
    let errors = Errors {
        in_sample: median_percent(&held.in_sample),
        unseen_model: median_percent(&held.model),
        unseen_machine: median_percent(&held.machine),
        three_rows: median_percent(&held.three),
    };
    (errors, held)
}

fn few_of(stage: &Stage, machine: &[Held], rows: usize) -> Few {
    let held = few_rows(stage, machine, rows);
    Few { rows, median: median_percent(&held), p90: percentile(&held, 0.9) }
}

fn bands_of(stage: &Stage, held: &HeldOut, nominal: f64) -> Bands {
    let machine = |sample: &Sample| sample.machine.name.clone();
    let known: Vec<Held> =
        held.model.iter().filter(|held| stage.is_machine_known(held.index)).copied().collect();
    Bands {
        calibrated: bands(&stage.samples, &held.three, machine, nominal),
        machine: bands(&stage.samples, &known, |sample| sample.model.clone(), nominal),
        class: bands(&stage.samples, &held.machine, machine, nominal),
    }
}

fn decode_table(stage: &Stage, held: &HeldOut) -> Table {
    let samples = &stage.samples;
    let mut lines = decode_lines(samples);
    let source = stage.leave_out(|sample| sample.author().to_owned());
    let folds = cross::folds(samples.len());
    let random = stage.leave_out_indexed(|index| folds[index]);
    for (name, held) in [
        ("ours, in sample", &held.in_sample),
        ("ours, a random tenth left out", &random),
        (UNSEEN_MODEL, &held.model),
        (UNSEEN_MACHINE, &held.machine),
        (THREE_ROWS, &held.three),
        ("ours, source left out", &source),
    ] {
        lines.push(line(name, samples, held));
    }
    Table { columns: table::columns(samples), lines }
}

const UNSEEN_MODEL: &str = "ours, model left out";
const UNSEEN_MACHINE: &str = "ours, machine left out";
const THREE_ROWS: &str = "ours, machine left out but for three rows";

fn prefill_table(stage: &Stage, held: &HeldOut, all: &[Sample]) -> Table {
    let samples = &stage.samples;
    let others: Vec<&Sample> = all.iter().filter(|sample| sample.is_other_prefill()).collect();
    let unfitted = stage.predict_prefill(&others);
    let lines = vec![
        line("30 % of the peak at every depth", samples, &naive_prefill(samples)),
        line("ours, in sample", samples, &held.in_sample),
        line(UNSEEN_MODEL, samples, &held.model),
        line(UNSEEN_MACHINE, samples, &held.machine),
        line(THREE_ROWS, samples, &held.three),
        line("ours, engines that were never fitted", &others, &unfitted),
    ];
    Table { columns: table::columns(samples), lines }
}

/// Measurements held out for good: nothing is fitted to them.
fn decode_holdout(stage: &Stage, all: &[Sample]) -> Table {
    let samples: Vec<&Sample> = all.iter().filter(|sample| sample.is_decode_held_out()).collect();
    let lines = vec![
        usual_share(&samples),
        line("ours, fitted without them", &samples, &stage.predict_decode(&samples)),
    ];
    Table { columns: table::columns(&samples), lines }
}

fn prefill_holdout(stage: &Stage, all: &[Sample]) -> Table {
    let samples: Vec<&Sample> = all.iter().filter(|sample| sample.is_prefill_held_out()).collect();
    let lines = vec![
        line("30 % of the peak at every depth", &samples, &naive_prefill(&samples)),
        line("ours, fitted without them", &samples, &stage.predict_prefill(&samples)),
    ];
    Table { columns: table::columns(&samples), lines }
}

/// What holds of measurements that the fit never saw: as of an unseen machine, since most of them
/// are of such.
fn holdout_targets(decode: &Table, prefill: &Table) -> Vec<Target> {
    let target = |what: &str, table: &Table, limit: f64| {
        let found = table.lines.last().and_then(|line| line.medians.first().copied().flatten());
        let rows = table.columns.first().map_or(0, |column| column.rows);
        let found = found.unwrap_or(f64::INFINITY);
        Target {
            name: format!("{what} of the {rows} measurements held out at most {limit} %"),
            found: format!("{found:.1} %"),
            is_met: found <= limit,
            is_known_miss: false,
        }
    };
    vec![target("decode", decode, 13.0), target("prefill", prefill, 20.0)]
}

fn targets(coefficients: &Coefficients, table: &Table) -> Vec<Target> {
    let (decode, prefill) = (&coefficients.decode, &coefficients.prefill);
    let mut targets = Vec::new();
    let most = |name: &str, found: f64, limit: f64| Target {
        name: format!("{name} at most {limit} %"),
        found: format!("{found:.1} %"),
        is_met: found <= limit,
        is_known_miss: false,
    };
    targets.push(most("decode of an unseen model", decode.errors.unseen_model, 8.0));
    targets.push(most("decode of an unseen machine", decode.errors.unseen_machine, 13.0));
    targets.push(most("decode after three rows", decode.errors.three_rows, 8.5));
    targets.push(most("prefill of an unseen model", prefill.errors.unseen_model, 20.0));
    for (name, bands) in [("decode", decode.bands), ("prefill", prefill.bands)] {
        for (tier, band) in
            [("calibrated", bands.calibrated), ("machine", bands.machine), ("class", bands.class)]
        {
            targets.push(Target {
                name: format!("{name} range ({tier}) holds at least 85 %"),
                found: format!("{:.1} %", band.covered),
                is_met: band.covered >= 85.0,
                is_known_miss: false,
            });
        }
    }
    for name in [UNSEEN_MODEL, UNSEEN_MACHINE, THREE_ROWS] {
        targets.push(against_others(name, table));
    }
    targets
}

/// Columns in which another way is better. This list may only shrink.
const KNOWN_MISSES: &[(&str, &str)] = &[];

/// Whether no published way is better in any column, or as good.
fn against_others(name: &str, table: &Table) -> Target {
    let best = fewest_errors(table);
    let behind: Vec<String> = table
        .columns_of(name)
        .filter(|(column, ours)| best[column.index] <= *ours)
        .map(|(column, ours)| {
            format!("{} {ours:.1} against {:.1}", column.name, best[column.index])
        })
        .collect();
    Target {
        name: format!("{name}: better than what is published, in every column"),
        found: if behind.is_empty() {
            "all".to_owned()
        } else {
            format!("all but {}", behind.join(", "))
        },
        is_met: behind.is_empty(),
        is_known_miss: KNOWN_MISSES.contains(&(name, behind.join(", ").as_str())),
    }
}
