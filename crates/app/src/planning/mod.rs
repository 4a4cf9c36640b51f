//! Whether a model runs on a machine, how fast, and what it costs: the planner with this house's
//! models, machine and measurements.

mod calibrate;
mod disk;
mod header;
mod here;
mod kernels;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gguf::GgufFile;
use planner::{Coefficients, Knowledge, Machine, Memory, Subject, Verdict, Wish};

use header::Headers;
use store::HubSpec;

pub use here::{CalibrationFile, CalibrationRow};

use crate::{
    App, BenchCase, Error, ErrorKind, LoadOptions, ModelRef, Result, bench, loaded, memory,
};

/// What the program takes besides a model, its tokenizer for each token, and a conversation's
/// bookkeeping; as `hob fit --verify` measured them with models of 49,152 and 32,000 tokens.
const PROGRAM_BYTES: u64 = 8704 << 10;
const TOKEN_BYTES: u64 = 130;
const CONVERSATION_BYTES: u64 = 512 << 10;
/// A value of an activation, prepared for integer weights: two signed bytes, and scales and sums
/// for each 32.
const PREPARED_BYTES: u64 = 3;

/// Tokens that are written and read to verify a plan, and how often.
const VERIFY_TOKENS: u32 = 32;
const VERIFY_PROMPT: u32 = 512;
const VERIFY_REPETITIONS: u32 = 3;

/// What a model did, for comparison with its plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reality {
    /// Memory of this process with the context full, where the system says it.
    pub resident_bytes: Option<u64>,
    /// Tokens per second that each conversation got at the end of its context.
    pub decode_tps: f64,
    /// Tokens of a prompt per second, at the end of the context.
    pub prefill_tps: f64,
}

/// A model to plan for.
#[derive(Clone, Debug)]
pub struct PlannedModel {
    /// What is known of it.
    pub subject: Subject,
    /// Its file, where it is here.
    pub here: Option<ModelRef>,
    /// What to know of where figures come from, in one line.
    pub note: Option<String>,
}

/// A machine to plan for.
#[derive(Clone, Debug)]
pub struct Place {
    /// The machine.
    pub machine: Machine,
    /// What its rates rest on.
    pub knowledge: Knowledge<'static>,
    /// Whether it is this one.
    pub is_here: bool,
}

impl App {
    /// What is known of a model of this name: a file or model that is here, or a hub's repository,
    /// by its headers; else the table's row.
    ///
    /// # Errors
    /// `NotFound` with names that are like it.
    pub fn plan_model(&self, name: &str) -> Result<PlannedModel> {
        if let Some(model) = self.find_planned(name)? {
            let subject = file_subject(&model)?;
            return Ok(PlannedModel { subject, here: Some(model), note: None });
        }
        if let Some(spec) = HubSpec::parse(name) {
            return self.plan_repository(&spec);
        }
        Ok(PlannedModel { subject: row_subject(name)?, here: None, note: None })
    }

    /// A hub's repository by its headers; by the table where the hub does not answer and the table
    /// knows the name.
    fn plan_repository(&self, spec: &HubSpec) -> Result<PlannedModel> {
        let name = spec.to_string();
        let cancelled = AtomicBool::new(false);
        let looked = self.store().peek(spec, &self.pull_options(&cancelled));
        let headers = match looked {
            Ok(headers) => headers,
            Err(error) => {
                let why = match &error {
                    store::Error::NoSource { answers, .. } => {
                        answers.first().map_or(String::new(), |answer| answer.why.clone())
                    }
                    other => other.to_string(),
                };
                let Ok(subject) = row_subject(&name) else {
                    let message = format!("the headers of {name} could not be looked at: {why}");
                    return Err(Error::new(ErrorKind::NotFound, message));
                };
                let row = &subject.facts.name;
                let note = format!("{why}; figures are of {row} in the table");
                return Ok(PlannedModel { subject, here: None, note: Some(note) });
            }
        };
        let headers = Headers::of_parts(&headers).ok_or_else(|| {
            Error::new(ErrorKind::BadModel, format!("{name}: the hub has no file of it"))
        })?;
        Ok(PlannedModel { subject: subject_of(&headers, &name)?, here: None, note: None })
    }

