//! The verdict: does it fit, how fast, at what cost. Pure: what is known goes in, and comes out
//! again with every number that people ask for.

use serde::Serialize;

use crate::facts::TensorGroup;
use crate::machine::{Class, Machine};
use crate::memory::{KvType, Memory, STEP_ROWS, step_rows, sum};
use crate::recipe::Quantisation;
use crate::speed::{Calibration, Coefficients, Demand, Engine, Estimate, Predictor, Tier};
use crate::subject::Subject;
use crate::users::AtOnce;
use crate::weights::Weights;

/// Left to whatever else happens on the machine; the loader leaves as much.
pub const RESERVE_BYTES: u64 = 256 << 20;

/// An answer is read as fast as it is written from here on, tokens per second.
pub const INTERACTIVE_TPS: f64 = 10.0;

/// Prompts whose time to the first token is told.
const PROMPTS: [u64; 3] = [1 << 10, 8 << 10, 32 << 10];

/// Depths at which the rate is told.
const DEPTHS: [u64; 4] = [0, 8 << 10, 32 << 10, 128 << 10];

/// Mixes of about four bits.
const FOUR_BIT: &[&str] = &["IQ4_XS", "MXFP4_MOE", "NVFP4", "Q4_0", "Q4_K_M"];

/// Conversations at once that are tried at most.
const USERS_MAX: u64 = 64;

/// A PC around a graphics card, where nothing is said of it: 32 GiB of dual-channel DDR5.
const HOST_MEMORY_BYTES: u64 = 32 << 30;
/// What such memory really gives, bytes per second (docs/planner.md: 0.7 of 76.8 GB/s).
const HOST_BYTES_PER_S: f64 = 54e9;

/// Rates at which files reach the memory, GB/s: 63 GB took 22 to 56 s on GB10 boxes.
const GB10_LOAD_GBS: [f64; 2] = [1.1, 2.9];
/// Disks that machines of today have, GB/s by specification: NVMe of PCIe 3 and 4.
const NVME_GBS: [f64; 2] = [3.5, 7.0];
/// Times as long as the disk alone would take, least and most: direct reads with what the loader
/// does beside them (`docs/planner.md`).
const LOAD_FACTORS: [f64; 2] = [1.2, 2.5];

/// What is wished for of a model on a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Positions of each conversation.
    pub context: u64,
    /// Conversations at once.
    pub users: u64,
    /// How keys and values are kept.
    pub kv: KvType,
    /// How weights are stored.
    pub quantisation: Quantisation,
    /// What runs it.
    pub engine: Engine,
}

/// What a machine is to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Fit {
    /// Not at all: the memory is too small.
    #[serde(rename = "no")]
    No,
    /// Some layers stay in the PC's own memory.
    #[serde(rename = "partly on the CPU")]
    Partly,
    /// It runs, slower than one reads.
    #[serde(rename = "runs")]
    Runs,
    /// It runs at ten tokens a second and more.
    #[serde(rename = "runs well")]
    Well,
}

/// Everything that is said of a model on a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Name of the model.
    pub model: String,
    /// Name of the machine.
    pub machine: String,
    /// Name of the mix of types.
    pub quant: String,
    /// Size of the file to download.
    pub file_bytes: u64,
    /// Whether bytes of weights are exact, or from means over files.
    pub weights_exact: bool,
    /// Positions of each conversation.
    pub context: u64,
    /// Most positions that the model was trained for.
    pub context_max: u64,
    /// Conversations at once.
    pub users: u64,
    /// How keys and values are kept.
    pub kv: &'static str,
    /// In one word.
    pub verdict: Fit,
    /// What it takes.
    pub memory: Memory,
    /// Keys and values of one more position of a conversation.
    pub kv_bytes_per_token: u64,
    /// How fast it is with the whole context in use; where it does not fit, how fast it would be.
    pub speed: Speed,
    /// Rates of one conversation at depths up to the model's.
    pub depths: Vec<Depth>,
    /// Times to the first token of prompts, with nobody before.
    pub first_token: Vec<FirstToken>,
    /// Conversations that fit, all writing at once, each at ten tokens a second and more.
    pub users_max: u64,
    /// People who ask now and then, by simulation; none where nobody simulated.
    pub people: Option<AtOnce>,
    /// Seconds to load it, most and least.
    pub load_s: [f64; 2],
    /// Rates that these rest on, GB/s, least and most.
    pub load_gbs: [f64; 2],
    /// Whose rates they are.
    pub load_from: LoadFrom,
    /// What it draws.
    pub power: Option<Power>,
    /// What the rates rest on.
    pub evidence: Evidence,
    /// What a token must read and pass, for those who want to follow the figures.
    pub token: Token,
    /// Licence of the weights.
    pub licence: String,
}

