//! The inverse questions: which machine for a model, and which models for a machine.

use serde::Serialize;

use crate::catalogue::{machines, models};
use crate::machine::Machine;
use crate::memory::KvType;
use crate::plan::{Fit, Knowledge, Verdict, Wish, plan};
use crate::recipe::{FileType, Quantisation};
use crate::speed::{Calibration, Coefficients, Engine};
use crate::subject::Subject;

/// What a machine must do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Positions of each conversation.
    pub context: u64,
    /// Conversations at once.
    pub users: u64,
    /// Tokens per second of each.
    pub rate_tps: f64,
    /// US dollars at most.
    pub budget_usd: Option<f64>,
    /// Watts at most while it writes.
    pub watts: Option<f64>,
}

/// Why a machine is not what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    /// The model with these conversations does not fit.
    Memory,
    /// It writes slower than asked.
    Rate,
    /// It costs more.
    Price,
    /// Nobody published its price, and there is a budget.
    PriceUnknown,
    /// It draws more.
    Watts,
    /// Nobody published what it draws, and there is a limit.
    WattsUnknown,
}

/// A machine and what it is to the model.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The machine.
    pub machine: &'static Machine,
    /// With the most bits that do what is needed.
    pub verdict: Verdict,
    /// What it misses; nothing in an answer.
    pub misses: Vec<Miss>,
    /// How many times more of what it lacks most would do; 1 where it lacks nothing, infinite where
    /// nobody published what it has.
    pub shortfall: f64,
}

/// Mixes that are tried, from most to least bits.
const TRIED: &[FileType] = &[FileType::Q8_0, FileType::Q6K, FileType::Q4KM];

/// Every machine of the table for a model: those that do what is needed first, the cheapest first;
/// then the others, those that lack least first.
#[must_use]
pub fn machines_for(subject: &Subject, need: &Need, coefficients: &Coefficients) -> Vec<Offer> {
    let mut offers: Vec<Offer> =
        machines().iter().map(|machine| offer(subject, machine, need, coefficients)).collect();
    offers.sort_by(|a, b| {
        let price = |offer: &Offer| offer.machine.price_usd.map_or(f64::INFINITY, |price| price[0]);
        a.shortfall.total_cmp(&b.shortfall).then(price(a).total_cmp(&price(b)))
    });
    offers
}

fn offer(
    subject: &Subject,
    machine: &'static Machine,
    need: &Need,
    coefficients: &Coefficients,
) -> Offer {
    let mut best = None;
    for quantisation in tried(subject) {
        let verdict =
            plan_of(subject, machine, (need.context, need.users), (quantisation, coefficients));
        let lacks = lacks(machine, need, &verdict);
        let done = lacks.is_empty();
        let shortfall = lacks.iter().fold(1.0, |most: f64, (_, times)| most.max(*times));
        let misses = lacks.into_iter().map(|(miss, _)| miss).collect();
        best = Some(Offer { machine, verdict, misses, shortfall });
        if done {
            break;
        }
    }
    best.expect("something is tried")
}

fn tried(subject: &Subject) -> Vec<Quantisation> {
    let offered = subject.offered();
    if offered.len() <= 2 { offered } else { TRIED.iter().map(|it| (*it).into()).collect() }
}

fn plan_of(
    subject: &Subject,
    machine: &Machine,
    (context, users): (u64, u64),
    (quantisation, coefficients): (Quantisation, &Coefficients),
) -> Verdict {
    let wish = Wish { context, users, kv: KvType::F16, quantisation, engine: Engine::Plain };
    plan(subject, machine, &wish, &Knowledge::of(coefficients, machine))
}

/// What a machine lacks, and how many times more of it would do.
fn lacks(machine: &Machine, need: &Need, verdict: &Verdict) -> Vec<(Miss, f64)> {
    let mut lacks = Vec::new();
    let memory = &verdict.memory;
    if verdict.verdict <= Fit::Partly {
        lacks.push((Miss::Memory, memory.total_bytes as f64 / memory.available_bytes as f64));
    }
    if verdict.speed.decode_tps < need.rate_tps {
        lacks.push((Miss::Rate, need.rate_tps / verdict.speed.decode_tps));
    }
    match (need.budget_usd, machine.price_usd) {
        (Some(_), None) => lacks.push((Miss::PriceUnknown, f64::INFINITY)),
        (Some(budget), Some([low, _])) if low > budget => lacks.push((Miss::Price, low / budget)),
        _ => {}
    }
    match (need.watts, verdict.power.map(|power| power.watts)) {
        (Some(_), None) => lacks.push((Miss::WattsUnknown, f64::INFINITY)),
        (Some(most), Some(watts)) if watts > most => lacks.push((Miss::Watts, watts / most)),
        _ => {}
    }
    lacks
}

/// What a model is good for on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Talking: ten tokens a second with 8k positions.
    Chat,
    /// Long documents: 128k positions fit, at five tokens a second and more.
    Documents,
    /// Agents and code: a prompt of 32k is read within 30 seconds.
    Agents,
}

