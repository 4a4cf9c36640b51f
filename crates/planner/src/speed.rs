//! How fast a machine reads prompts and writes answers: a bound that nothing can pass, what to
//! expect, and how far measurements of such a kind were from it.
//!
//! Formulas and evidence: `docs/planner.md`. What is known of machines of every class is fitted to
//! published measurements (`fit`); measurements of the machine itself replace it
//! ([`Calibration`]).

mod calibration;
mod coefficients;
mod decode;
mod demand;
mod kernels;
mod prefill;

#[cfg(test)]
mod tests;

pub use calibration::{Calibration, Measured};
pub use coefficients::Coefficients;
pub use demand::{Demand, TypeDemand};
pub use kernels::{FormatTimes, Kernels, ReadRate, RowsTime, WalkTime};

pub(crate) use calibration::{
    DECODE_NOISE, DECODE_SPREAD, PREFILL_NOISE, PREFILL_SPREAD, median, shrunk_mean,
};
pub(crate) use coefficients::{
    Band, Bands, Batch, DecodeCoefficients, Engines, Errors, Known, LayerTimes, MachineFactors,
    PrefillAttention, PrefillCoefficients, PrefillCompute, Range, ReadTimes, compute_class,
    read_class,
};
pub(crate) use decode::{bound_s, decode_terms, step_s};
pub(crate) use prefill::{REFERENCE_TFLOPS, compute_bound_s, prefill_terms, token_s};

use serde::Serialize;

use calibration::Factor;

use crate::machine::{Class, Machine, MemoryKind};

/// Least and most of several conversations at once, as a share of the estimate: they were measured
/// on one machine only.
const BATCH_RANGE: Range = Range { low: 0.6, high: 1.5 };

/// Boxes that split layers are as fast as one of them; those that split every matrix were 20 to
/// 30 % faster at one conversation.
const LINKED_HIGH: f64 = 1.3;

/// Of a machine without measurements of its own, these are enough to narrow the range.
const CALIBRATED_ROWS: usize = 3;

/// How much is known of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Three or more measurements were made on this very machine.
    Calibrated,
    /// There are measurements of such a machine, with other models.
    Machine,
    /// Only other machines of its class were measured.
    Class,
}

/// What runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// hob, llama.cpp, MLX: programs for one conversation.
    Plain,
    /// Ollama, LM Studio: what wraps another engine.
    Wrapper,
    /// vLLM, SGLang, TensorRT-LLM: servers for many conversations.
    Server,
}

/// What the machine has of what a model needs: those of one box or card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Site {
    /// How well bandwidth is used.
    pub(crate) class: Class,
    /// Whether it is of Apple's with memory before LPDDR5X.
    pub(crate) is_early_apple: bool,
    /// Bandwidth by specification, GB/s.
    pub(crate) bandwidth_gbs: f64,
    /// Arithmetic with 16-bit floats, TFLOP/s.
    pub(crate) fp16_tflops: Option<f64>,
}

/// What happens at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Positions before the token, of every conversation.
    pub(crate) context: u64,
    /// Conversations.
    pub(crate) users: u32,
}

/// A speed, tokens per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// What physics allows a conversation: weights and cache are read once for each token, or, of a
    /// prompt, every weight is multiplied once in 16-bit floats.
    pub bound_tps: f64,
    /// What to expect of each conversation.
    pub tps: f64,
    /// The same of all conversations together.
    pub total_tps: f64,
    /// Least of a range that holds nine of ten measurements, of each conversation.
    pub low_tps: f64,
    /// Most of it; never above the bound.
    pub high_tps: f64,
    /// What it rests on.
    pub tier: Tier,
}

/// How long until the first token, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// What to expect.
    pub seconds: f64,
    /// Least of the range.
    pub low_s: f64,
    /// Most of the range.
    pub high_s: f64,
    /// What it rests on.
    pub tier: Tier,
}

/// Predicts the speed of models on one machine.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    coefficients: &'a Coefficients,
    machine: &'a Machine,
    engine: Engine,
    calibration: Calibration,
}

impl<'a> Predictor<'a> {
    /// From what is known of such machines.
    #[must_use]
    pub fn new(coefficients: &'a Coefficients, machine: &'a Machine, engine: Engine) -> Self {
        Predictor { coefficients, machine, engine, calibration: Calibration::default() }
    }

    /// With what was measured on the machine itself, which replaces what is known of its like.
    #[must_use]
    pub fn calibrated(self, calibration: Calibration) -> Self {
        Predictor { calibration, ..self }
    }

    /// How fast each of so many conversations is written, so many positions deep.
    #[must_use]
    pub fn decode(&self, demand: &Demand, context: u64, users: u32) -> Estimate {
        let load = Load { context, users: users.max(1) };
        let known = self.coefficients.decode_factor(self.machine);
        let (factor, tier) = self.factor(self.calibration.decode_factor(demand, context), known);
        let decode = &self.coefficients.decode;
        let power = decode.batch.touched_power;
        let (seconds, bound_s) = match self.calibration.kernels() {
            Some(kernels) => {
                let bound_s = kernels.bound_s(demand, load, power);
                ((kernels.step_s(demand, load, power) * factor).max(bound_s), bound_s)
            }
            None => {
                let factor = factor * decode.engine.of(self.engine);
                let seconds = step_s(decode, &self.site(), demand, load, factor);
                (seconds, bound_s(demand, load, decode.batch, self.machine.bandwidth_gbs))
            }
        };
        let mut range = decode.bands.of(tier, self.machine.class);
        if load.users > 1 {
            range = range.widened(BATCH_RANGE);
        }
        self.estimate(seconds, bound_s, range, tier).of_users(load.users)
    }

