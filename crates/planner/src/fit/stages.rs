//! Writing and reading prompts as two problems of one form, and from a solution to coefficients.

use super::cross::{Held, leave_out};
use super::parameters::{Parameter, Parameters};
use super::regression::{Equation, Problem};
use super::sample::{ALONE, Sample};
use crate::machine::Class;
use crate::speed::{
    Bands, DECODE_NOISE, DECODE_SPREAD, DecodeCoefficients, Engine, Engines, Errors, LayerTimes,
    MachineFactors, PREFILL_NOISE, PREFILL_SPREAD, PrefillAttention, PrefillCoefficients,
    PrefillCompute, ReadTimes, Site, bound_s, compute_bound_s,
};

/// Steps from the priors; from a solution to that without a group fewer do.
const STEPS_MAX: usize = 25;

/// A problem and its solution.
pub(super) struct Stage<'a> {
    /// What was fitted.
    pub(super) samples: Vec<&'a Sample>,
    /// The problem.
    pub(super) problem: Problem,
    /// Its solution.
    pub(super) solution: Vec<f64>,
    /// Logarithms of times that no estimate may go below.
    pub(super) log_bounds: Vec<f64>,
    /// How one machine's measurements and machines spread.
    pub(super) spread: Spread,
    parameters: Parameters<'a>,
}

/// In logarithms of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// Measurements of one machine.
    pub(super) noise: f64,
    /// Machines of one class.
    pub(super) machines: f64,
}