    /// Everything that is said of a model on a machine. What hob would load here itself is told by
    /// the loader: the very bytes that it reserves.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn plan(&self, model: &PlannedModel, place: &Place, wish: &Wish) -> Result<Verdict> {
        let mut verdict = planner::plan(&model.subject, &place.machine, wish, &place.knowledge);
        if let Some(file) = model.here.as_ref().filter(|_| place.is_here)
            && self.runs_kind_of(&model.subject)
        {
            let options = LoadOptions {
                context_len: Some(u32::try_from(wish.context.max(1)).unwrap_or(u32::MAX)),
                sequences_max: Some(u32::try_from(wish.users).unwrap_or(u32::MAX)),
                ..LoadOptions::default()
            };
            let file = GgufFile::open(&file.path)?;
            verdict.set_memory(loader_memory(&file, &model.subject, &options)?);
        }
        Ok(verdict)
    }

    /// A machine with what is known of it; this one where none is named.
    ///
    /// # Errors
    /// `NotFound` with names that are like it; `Machine` when the calibration cannot be read.
    pub fn plan_place(&self, name: Option<&str>) -> Result<Place> {
        let machine = self.plan_machine(name)?;
        let knowledge = self.plan_knowledge(&machine, name.is_none())?;
        Ok(Place { machine, knowledge, is_here: name.is_none() })
    }

    fn plan_machine(&self, name: Option<&str>) -> Result<Machine> {
        let Some(name) = name else {
            return Ok(here::machine(self.calibration()?.as_ref()));
        };
        let hint = "`hob machines --list` names them";
        planner::find_machine(name)
            .cloned()
            .map_err(|error| Error::new(ErrorKind::NotFound, format!("{error}; {hint}")))
    }

    /// A file or a model of the store; none when only a table or a hub could know the name.
    fn find_planned(&self, name: &str) -> Result<Option<ModelRef>> {
        if Path::new(name).is_file() {
            return Ok(Some(ModelRef { name: name.to_owned(), path: name.into() }));
        }
        Ok(self.find(name).unwrap_or(None))
    }

    /// Whether hob itself can run it, today.
    #[must_use]
    pub fn runs_kind_of(&self, subject: &Subject) -> bool {
        let mut names = model::ARCHITECTURES.iter().flat_map(|row| row.names());
        names.any(|name| *name == subject.architecture)
    }

    fn plan_knowledge(&self, machine: &Machine, is_here: bool) -> Result<Knowledge<'static>> {
        let coefficients = Coefficients::embedded();
        let mut knowledge = Knowledge::of(coefficients, machine);
        if is_here && let Some(file) = self.calibration()? {
            knowledge.calibration = self.own_calibration(coefficients, machine, file);
        }
        Ok(knowledge)
    }

    /// Loads a model that is here, fills its context and measures what a plan promised.
    ///
    /// # Errors
    /// As [`App::load`]; when the model is not here.
    pub fn verify(&self, model: &PlannedModel, context: u32, users: u32) -> Result<Reality> {
        let Some(here) = &model.here else {
            let message = format!("{} is not here: pull it, then verify", model.subject.facts.name);
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let file = GgufFile::open(&here.path)?;
        let options = LoadOptions {
            context_len: Some(context),
            sequences_max: Some(users),
            ..LoadOptions::default()
        };
        let mut parts = loaded::load_parts(&here.name, &file, &options, &mut |_, _| {})?;
        let written = VERIFY_TOKENS.min(context / 2).max(1);
        let read = context.saturating_sub(written);
        let case =
            |n_prompt, n_gen, n_depth| BenchCase { n_prompt, n_gen, n_depth, n_sequences: users };
        let best = |result: crate::BenchResult| result.samples_ts.into_iter().fold(0.0, f64::max);
        let decode = bench::run(&mut parts.model, case(0, written, read), VERIFY_REPETITIONS)?;
        let resident_bytes = memory::resident_bytes();
        let few = read.clamp(1, VERIFY_PROMPT);
        let before = read.saturating_sub(few);
        let prefill = bench::run(&mut parts.model, case(few, 0, before), VERIFY_REPETITIONS)?;
        let total = best(decode);
        Ok(Reality {
            resident_bytes,
            decode_tps: total / f64::from(users),
            prefill_tps: best(prefill),
        })
    }
}

/// The table's row of a name.
fn row_subject(name: &str) -> Result<Subject> {
    let row = planner::find_model(name).map_err(|error| {
        let hint = "`hob fit` alone lists what runs well; a GGUF file can be named by its path";
        Error::new(ErrorKind::NotFound, format!("{error}; {hint}"))
    })?;
    Ok(Subject::of_row(row))
}

/// What the loader reserves, in the planner's kinds.
fn loader_memory(file: &GgufFile, subject: &Subject, options: &LoadOptions) -> Result<Memory> {
    let facts = &subject.facts;
    let need = loaded::memory_need(&facts.name, file, options)?;
    Ok(Memory {
        weights_bytes: need.weights_bytes,
        kv_bytes: need.kv_bytes,
        activation_bytes: need.workspace_bytes,
        runtime_bytes: PROGRAM_BYTES
            + TOKEN_BYTES * facts.vocabulary
            + CONVERSATION_BYTES * u64::from(options.sequences_max.unwrap_or(1))
            + PREPARED_BYTES * planner::STEP_ROWS * facts.feed_forward.max(facts.width),
        reserve_bytes: planner::RESERVE_BYTES,
        ..Memory::default()
    })
}

fn file_subject(model: &ModelRef) -> Result<Subject> {
    let file = GgufFile::open(&model.path)?;
    subject_of(&Headers::of_file(&file), &model.name)
}

fn subject_of(headers: &Headers<'_>, name: &str) -> Result<Subject> {
    let (facts, weights) = header::subject(headers, name)?;
    let architecture = headers.architecture()?;
    if facts.layers == 0 || facts.tensors.is_empty() {
        let message =
            format!("{name}: its headers ({architecture}) do not say how many layers it has");
        return Err(Error::new(ErrorKind::BadModel, message));
    }
    Ok(Subject::of_file(facts, architecture, weights))
}