/// What the time to load rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadFrom {
    /// The disk of this machine, as it was measured.
    ThisDisk,
    /// Loads on such boxes.
    SuchBoxes,
    /// What NVMe disks are specified for.
    NvmeDisks,
}

/// What one token costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Token {
    /// Weights of the model.
    pub parameters: u64,
    /// Weights that a token passes.
    pub active: u64,
    /// Bytes of weights that a token reads.
    pub weights_bytes: u64,
    /// Bytes of keys, values and states that it reads with the whole context in use.
    pub context_bytes: u64,
    /// Bandwidth that the bound counts with, GB/s.
    pub bandwidth_gbs: f64,
    /// How many times longer than usual the PC's own memory makes it.
    pub offload: f64,
}

/// Rates, tokens per second; ranges hold nine of ten measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// What bandwidth allows one conversation.
    pub bound_tps: f64,
    /// Reading prompts; none where the machine's arithmetic is not known.
    pub prefill_tps: Option<f64>,
    /// Least.
    pub prefill_low: Option<f64>,
    /// Most.
    pub prefill_high: Option<f64>,
    /// Writing, each conversation.
    pub decode_tps: f64,
    /// Least.
    pub decode_low: f64,
    /// Most.
    pub decode_high: f64,
    /// Writing, all conversations together.
    pub total_tps: f64,
}

/// The rate at a depth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Depth {
    /// Positions before.
    pub context: u64,
    /// Tokens per second of one conversation.
    pub decode_tps: f64,
}

/// Until the first token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FirstToken {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// What to expect, seconds.
    pub seconds: f64,
    /// Least.
    pub low_s: f64,
    /// Most.
    pub high_s: f64,
}

/// What it draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Power {
    /// From the wall while it writes.
    pub watts: f64,
    /// Of each token written, joules.
    pub joules_per_token: f64,
    /// Of a million tokens written.
    pub wh_per_million_tokens: f64,
    /// Whether the watts were measured on such a machine, or are its rating.
    pub measured: bool,
}

/// What the rates rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Published measurements of writing that the fit used: of this machine or its twin.
    pub of_machine: u64,
    /// The same of machines of its class.
    pub of_class: u64,
    /// Measurements made here.
    pub yours: usize,
    /// Which of them decide.
    pub tier: Tier,
}

/// What is known besides the model: the table of coefficients, and who measured what.
#[derive(Clone, Debug)]
pub struct Knowledge<'a> {
    /// Fitted to published measurements.
    pub coefficients: &'a Coefficients,
    /// Measured on this very machine.
    pub calibration: Calibration,
    /// Counts for [`Evidence`].
    pub measurements: (u64, u64),
    /// Rate of this machine's disk where it was measured, GB/s.
    pub disk_gbs: Option<f64>,
}

