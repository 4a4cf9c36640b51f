//! A measurement, with what its model asks of a machine: the model's tensors are those of the
//! table's geometry, their bytes those of the file type that was measured.

use crate::catalogue::{Flag, Measurement, measurements};
use crate::machine::{Class, Machine};
use crate::memory::KvType;
use crate::names::{find_machine, find_model};
use crate::recipe::Quantisation;
use crate::row::ModelRow;
use crate::speed::{Batch, Demand, Engine, Load, Site, bound_s};
use crate::subject::Subject;

/// Measurements with flash attention off: these readings of May 2024.
const NO_FLASH_SOURCE: &str = "XiongjieDai";

/// One conversation: the fit of several comes later.
pub(super) const ALONE: Batch = Batch { touched_power: 1.0, compute: 1.0, grouping: 1.0 };

/// What a row of another kind than one conversation in the graphics' memory would be fitted to.
const NOT_DECODE: &[Flag] = &[
    Flag::AboveRoofline,
    Flag::Holdout,
    Flag::MaybeMtp,
    Flag::MaybeOffload,
    Flag::Multi,
    Flag::Offload,
    Flag::Swapping,
];
const NOT_PREFILL: &[Flag] =
    &[Flag::Holdout, Flag::Multi, Flag::Offload, Flag::PrefillAboveComputeRoofline, Flag::Swapping];

/// Of groups of measurements, one group for each author and machine, one in so many is held out
/// for good: those whose hash it divides. They are not fitted, nor is a term chosen by them, since
/// November 2026; new measurements of these groups join them.
const HOLDOUT_ONE_IN: u64 = 8;

/// A measurement.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where.
    pub machine: &'static Machine,
    /// Name of the model's row.
    pub model: String,
    /// Type of the weights, as published.
    pub quantisation: String,
    /// What ran it, as published.
    pub engine: String,
    /// Positions before.
    pub context: u64,
    /// Prompt tokens per second.
    pub prefill_tps: Option<f64>,
    /// Tokens of an answer per second.
    pub decode_tps: Option<f64>,
    /// What the model asks for.
    pub demand: Demand,
    /// Bytes of the whole file.
    pub file_bytes: f64,
    /// When it was made, where that is known.
    pub date: Option<String>,
    /// Its line in the table's file.
    pub line: usize,
    source: String,
    flags: Vec<Flag>,
}

/// Every measurement of the table whose machine, model and file type are known.
#[must_use]
pub fn samples() -> Vec<Sample> {
    // The first line has the names of columns, and no cell has a break.
    (2..).zip(measurements()).filter_map(|(line, row)| Sample::of(row, line)).collect()
}

/// What a model of the table asks for with weights of a type, and the bytes of its file; none where
/// the type is not known.
pub(super) fn demand_of(row: &ModelRow, quantisation: &str) -> Option<(Demand, f64)> {
    let subject = Subject::of_row(row);
    let weights = subject.weights(Quantisation::from_name(quantisation)?);
    let demand = Demand::new(&subject.facts, &weights, KvType::F16);
    Some((demand, weights.total_bytes as f64))
}

impl Sample {
    fn of(row: &Measurement, line: usize) -> Option<Sample> {
        let machine = find_machine(&row.machine).ok()?;
        let (demand, file_bytes) = demand_of(find_model(&row.model).ok()?, &row.quant)?;
        Some(Sample {
            machine,
            model: row.model.clone(),
            quantisation: row.quant.clone(),
            engine: row.engine.clone(),
            context: row.context,
            prefill_tps: row.prefill_tps,
            decode_tps: row.decode_tps,
            demand,
            file_bytes,
            date: row.date.clone(),
            line,
            source: row.source.clone(),
            flags: row.flags.clone(),
        })
    }

    /// Who published it.
    pub(super) fn author(&self) -> &str {
        self.source.split([' ', '/']).next().unwrap_or_default()
    }

    pub(super) fn is_decode(&self) -> bool {
        self.is_any_decode() && !self.is_held_out()
    }

    pub(super) fn is_decode_held_out(&self) -> bool {
        self.is_any_decode() && self.is_held_out()
    }

    /// Programs for one conversation, with the kernels of the machine's class.
    pub(super) fn is_prefill(&self) -> bool {
        self.is_any_prefill() && self.has_usual_kernels() && !self.is_held_out()
    }

    pub(super) fn is_prefill_held_out(&self) -> bool {
        self.is_any_prefill() && self.has_usual_kernels() && self.is_held_out()
    }

    pub(super) fn is_other_prefill(&self) -> bool {
        self.is_any_prefill() && !self.has_usual_kernels()
    }

    fn is_held_out(&self) -> bool {
        let group = format!("{} {}", self.author(), self.machine.name);
        hash(&group).is_multiple_of(HOLDOUT_ONE_IN)
    }

    fn is_any_decode(&self) -> bool {
        self.decode_tps.is_some() && !self.has_any(NOT_DECODE) && !self.is_above_bound()
    }

    /// Tokens per second that bandwidth allows; boxes that share every matrix read at once.
    pub fn bound_tps(&self) -> f64 {
        let bandwidth_gbs = match self.has_any(&[Flag::Multi]) {
            true => self.machine.bandwidth_gbs,
            false => self.site().bandwidth_gbs,
        };
        1.0 / bound_s(&self.demand, self.load(), ALONE, bandwidth_gbs)
    }

    /// Whether it claims more than bandwidth allows: whatever was measured, it was not this.
    pub(super) fn is_above_bound(&self) -> bool {
        self.decode_tps.is_some_and(|tps| tps > self.bound_tps())
    }

    fn is_any_prefill(&self) -> bool {
        self.prefill_tps.is_some()
            && !self.has_any(NOT_PREFILL)
            && self.machine.fp16_tflops.is_some()
    }

    fn has_usual_kernels(&self) -> bool {
        let is_usual = self.engine.starts_with("llama.cpp") || self.engine == "Ollama";
        is_usual && !(self.machine.class == Class::IntegratedGpu && self.runs_on_processor())
    }

    fn has_any(&self, flags: &[Flag]) -> bool {
        self.flags.iter().any(|flag| flags.contains(flag))
    }

    pub(super) fn runs_on_processor(&self) -> bool {
        self.engine.ends_with("/CPU")
    }

    pub(super) fn has_flash_attention(&self) -> bool {
        !self.source.contains(NO_FLASH_SOURCE)
    }

    pub(super) fn engine_kind(&self) -> Engine {
        Engine::from_name(&self.engine)
    }

    /// One box or card, or the processor beside it where that ran the model.
    pub(super) fn site(&self) -> Site {
        let site = Site::of_one(self.machine);
        if self.runs_on_processor() {
            return Site { class: Class::Cpu, is_early_apple: false, ..site };
        }
        site
    }

    pub(super) fn load(&self) -> Load {
        Load { context: self.context, users: 1 }
    }

    /// Whether two are the same measurement made twice.
    pub(super) fn repeats(&self, other: &Sample) -> bool {
        self.machine.name == other.machine.name
            && self.model == other.model
            && self.quantisation == other.quantisation
            && self.context == other.context
            && self.engine == other.engine
    }
}

/// FNV-1a, 64 bits: the same on every machine.
pub(super) fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
