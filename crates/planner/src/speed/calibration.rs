//! What measurements of one machine say of it: times of its kernels, and a factor of time for
//! writing and one for reading from models that ran, drawn towards 1 the fewer they are.
//!
//! Beside kernels, a model that ran says most of models of its size: a small one of the caches, a
//! large one of memory.

use super::coefficients::Coefficients;
use super::demand::Demand;
use super::kernels::Kernels;
use super::{Engine, Load, Site, step_s, token_s};
use crate::machine::Machine;

/// Spread of one machine's measurements about its factor, in logarithms of time.
pub(crate) const DECODE_NOISE: f64 = 0.10;
/// Spread of the factors of machines.
pub(crate) const DECODE_SPREAD: f64 = 0.15;
/// The same of prompts.
pub(crate) const PREFILL_NOISE: f64 = 0.20;
/// The same of prompts.
pub(crate) const PREFILL_SPREAD: f64 = 0.20;
/// Spread of models about what the kernels of their formats say, as far as it was seen: within a
/// tenth.
const KERNELS_SPREAD: f64 = 0.10;
/// How far from its size, as a logarithm, a model's measurement counts for 0.6: a factor of two.
const SIZE_REACH: f64 = 0.7;

/// A measurement of one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// What the model asks for.
    pub demand: &'a Demand,
    /// Positions before the tokens that were timed.
    pub context: u64,
    /// Tokens of the prompt that was read.
    pub prompt: u64,
    /// How fast a prompt was read, tokens per second.
    pub prefill_tps: Option<f64>,
    /// How fast an answer was written, tokens per second.
    pub decode_tps: Option<f64>,
}

/// How much of the usual time a machine takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor {
    /// 1 is usual; more is slower.
    pub(crate) time: f64,
    /// How many measurements say so.
    pub(crate) rows: usize,
}

/// What measurements of one machine say of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    kernels: Option<Kernels>,
    decode: Vec<Residual>,
    prefill: Vec<Residual>,
}

/// A model that ran.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Residual {
    /// Logarithm of the bytes that a token reads.
    log_bytes: f64,
    /// Logarithm of measured over usual time.
    log_time: f64,
}

impl Calibration {
    /// From measurements of this machine with one engine; speeds that are no positive number are
    /// passed over.
    #[must_use]
    pub fn from_rows(
        coefficients: &Coefficients,
        machine: &Machine,
        engine: Engine,
        rows: &[Measured],
    ) -> Calibration {
        let site = Site::of_one(machine);
        let usual = coefficients.decode.engine.of(engine);
        let decode = |row: &Measured| {
            let load = Load { context: row.context, users: 1 };
            Some(step_s(&coefficients.decode, &site, row.demand, load, usual))
        };
        let prefill =
            |row: &Measured| token_s(&coefficients.prefill, &site, row.demand, row.context, 1.0);
        Calibration::of(None, rows, decode, prefill)
    }

    /// From times of the machine's kernels, and models that ran on it.
    #[must_use]
    pub fn from_kernels(kernels: Kernels, rows: &[Measured]) -> Calibration {
        let decode = |row: &Measured| {
            Some(kernels.step_s(row.demand, Load { context: row.context, users: 1 }, 1.0))
        };
        let prefill = |row: &Measured| {
            let depth = row.context + row.prompt / 2;
            Some(kernels.token_s(row.demand, depth, row.prompt))
        };
        let found = Calibration::of(None, rows, decode, prefill);
        Calibration { kernels: Some(kernels), ..found }
    }

    fn of(
        kernels: Option<Kernels>,
        rows: &[Measured],
        decode: impl Fn(&Measured) -> Option<f64>,
        prefill: impl Fn(&Measured) -> Option<f64>,
    ) -> Calibration {
        let residual = |row: &Measured, tps: Option<f64>, usual_s: Option<f64>| {
            let load = Load { context: row.context, users: 1 };
            let log_time = log_ratio(tps?, usual_s?)?;
            Some(Residual { log_bytes: log_bytes(row.demand, load.context), log_time })
        };
        let written = rows.iter().filter_map(|row| residual(row, row.decode_tps, decode(row)));
        let read = rows.iter().filter_map(|row| residual(row, row.prefill_tps, prefill(row)));
        Calibration { kernels, decode: written.collect(), prefill: read.collect() }
    }

    /// How many measurements of models that wrote there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.decode.len()
    }

    /// Times of the machine's kernels, where they were measured.
    #[must_use]
    pub fn kernels(&self) -> Option<&Kernels> {
        self.kernels.as_ref()
    }

    pub(super) fn decode_factor(&self, demand: &Demand, context: u64) -> Option<Factor> {
        self.factor(&self.decode, log_bytes(demand, context), (DECODE_NOISE, DECODE_SPREAD))
    }

    pub(super) fn prefill_factor(&self, demand: &Demand, context: u64) -> Option<Factor> {
        self.factor(&self.prefill, log_bytes(demand, context), (PREFILL_NOISE, PREFILL_SPREAD))
    }

    fn factor(
        &self,
        rows: &[Residual],
        log_bytes: f64,
        (noise, spread): (f64, f64),
    ) -> Option<Factor> {
        if self.kernels.is_none() {
            let logs: Vec<(f64, f64)> = rows.iter().map(|row| (row.log_time, 1.0)).collect();
            let time = weighted_mean(&logs, noise, spread)?.exp();
            return Some(Factor { time, rows: rows.len() });
        }
        let near = |row: &Residual| {
            let apart = (row.log_bytes - log_bytes) / SIZE_REACH;
            (row.log_time, (-0.5 * apart * apart).exp())
        };
        let logs: Vec<(f64, f64)> = rows.iter().map(near).collect();
        let time = weighted_mean(&logs, KERNELS_SPREAD, KERNELS_SPREAD).map_or(1.0, f64::exp);
        Some(Factor { time, rows: rows.len() })
    }
}

/// Of the bytes that a token reads.
fn log_bytes(demand: &Demand, context: u64) -> f64 {
    let bytes = demand.dense_bytes + demand.routed_bytes() + demand.kv_bytes(context, 1.0);
    bytes.max(1.0).ln()
}

/// Logarithm of measured over usual time.
fn log_ratio(measured_tps: f64, usual_s: f64) -> Option<f64> {
    (measured_tps > 0.0 && measured_tps.is_finite()).then(|| -(measured_tps * usual_s).ln())
}

/// Mean about the median with outliers counting less (Huber), drawn to zero as if there were
/// `(noise / spread)^2` more rows that say zero.
pub(crate) fn shrunk_mean(logs: &[f64], noise: f64, spread: f64) -> Option<f64> {
    let weighted: Vec<(f64, f64)> = logs.iter().map(|log| (*log, 1.0)).collect();
    weighted_mean(&weighted, noise, spread)
}

/// The same of logarithms of which some count less than 1.
fn weighted_mean(logs: &[(f64, f64)], noise: f64, spread: f64) -> Option<f64> {
    let middle = median(&logs.iter().map(|(log, _)| *log).collect::<Vec<_>>())?;
    let (mut sum, mut weights) = (0.0, (noise / spread).powi(2));
    for (log, own) in logs {
        let weight = own / ((log - middle).abs() / noise).max(1.0);
        sum += weight * log;
        weights += weight;
    }
    Some(sum / weights)
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some(f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]))
}