/// Everything that is said of a model on a machine.
#[must_use]
pub fn plan(
    subject: &Subject,
    machine: &Machine,
    wish: &Wish,
    knowledge: &Knowledge<'_>,
) -> Verdict {
    let facts = &subject.facts;
    let weights = subject.weights(wish.quantisation);
    let passed = subject.passed(&weights);
    let demand = Demand::new(facts, &passed, wish.kv);
    let predictor = Predictor::new(knowledge.coefficients, machine, wish.engine)
        .calibrated(knowledge.calibration.clone());
    let memory = memory(subject, &weights, machine, (wish.users, wish.context, wish.kv));
    let users = u32::try_from(wish.users).unwrap_or(u32::MAX);
    let decode = predictor.decode(&demand, wish.context, users);
    // The last step of a prompt that fills the context.
    let last = wish.context.min(STEP_ROWS);
    let prefill = predictor.prefill(&demand, wish.context - last, last);
    let fit = fit(machine, &memory, &decode);
    let slower = if fit == Fit::Partly { offload_factor(&memory, &weights, &decode) } else { 1.0 };
    let speed = speed(decode.slowed(slower), prefill.map(|rate| rate.slowed(slower)));
    let wait = |prompt: u64| {
        let wait = predictor.time_to_first_token(&demand, 0, prompt)?.slowed(slower);
        let (seconds, low_s, high_s) = (wait.seconds, wait.low_s, wait.high_s);
        Some(FirstToken { prompt, seconds, low_s, high_s })
    };
    let (load_gbs, load_from) = load_rates(machine, knowledge);
    let within = |depth: &u64| *depth <= facts.context_max;
    let depth = |context: u64| {
        let decode_tps = predictor.decode(&demand, context, 1).slowed(slower).tps;
        Depth { context, decode_tps }
    };
    Verdict {
        model: facts.name.clone(),
        machine: machine.name.clone(),
        quant: subject.file_quant().unwrap_or_else(|| wish.quantisation.name()).to_owned(),
        file_bytes: subject.file_bytes(&weights),
        weights_exact: subject.file_quant().is_some() || wish.quantisation.is_exact(),
        context: wish.context,
        context_max: facts.context_max,
        users: wish.users,
        kv: wish.kv.name(),
        verdict: fit,
        memory,
        kv_bytes_per_token: facts.kv_bytes_per_token(wish.kv),
        speed,
        depths: DEPTHS.into_iter().filter(within).map(depth).collect(),
        first_token: PROMPTS.into_iter().filter(within).filter_map(wait).collect(),
        people: None,
        users_max: users_max(subject, machine, (wish, &weights), &predictor),
        load_s: load_gbs.map(|rate| loaded_bytes(&memory) as f64 / (rate * 1e9)),
        load_gbs,
        load_from,
        power: power(machine, speed.total_tps),
        evidence: Evidence {
            of_machine: knowledge.measurements.0,
            of_class: knowledge.measurements.1,
            yours: knowledge.calibration.rows(),
            tier: decode.tier,
        },
        token: Token {
            parameters: facts.tensors.iter().map(TensorGroup::elements).sum(),
            active: passed.active_count(facts),
            weights_bytes: passed.read_bytes(facts),
            context_bytes: facts.kv_bytes(wish.kv, wish.context) + 2 * facts.state_bytes(),
            bandwidth_gbs: machine.bandwidth_gbs / f64::from(machine.count.max(1)),
            offload: slower,
        },
        licence: facts.licence.clone(),
    }
}

/// The mix to take where none is asked for: the most bits, up to 8 of them, that run well; where
/// all run slowly, one of about four bits; else the fewest.
#[must_use]
pub fn recommended(
    subject: &Subject,
    machine: &Machine,
    wish: &Wish,
    knowledge: &Knowledge<'_>,
) -> Quantisation {
    let mut offered = subject.offered();
    if offered.len() > 1 {
        offered.retain(|quantisation| !matches!(quantisation.name(), "F32" | "F16" | "BF16"));
    }
    let verdict = |quantisation: &Quantisation| {
        let wish = Wish { quantisation: *quantisation, ..wish.clone() };
        plan(subject, machine, &wish, knowledge).verdict
    };
    let verdicts: Vec<Fit> = offered.iter().map(verdict).collect();
    let best = verdicts.iter().copied().max().unwrap_or(Fit::No);
    let is_best = |at: &usize| verdicts[*at] == best;
    let is_four_bit = |at: &usize| FOUR_BIT.contains(&offered[*at].name());
    let fewest = offered.len().saturating_sub(1);
    let mut able = (0..offered.len()).filter(is_best);
    let at = match best {
        Fit::Well => able.next(),
        // Where all are slow, half the bits are twice as fast.
        Fit::Runs => able.clone().find(is_four_bit).or_else(|| able.next()),
        Fit::No | Fit::Partly => None,
    };
    offered.get(at.unwrap_or(fewest)).copied().unwrap_or(wish.quantisation)
}

