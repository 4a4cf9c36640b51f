//! What the fit found, as `data/coefficients.toml` holds it: times as multiples of what bandwidth
//! or arithmetic would take, how far held-out measurements were, and a factor for each machine.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize, Serializer};

use super::{Engine, Tier};
use crate::machine::{Class, Machine};

const FITTED: &str = include_str!("../../data/coefficients.toml");

static EMBEDDED: LazyLock<Coefficients> =
    LazyLock::new(|| Coefficients::from_toml(FITTED).expect("a test reads the file"));

/// What the fit found.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficients {
    /// When the newest measurement was made.
    pub date: String,
    /// Of writing.
    pub decode: DecodeCoefficients,
    /// Of reading prompts.
    pub prefill: PrefillCoefficients,
    /// Machines that were measured.
    pub machine: Vec<MachineFactors>,
}

/// Of writing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeCoefficients {
    /// Measurements that were fitted.
    pub rows: u64,
    /// Bits that each weight costs beside its own: unpacking.
    pub overhead_bits: f64,
    /// Time of a layer with experts over one without.
    pub expert_layers: f64,
    /// Time of keys and values where an engine has no flash attention, over one that has.
    pub no_flash_attention: f64,
    /// Time of Apple's machines with memory before LPDDR5X (M1 to M3) over those with it.
    pub early_apple: f64,
    /// Time of reading by class.
    pub read: ReadTimes,
    /// Time of each layer by itself.
    pub layer: LayerTimes,
    /// Time by engine.
    pub engine: Engines,
    /// Several conversations at once.
    pub batch: Batch,
    /// How far measurements were from estimates.
    pub errors: Errors,
    /// Ranges of measurements about estimates.
    pub bands: Bands,
}

/// Time of reading over what the specified bandwidth would take.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadTimes {
    /// NVIDIA GB10.
    pub gb10: f64,
    /// AMD Ryzen AI Max.
    pub strix_halo: f64,
    /// Apple's unified memory.
    pub apple: f64,
    /// NVIDIA's cards with GDDR memory.
    pub nvidia: f64,
    /// NVIDIA's cards with HBM.
    pub nvidia_hbm: f64,
    /// NVIDIA's cards before tensor cores.
    pub nvidia_legacy: f64,
    /// Cards of AMD, and of Intel: too few of those were measured.
    pub amd: f64,
    /// Graphics in the processor.
    pub integrated_gpu: f64,
    /// The processor alone.
    pub cpu: f64,
}

/// Time that a layer takes beside reading: starting kernels, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTimes {
    /// Apple's.
    pub apple_us: f64,
    /// Every other machine.
    pub other_us: f64,
}

/// Time over that of a plain engine.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Engines {
    /// Ollama, LM Studio.
    pub wrapper: f64,
    /// vLLM, SGLang, TensorRT-LLM, with one conversation.
    pub server: f64,
}

/// Several conversations at once, measured on one GB10.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// So many tokens touch as many experts as this power of them would if routed by chance; at
    /// most 1, so that one more conversation never makes others faster.
    pub touched_power: f64,
    /// Time of the arithmetic over its peak's.
    pub compute: f64,
    /// Time of experts in kernels for several tokens over those for one.
    pub grouping: f64,
}

/// Of reading prompts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillCoefficients {
    /// Measurements that were fitted.
    pub rows: u64,
    /// Time of a model with experts over a dense one of as many active weights.
    pub experts: f64,
    /// On NVIDIA's cards time goes also with this power of the peak over 125 TFLOP/s.
    pub size_power: f64,
    /// Time of weights by class.
    pub compute: PrefillCompute,
    /// Time of attention by class.
    pub attention: PrefillAttention,
    /// How far measurements were from estimates.
    pub errors: Errors,
    /// Ranges of measurements about estimates.
    pub bands: Bands,
}

/// Time of weights over what arithmetic would take at its peak.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillCompute {
    /// NVIDIA GB10.
    pub gb10: f64,
    /// Apple's.
    pub apple: f64,
    /// NVIDIA's cards.
    pub nvidia: f64,
    /// AMD's, Intel's, and graphics in the processor.
    pub amd: f64,
    /// The processor alone.
    pub cpu: f64,
}