    /// How fast a prompt of so many new tokens is read after so many that are cached; none where
    /// the machine's arithmetic is not known.
    #[must_use]
    pub fn prefill(&self, demand: &Demand, cached: u64, new: u64) -> Option<Estimate> {
        let site = self.site();
        let known = self.coefficients.prefill_factor(self.machine);
        // The time of a token grows evenly with its depth, so the middle stands for all.
        let depth = cached + new / 2;
        let (factor, tier) = self.factor(self.calibration.prefill_factor(demand, depth), known);
        let prefill = &self.coefficients.prefill;
        let bound_s = compute_bound_s(demand, self.machine.fp16_tflops?);
        let seconds = match self.calibration.kernels() {
            Some(kernels) => (kernels.token_s(demand, depth, new) * factor).max(bound_s),
            None => token_s(prefill, &site, demand, depth, factor)?,
        };
        let range = prefill.bands.of(tier, self.machine.class);
        Some(self.estimate(seconds, bound_s, range, tier))
    }

    /// How long until the first token of an answer, with nobody before: the prompt is read, and one
    /// token written.
    #[must_use]
    pub fn time_to_first_token(&self, demand: &Demand, cached: u64, new: u64) -> Option<Wait> {
        let read = self.prefill(demand, cached, new)?;
        let written = self.decode(demand, cached + new, 1);
        let new = new as f64;
        Some(Wait {
            seconds: new / read.tps + 1.0 / written.tps,
            low_s: new / read.high_tps + 1.0 / written.high_tps,
            high_s: new / read.low_tps + 1.0 / written.low_tps,
            tier: read.tier,
        })
    }

    fn site(&self) -> Site {
        Site::of_one(self.machine)
    }

    /// The machine's own factor of time, and what it rests on.
    fn factor(&self, measured: Option<Factor>, known: Known) -> (f64, Tier) {
        let (factor, tier) = match measured {
            Some(own) if own.rows >= CALIBRATED_ROWS || self.calibration.kernels().is_some() => {
                (own.time, Tier::Calibrated)
            }
            Some(own) => (own.time, Tier::Machine),
            None => (known.time, known.tier),
        };
        let linked = self.machine.count > 1 && measured.is_none();
        (factor, if linked { Tier::Class } else { tier })
    }

    fn estimate(&self, seconds: f64, bound_s: f64, range: Range, tier: Tier) -> Estimate {
        let bound_tps = 1.0 / bound_s;
        let tps = (1.0 / seconds).min(bound_tps);
        let linked = if self.machine.count > 1 { LINKED_HIGH } else { 1.0 };
        Estimate {
            bound_tps,
            tps,
            total_tps: tps,
            low_tps: tps * range.low,
            high_tps: (tps * range.high * linked).min(bound_tps),
            tier,
        }
    }
}

impl Estimate {
    /// What it is where everything takes so many times longer; the bound stays one.
    pub(crate) fn slowed(self, by: f64) -> Estimate {
        Estimate {
            tps: self.tps / by,
            total_tps: self.total_tps / by,
            low_tps: self.low_tps / by,
            high_tps: self.high_tps / by,
            ..self
        }
    }

    fn of_users(self, users: u32) -> Estimate {
        Estimate { total_tps: self.tps * f64::from(users), ..self }
    }
}

impl Wait {
    /// What it is where everything takes so many times longer.
    pub(crate) fn slowed(self, by: f64) -> Wait {
        let (seconds, low_s, high_s) = (self.seconds * by, self.low_s * by, self.high_s * by);
        Wait { seconds, low_s, high_s, ..self }
    }
}

impl Site {
    /// One box or card of a machine: layers that are split between several pass one after another.
    pub(crate) fn of_one(machine: &Machine) -> Site {
        let count = f64::from(machine.count.max(1));
        let is_early = |kind| kind != MemoryKind::Lpddr5x;
        Site {
            class: machine.class,
            is_early_apple: machine.class == Class::Apple
                && machine.memory_kind.is_some_and(is_early),
            bandwidth_gbs: machine.bandwidth_gbs / count,
            fp16_tflops: machine.fp16_tflops.map(|tflops| tflops / count),
        }
    }
}

impl Engine {
    /// From its published name, e.g. `Ollama/Vulkan` or `vLLM 0.26`.
    #[must_use]
    pub fn from_name(name: &str) -> Engine {
        let name = name.to_ascii_lowercase();
        let starts = |names: &[&str]| names.iter().any(|known| name.starts_with(known));
        if starts(&["ollama", "lm studio"]) {
            Engine::Wrapper
        } else if starts(&["vllm", "sglang", "trt-llm", "tensorrt"]) {
            Engine::Server
        } else {
            Engine::Plain
        }
    }
}