/// What so many conversations take, and what the machine has.
#[must_use]
pub fn memory(
    subject: &Subject,
    weights: &Weights,
    machine: &Machine,
    (users, context, kv): (u64, u64, KvType),
) -> Memory {
    let facts = &subject.facts;
    let mut memory = Memory {
        weights_bytes: weights.total_bytes,
        kv_bytes: facts.kv_reserved_bytes(kv, context, users),
        state_bytes: users.saturating_mul(facts.state_bytes()),
        activation_bytes: facts.activation_bytes(step_rows(context, users), users),
        adapter_bytes: subject.beside.adapter_bytes(),
        projector_bytes: subject.beside.projector_bytes(),
        runtime_bytes: machine.class.runtime_bytes() * u64::from(machine.count),
        reserve_bytes: RESERVE_BYTES,
        total_bytes: 0,
        available_bytes: machine.usable_bytes(),
    };
    memory.total_bytes = memory.sum();
    memory
}

impl Memory {
    /// All but what is left free.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.sum().saturating_sub(self.reserve_bytes)
    }

    fn sum(&self) -> u64 {
        sum([
            self.weights_bytes,
            self.kv_bytes,
            self.state_bytes,
            self.activation_bytes,
            self.adapter_bytes,
            self.projector_bytes,
            self.runtime_bytes,
            self.reserve_bytes,
        ])
    }
}

impl Verdict {
    /// Takes the word of a loader, which knows its own layout, for what a model takes. What is
    /// beside it stays as planned: hob loads neither adapters nor projectors yet.
    pub fn set_memory(&mut self, memory: Memory) {
        let Memory { available_bytes, adapter_bytes, projector_bytes, .. } = self.memory;
        let memory = Memory { available_bytes, adapter_bytes, projector_bytes, ..memory };
        self.memory = Memory { total_bytes: memory.sum(), ..memory };
        let fits = self.memory.total_bytes <= available_bytes;
        self.verdict = match (fits, self.speed.decode_tps >= INTERACTIVE_TPS) {
            (false, _) => Fit::No,
            (true, false) => Fit::Runs,
            (true, true) => Fit::Well,
        };
    }
}

/// GB/s at which files become models, least and most.
fn load_rates(machine: &Machine, knowledge: &Knowledge<'_>) -> ([f64; 2], LoadFrom) {
    let [fast, slow] = LOAD_FACTORS;
    match (knowledge.disk_gbs, machine.class) {
        (Some(disk), _) => ([disk / slow, disk / fast], LoadFrom::ThisDisk),
        (None, Class::Gb10) => (GB10_LOAD_GBS, LoadFrom::SuchBoxes),
        (None, _) => ([NVME_GBS[0] / slow, NVME_GBS[1] / fast], LoadFrom::NvmeDisks),
    }
}

/// Bytes that come from files.
fn loaded_bytes(memory: &Memory) -> u64 {
    sum([memory.weights_bytes, memory.adapter_bytes, memory.projector_bytes])
}

fn fit(machine: &Machine, memory: &Memory, decode: &Estimate) -> Fit {
    if memory.total_bytes <= memory.available_bytes {
        return if decode.tps >= INTERACTIVE_TPS { Fit::Well } else { Fit::Runs };
    }
    let with_host = memory.available_bytes + HOST_MEMORY_BYTES;
    let splits = machine.class.is_card() && memory.total_bytes <= with_host;
    if splits { Fit::Partly } else { Fit::No }
}