/// Time of attention over what arithmetic would take at its peak.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillAttention {
    /// AMD's, Intel's, and graphics in the processor.
    pub amd: f64,
    /// Every other machine.
    pub other: f64,
    /// Engines without flash attention.
    pub no_flash: f64,
}

/// Median of how far estimates were from measurements that the fit did not see, percent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Of measurements that it did see.
    pub in_sample: f64,
    /// Of models that it did not see.
    pub unseen_model: f64,
    /// Of machines that it did not see.
    pub unseen_machine: f64,
    /// Of machines that it saw three measurements of.
    pub three_rows: f64,
}

/// Ranges by what is known of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// Three or more measurements of it.
    pub calibrated: Band,
    /// Measurements of its like.
    pub machine: Band,
    /// Measurements of its class.
    pub class: Band,
}

/// A range, and one for processors and graphics in them where enough were measured.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Of all others.
    pub usual: Range,
    /// Of processors and graphics in them.
    pub processor: Option<Range>,
    /// Of measurements that had no part in it, how many are inside, percent.
    pub covered: f64,
}

/// Least and most, as shares of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Least.
    pub low: f64,
    /// Most.
    pub high: f64,
}

/// A machine that was measured: how much of the usual time of its class it takes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFactors {
    /// As the table of machines calls it.
    pub name: String,
    /// Its class.
    #[serde(serialize_with = "class_name")]
    pub class: Class,
    /// Bandwidth of one box or card, GB/s: with the next it tells machines of one kind.
    pub bandwidth_gbs: f64,
    /// Arithmetic of one box or card, TFLOP/s.
    pub fp16_tflops: Option<f64>,
    /// Time of writing.
    pub decode: Option<f64>,
    /// Measurements of that.
    pub decode_rows: u64,
    /// Time of reading prompts.
    pub prefill: Option<f64>,
    /// Measurements of that.
    pub prefill_rows: u64,
}

/// As the table of machines writes it.
fn class_name<S: Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match class {
        Class::Gb10 => "gb10",
        Class::StrixHalo => "strix-halo",
        Class::Apple => "apple",
        Class::Nvidia => "nvidia",
        Class::NvidiaHbm => "nvidia-hbm",
        Class::NvidiaLegacy => "nvidia-legacy",
        Class::Amd => "amd",
        Class::Intel => "intel",
        Class::IntegratedGpu => "integrated-gpu",
        Class::Cpu => "cpu",
    })
}

/// What is known of a machine before anything is measured on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    /// Time over the usual.
    pub(crate) time: f64,
    /// What it rests on.
    pub(crate) tier: Tier,
}

impl Coefficients {
    /// Those that the program carries.
    #[must_use]
    pub fn embedded() -> &'static Coefficients {
        &EMBEDDED
    }

    /// From a file like `data/coefficients.toml`.
    ///
    /// # Errors
    /// Where the text is no such file.
    pub fn from_toml(text: &str) -> Result<Coefficients, toml::de::Error> {
        toml::from_str(text)
    }

    pub(crate) fn decode_factor(&self, machine: &Machine) -> Known {
        self.known(machine, |row| row.decode.map(|time| (time, row.decode_rows)))
    }

    pub(crate) fn prefill_factor(&self, machine: &Machine) -> Known {
        self.known(machine, |row| row.prefill.map(|time| (time, row.prefill_rows)))
    }

    /// Measurements of writing that estimates rest on: of the machine or, where it has none, of the
    /// one of its kind whose factor it is given; and of its class. Linked boxes have none of their
    /// own.
    pub(crate) fn measurements(&self, machine: &Machine) -> (u64, u64) {
        let is_of_class =
            |row: &&MachineFactors| read_class(row.class) == read_class(machine.class);
        let of_class = self.machine.iter().filter(is_of_class);
        let of_machine = match machine.count {
            0 | 1 => self.nearest(machine, |row| row.decode.map(|time| (time, row.decode_rows))),
            _ => None,
        };
        (of_machine.map_or(0, |(_, rows)| rows), of_class.map(|row| row.decode_rows).sum())
    }

    /// The machine's own factor, else that of one of its kind with most measurements. Where a class
    /// has one measured machine, its factor belongs to the class: the two cannot be told apart.
    fn known(
        &self,
        machine: &Machine,
        factor: impl Fn(&MachineFactors) -> Option<(f64, u64)>,
    ) -> Known {
        if let Some((time, _)) = self.nearest(machine, &factor) {
            return Known { time, tier: Tier::Machine };
        }
        let measured = self.machine.iter().filter_map(|row| Some((row, factor(row)?)));
        let mut classmates =
            measured.filter(|(row, _)| read_class(row.class) == read_class(machine.class));
        let time = match (classmates.next(), classmates.next()) {
            (Some((_, (time, _))), None) => time,
            _ => 1.0,
        };
        Known { time, tier: Tier::Class }
    }

    /// Factor and rows of the machine, or of one of its kind.
    fn nearest(
        &self,
        machine: &Machine,
        factor: impl Fn(&MachineFactors) -> Option<(f64, u64)>,
    ) -> Option<(f64, u64)> {
        let measured = || self.machine.iter().filter_map(|row| Some((row, factor(row)?)));
        let named = measured().find(|(row, _)| row.name == machine.name);
        let alike = measured().filter(|(row, _)| row.is_like(machine));
        let nearest = named.or_else(|| alike.max_by_key(|(_, (_, rows))| *rows));
        nearest.map(|(_, found)| found)
    }
}