impl<'a> Stage<'a> {
    /// Seconds of a token of an answer.
    pub(super) fn decode(samples: &[&'a Sample]) -> Stage<'a> {
        let spread = Spread { noise: DECODE_NOISE, machines: DECODE_SPREAD };
        let mut parameters = Parameters::default();
        let equations = weighted(samples, |sample| {
            (parameters.decode_terms(sample), sample.decode_tps.expect("only such are fitted"))
        });
        let bound = |sample: &&Sample| {
            bound_s(&sample.demand, sample.load(), ALONE, sample.site().bandwidth_gbs).ln()
        };
        let log_bounds = samples.iter().map(bound).collect();
        Stage::solved(samples, equations, log_bounds, (spread, parameters))
    }

    /// Seconds of a token of a prompt.
    pub(super) fn prefill(samples: &[&'a Sample]) -> Stage<'a> {
        let spread = Spread { noise: PREFILL_NOISE, machines: PREFILL_SPREAD };
        let mut parameters = Parameters::default();
        let equations = weighted(samples, |sample| {
            (parameters.prefill_terms(sample), sample.prefill_tps.expect("only such are fitted"))
        });
        let bound = |sample: &&Sample| {
            let tflops = sample.site().fp16_tflops.expect("only such are fitted");
            compute_bound_s(&sample.demand, tflops).ln()
        };
        let log_bounds = samples.iter().map(bound).collect();
        Stage::solved(samples, equations, log_bounds, (spread, parameters))
    }

    fn solved(
        samples: &[&'a Sample],
        equations: Vec<Equation>,
        log_bounds: Vec<f64>,
        (spread, parameters): (Spread, Parameters<'a>),
    ) -> Stage<'a> {
        let problem = Problem { priors: parameters.priors(), equations, noise: spread.noise };
        let solution = problem.solve(&problem.start(), STEPS_MAX, |_| false);
        Stage { samples: samples.to_vec(), problem, solution, log_bounds, spread, parameters }
    }

    /// Errors of what was fitted.
    pub(super) fn in_sample(&self) -> Vec<Held> {
        let logs = self.problem.equations.iter().map(|equation| equation.log_at(&self.solution));
        logs.enumerate().map(|(index, log)| self.held(index, log)).collect()
    }

    /// Errors of each group by a fit to all others.
    pub(super) fn leave_out<K: Ord>(&self, key: impl Fn(&Sample) -> K) -> Vec<Held> {
        self.leave_out_indexed(|index| key(self.samples[index]))
    }

    pub(super) fn leave_out_indexed<K: Ord>(&self, key: impl Fn(usize) -> K) -> Vec<Held> {
        let keys: Vec<K> = (0..self.samples.len()).map(key).collect();
        let logs = leave_out(&self.problem, &self.solution, &keys);
        logs.into_iter().enumerate().map(|(index, log)| self.held(index, log)).collect()
    }

    /// The error of an estimated time.
    pub(super) fn held(&self, index: usize, log_estimate: f64) -> Held {
        let measured = self.problem.equations[index].log_time;
        Held {
            index,
            unbounded: measured - log_estimate,
            error: measured - log_estimate.max(self.log_bounds[index]),
        }
    }

    /// Whether its machine was measured with another model too.
    pub(super) fn is_machine_known(&self, index: usize) -> bool {
        let own = self.samples[index];
        let is_other = |s: &&&Sample| s.machine.name == own.machine.name && s.model != own.model;
        self.samples.iter().find(is_other).is_some()
    }

    /// Errors of answers that were not fitted.
    pub(super) fn predict_decode(&self, others: &[&Sample]) -> Vec<Held> {
        let other = Stage::decode(others);
        let solution = other.parameters.translated(&self.parameters, &self.solution);
        let logs = other.problem.equations.iter().map(|equation| equation.log_at(&solution));
        logs.enumerate().map(|(index, log)| other.held(index, log)).collect()
    }

    /// Errors of prompts that were not fitted.
    pub(super) fn predict_prefill(&self, others: &[&Sample]) -> Vec<Held> {
        let mut parameters = Parameters::default();
        let equations = weighted(others, |sample| {
            (parameters.prefill_terms(sample), sample.prefill_tps.expect("only such are asked"))
        });
        let solution = parameters.translated(&self.parameters, &self.solution);
        let errors =
            equations.iter().map(|equation| equation.log_time - equation.log_at(&solution));
        errors.enumerate().map(|(index, error)| Held { index, unbounded: error, error }).collect()
    }

    fn value(&self, parameter: Parameter) -> f64 {
        self.parameters.value(&self.solution, parameter)
    }

    fn factor(&self, parameter: Parameter) -> f64 {
        self.value(parameter).exp()
    }

    /// Of a solution for writing.
    pub(super) fn decode_coefficients(&self, errors: Errors, bands: Bands) -> DecodeCoefficients {
        let read = |class| self.factor(Parameter::Read(class));
        DecodeCoefficients {
            rows: self.samples.len() as u64,
            overhead_bits: self.factor(Parameter::OverheadBits),
            expert_layers: self.factor(Parameter::ExpertLayers),
            no_flash_attention: self.factor(Parameter::NoFlashKv),
            early_apple: self.factor(Parameter::EarlyApple),
            read: ReadTimes {
                gb10: read(Class::Gb10),
                strix_halo: read(Class::StrixHalo),
                apple: read(Class::Apple),
                nvidia: read(Class::Nvidia),
                nvidia_hbm: read(Class::NvidiaHbm),
                nvidia_legacy: read(Class::NvidiaLegacy),
                amd: read(Class::Amd),
                integrated_gpu: read(Class::IntegratedGpu),
                cpu: read(Class::Cpu),
            },
            layer: LayerTimes {
                apple_us: 1e6 * self.factor(Parameter::AppleLayer),
                other_us: 1e6 * self.factor(Parameter::OtherLayer),
            },
            engine: Engines {
                wrapper: self.factor(Parameter::Engine(Engine::Wrapper)),
                server: self.factor(Parameter::Engine(Engine::Server)),
            },
            batch: ALONE,
            errors,
            bands,
        }
    }

    /// Of a solution for reading prompts.
    pub(super) fn prefill_coefficients(&self, errors: Errors, bands: Bands) -> PrefillCoefficients {
        let compute = |class| self.factor(Parameter::Compute(class));
        PrefillCoefficients {
            rows: self.samples.len() as u64,
            experts: self.factor(Parameter::PromptExperts),
            size_power: self.value(Parameter::SizePower),
            compute: PrefillCompute {
                gb10: compute(Class::Gb10),
                apple: compute(Class::Apple),
                nvidia: compute(Class::Nvidia),
                amd: compute(Class::Amd),
                cpu: compute(Class::Cpu),
            },
            attention: PrefillAttention {
                amd: self.factor(Parameter::AmdAttention),
                other: self.factor(Parameter::OtherAttention),
                no_flash: self.factor(Parameter::NoFlashAttention),
            },
            errors,
            bands,
        }
    }

    fn rows_of(&self, machine: &str) -> u64 {
        self.samples.iter().filter(|sample| sample.machine.name == machine).count() as u64
    }
}

/// Measurements made twice count as `sqrt(2)`.
fn weighted<'a>(
    samples: &[&'a Sample],
    mut equation: impl FnMut(&'a Sample) -> (Vec<super::regression::Term>, f64),
) -> Vec<Equation> {
    let each = samples.iter().map(|sample| {
        let (terms, tps) = equation(sample);
        let repeats = samples.iter().filter(|other| sample.repeats(other)).count();
        Equation { terms, log_time: -tps.ln(), weight: 1.0 / (repeats as f64).sqrt() }
    });
    each.collect()
}

/// A factor for each machine that was measured, by name.
pub(super) fn machine_factors(decode: &Stage, prefill: &Stage) -> Vec<MachineFactors> {
    let all = decode.samples.iter().chain(&prefill.samples);
    let mut machines: Vec<_> = all.map(|sample| sample.machine).collect();
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    machines.dedup_by(|a, b| a.name == b.name);
    let row = |machine: &crate::machine::Machine| {
        let site = Site::of_one(machine);
        let name = machine.name.as_str();
        let (decode_rows, prefill_rows) = (decode.rows_of(name), prefill.rows_of(name));
        let written = || decode.factor(Parameter::DecodeMachine(name));
        let read = || prefill.factor(Parameter::PrefillMachine(name));
        MachineFactors {
            name: machine.name.clone(),
            class: machine.class,
            bandwidth_gbs: site.bandwidth_gbs,
            fp16_tflops: site.fp16_tflops,
            decode: (decode_rows > 0).then(written),
            decode_rows,
            prefill: (prefill_rows > 0).then(read),
            prefill_rows,
        }
    };
    machines.into_iter().map(row).collect()
}