/// How much longer a token takes when what does not fit is read from the PC's own memory.
fn offload_factor(memory: &Memory, weights: &Weights, decode: &Estimate) -> f64 {
    let over = memory.total_bytes - memory.available_bytes;
    let share = over as f64 / weights.total_bytes.max(1) as f64;
    let bytes = weights.total_bytes as f64 * share;
    let (inside, outside) = (1.0 - share.min(1.0), bytes / HOST_BYTES_PER_S);
    (inside / decode.tps + outside) * decode.tps
}

fn speed(decode: Estimate, prefill: Option<Estimate>) -> Speed {
    Speed {
        bound_tps: decode.bound_tps,
        prefill_tps: prefill.map(|rate| rate.tps),
        prefill_low: prefill.map(|rate| rate.low_tps),
        prefill_high: prefill.map(|rate| rate.high_tps),
        decode_tps: decode.tps,
        decode_low: decode.low_tps,
        decode_high: decode.high_tps,
        total_tps: decode.total_tps,
    }
}

fn users_max(
    subject: &Subject,
    machine: &Machine,
    (wish, weights): (&Wish, &Weights),
    predictor: &Predictor<'_>,
) -> u64 {
    let demand = Demand::new(&subject.facts, &subject.passed(weights), wish.kv);
    let works = |users: u64| {
        let memory = memory(subject, weights, machine, (users, wish.context, wish.kv));
        let count = u32::try_from(users).unwrap_or(u32::MAX);
        memory.total_bytes <= memory.available_bytes
            && predictor.decode(&demand, wish.context, count).tps >= INTERACTIVE_TPS
    };
    // More of them only ever take more memory and are only ever slower.
    let (mut least, mut most) = (0, USERS_MAX);
    while least < most {
        let middle = (least + most).div_ceil(2);
        if works(middle) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    least
}

fn power(machine: &Machine, total_tps: f64) -> Option<Power> {
    let measured = machine.load_watts.map(|[low, high]| f64::midpoint(low, high));
    let watts = measured.or(machine.rated_watts)?;
    let joules_per_token = watts / total_tps;
    Some(Power {
        watts,
        joules_per_token,
        wh_per_million_tokens: joules_per_token * 1e6 / 3600.0,
        measured: measured.is_some(),
    })
}

impl Machine {
    /// Bytes that models can have, by measurement or by the rule of its class.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        let gib = self.usable_gib.unwrap_or_else(|| self.class.usable_gib(self.memory_gib));
        (gib * f64::from(1 << 30)) as u64
    }
}

impl Class {
    /// Whether it is a card with memory of its own, in a PC that has more.
    #[must_use]
    pub fn is_card(self) -> bool {
        match self {
            Class::Nvidia | Class::NvidiaHbm | Class::NvidiaLegacy | Class::Amd | Class::Intel => {
                true
            }
            Class::Gb10 | Class::StrixHalo | Class::Apple => false,
            Class::IntegratedGpu | Class::Cpu => false,
        }
    }

    /// What of so much memory models can have where nobody measured it (docs/planner.md).
    fn usable_gib(self, memory_gib: f64) -> f64 {
        match self {
            Class::Nvidia | Class::NvidiaHbm | Class::NvidiaLegacy | Class::Amd | Class::Intel => {
                memory_gib - 0.5
            }
            Class::Gb10 => memory_gib * 0.8,
            Class::StrixHalo => memory_gib * 0.93,
            Class::Apple if memory_gib <= 36.0 => memory_gib * 2.0 / 3.0,
            Class::Apple => memory_gib * 0.75,
            Class::IntegratedGpu => memory_gib * 0.5,
            Class::Cpu => (memory_gib - 4.0).max(memory_gib * 0.5),
        }
    }

    /// What a driver and a program take before any model (docs/planner.md).
    fn runtime_bytes(self) -> u64 {
        match self {
            Class::Nvidia | Class::NvidiaHbm | Class::NvidiaLegacy | Class::Gb10 => 400 << 20,
            Class::Amd | Class::Intel | Class::StrixHalo | Class::IntegratedGpu => 300 << 20,
            Class::Apple | Class::Cpu => 64 << 20,
        }
    }
}