impl MachineFactors {
    fn is_like(&self, machine: &Machine) -> bool {
        let count = f64::from(machine.count.max(1));
        self.class == machine.class
            && self.bandwidth_gbs == machine.bandwidth_gbs / count
            && self.fp16_tflops == machine.fp16_tflops.map(|tflops| tflops / count)
    }
}

/// The class whose coefficient of reading is used.
pub(crate) fn read_class(class: Class) -> Class {
    if class == Class::Intel { Class::Amd } else { class }
}

/// The class whose coefficient of arithmetic is used.
pub(crate) fn compute_class(class: Class) -> Class {
    match class {
        Class::Gb10 | Class::Apple | Class::Cpu => class,
        Class::Nvidia | Class::NvidiaHbm | Class::NvidiaLegacy => Class::Nvidia,
        Class::Amd | Class::Intel | Class::StrixHalo | Class::IntegratedGpu => Class::Amd,
    }
}

impl ReadTimes {
    pub(crate) fn of(&self, class: Class) -> f64 {
        match class {
            Class::Gb10 => self.gb10,
            Class::StrixHalo => self.strix_halo,
            Class::Apple => self.apple,
            Class::Nvidia => self.nvidia,
            Class::NvidiaHbm => self.nvidia_hbm,
            Class::NvidiaLegacy => self.nvidia_legacy,
            Class::Amd | Class::Intel => self.amd,
            Class::IntegratedGpu => self.integrated_gpu,
            Class::Cpu => self.cpu,
        }
    }
}

impl LayerTimes {
    /// Seconds.
    pub(crate) fn of(&self, class: Class) -> f64 {
        1e-6 * if class == Class::Apple { self.apple_us } else { self.other_us }
    }
}

impl Engines {
    pub(crate) fn of(&self, engine: Engine) -> f64 {
        match engine {
            Engine::Plain => 1.0,
            Engine::Wrapper => self.wrapper,
            Engine::Server => self.server,
        }
    }
}

impl PrefillCompute {
    pub(crate) fn of(&self, class: Class) -> f64 {
        match compute_class(class) {
            Class::Gb10 => self.gb10,
            Class::Apple => self.apple,
            Class::Nvidia => self.nvidia,
            Class::Cpu => self.cpu,
            _ => self.amd,
        }
    }
}

impl PrefillAttention {
    pub(crate) fn of(&self, class: Class) -> f64 {
        if compute_class(class) == Class::Amd { self.amd } else { self.other }
    }
}

impl Bands {
    pub(crate) fn of(&self, tier: Tier, class: Class) -> Range {
        let band = match tier {
            Tier::Calibrated => self.calibrated,
            Tier::Machine => self.machine,
            Tier::Class => self.class,
        };
        let is_processor = matches!(class, Class::Cpu | Class::IntegratedGpu);
        band.processor.filter(|_| is_processor).unwrap_or(band.usual)
    }
}

impl Range {
    pub(crate) fn widened(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}