/// A model that does a task on a machine.
#[derive(Clone, Debug)]
pub struct Pick {
    /// What it is good for.
    pub task: Task,
    /// With the most bits that still do it.
    pub verdict: Verdict,
    /// Weights of the model.
    pub parameters: u64,
}

/// Positions of a task.
const CHAT_CONTEXT: u64 = 8 << 10;
const DOCUMENTS_CONTEXT: u64 = 128 << 10;
const AGENTS_CONTEXT: u64 = 32 << 10;
/// Rates of a task.
const CHAT_TPS: f64 = 10.0;
const DOCUMENTS_TPS: f64 = 5.0;
/// Longest wait of an agent for its first token.
const AGENTS_WAIT_S: f64 = 30.0;

/// The largest models that do each task on a machine, at most so many of each; of a family's
/// sisters with the same geometry only one.
#[must_use]
pub fn models_for(machine: &Machine, coefficients: &Coefficients, each: usize) -> Vec<Pick> {
    let mut rows: Vec<_> = models().iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.parameters));
    rows.dedup_by_key(|row| (row.parameters, row.active));
    let subjects: Vec<_> = rows.iter().map(|row| (row.parameters, Subject::of_row(row))).collect();
    let mut picks = Vec::new();
    for task in [Task::Chat, Task::Agents, Task::Documents] {
        let does = |(parameters, subject): &(u64, Subject)| {
            let verdict = does(task, subject, machine, coefficients)?;
            Some(Pick { task, verdict, parameters: *parameters })
        };
        picks.extend(subjects.iter().filter_map(does).take(each));
    }
    picks
}

fn does(
    task: Task,
    subject: &Subject,
    machine: &Machine,
    coefficients: &Coefficients,
) -> Option<Verdict> {
    let context = match task {
        Task::Chat => CHAT_CONTEXT,
        Task::Documents => DOCUMENTS_CONTEXT,
        Task::Agents => AGENTS_CONTEXT,
    };
    if subject.facts.context_max < context {
        return None;
    }
    tried(subject).into_iter().find_map(|quantisation| {
        let verdict = plan_of(subject, machine, (context, 1), (quantisation, coefficients));
        let fits = verdict.verdict >= Fit::Runs;
        let done = match task {
            Task::Chat => verdict.speed.decode_tps >= CHAT_TPS,
            Task::Documents => verdict.speed.decode_tps >= DOCUMENTS_TPS,
            Task::Agents => {
                let last = verdict.first_token.last();
                last.is_some_and(|wait| wait.seconds <= AGENTS_WAIT_S)
                    && verdict.speed.decode_tps >= CHAT_TPS
            }
        };
        (fits && done).then_some(verdict)
    })
}

/// A line of the table that people know: what so much memory holds.
#[derive(Clone, Debug)]
pub struct SizeRow {
    /// Memory of a card or box, as sold.
    pub memory_gib: u64,
    /// The machine that stands for it.
    pub machine: &'static Machine,
    /// The largest dense model that fits whole in four bits with 8k positions.
    pub dense: Option<Verdict>,
    /// The largest with experts.
    pub experts: Option<Verdict>,
}

/// Machines that stand for sizes of memory.
const SIZES: &[&str] =
    &["rtx-4060", "rtx-4070", "rtx-4080-super", "rtx-4090", "rtx-5090", "dgx-spark"];

/// What 8, 12, 16, 24, 32 and 128 GiB hold, on machines that people buy.
#[must_use]
pub fn size_table(coefficients: &Coefficients) -> Vec<SizeRow> {
    let mut rows: Vec<_> = models().iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.parameters));
    let is_long = |row: &&crate::ModelRow| row.context_max >= CHAT_CONTEXT;
    let subjects: Vec<Subject> = rows.into_iter().filter(is_long).map(Subject::of_row).collect();
    let machines = SIZES.iter().filter_map(|name| crate::find_machine(name).ok());
    let row = |machine: &'static Machine| {
        let largest = |has_experts: bool| {
            let kind = |subject: &&Subject| subject.facts.experts.is_some() == has_experts;
            subjects.iter().filter(kind).find_map(|subject| {
                let four = four_bits(subject);
                let verdict = plan_of(subject, machine, (CHAT_CONTEXT, 1), (four, coefficients));
                (verdict.verdict >= Fit::Runs).then_some(verdict)
            })
        };
        let memory_gib = machine.memory_gib.round() as u64;
        SizeRow { memory_gib, machine, dense: largest(false), experts: largest(true) }
    };
    machines.map(row).collect()
}

/// The mix of four bits that a model is published in.
fn four_bits(subject: &Subject) -> Quantisation {
    let offered = subject.offered();
    let known = |it: &&Quantisation| matches!(it.name(), "MXFP4_MOE" | "NVFP4" | "Q4_0");
    offered.iter().find(known).copied().unwrap_or(FileType::Q4KM.into())
}

impl<'a> Knowledge<'a> {
    /// Of a machine on which nothing was measured here.
    #[must_use]
    pub fn of(coefficients: &'a Coefficients, machine: &Machine) -> Knowledge<'a> {
        let measurements = coefficients.measurements(machine);
        Knowledge {
            coefficients,
            calibration: Calibration::default(),
            measurements,
            disk_gbs: None,
        }
    }
}
