//! Whether a model runs on a machine, how fast, and what it costs: the planner with this house's
//! models, machine and measurements.

mod beside;
mod calibrate;
mod disk;
mod gauge;
mod header;
mod here;
mod kernels;
mod loader;
mod loads;
mod scratch;
mod stretch;
mod verify;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gguf::GgufFile;
use planner::{
    Checkpoint, Coefficients, Fit, Knowledge, Machine, ModelConfig, Quantisation, StoredTensor,
    Subject, Verdict, Wish,
};
use store::{HubSpec, ModelSource, Peeked};

use header::Headers;

pub use here::{CalibrationFile, CalibrationRow};
pub use loads::{LoadRow, Loaded};
pub use verify::Reality;

use crate::{
    App, Error, ErrorKind, LoadOptions, ModelRef, Result, RopeScaling, clock, loaded, open,
};

/// Rows whose logits the model can hold at once.
const LOGIT_ROWS: u64 = 32;
/// Rows of logits of one conversation with a draft.
const SPECULATED_ROWS: usize = scheduler::DRAFT_TOKENS_MAX + 1;

/// A model to plan for.
#[derive(Clone, Debug)]
pub struct PlannedModel {
    /// What is known of it.
    pub subject: Subject,
    /// Its file, where it is here.
    pub here: Option<ModelRef>,
    /// A checkpoint with its matrices quantised while they are loaded: any mix can be asked for.
    pub quantised: Option<Subject>,
    /// A rule for more positions than it was trained for.
    pub rope_scaling: Option<RopeScaling>,
    /// The mix that hob would fetch by this name.
    pub fetched: Option<Quantisation>,
    /// What to know of where figures come from, in one line.
    pub note: Option<String>,
}

impl PlannedModel {
    fn of(subject: Subject) -> PlannedModel {
        PlannedModel {
            subject,
            here: None,
            quantised: None,
            rope_scaling: None,
            fetched: None,
            note: None,
        }
    }
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
    /// by its headers; else the table's row, of what hob would fetch where it knows the name.
    ///
    /// # Errors
    /// `NotFound` with names that are like it.
    pub fn plan_model(&self, name: &str) -> Result<PlannedModel> {
        if checkpoint::is_checkpoint(Path::new(name)) {
            return checkpoint_model(name, &checkpoint::open_headers(Path::new(name))?);
        }
        if let Some(model) = self.find_planned(name)? {
            let subject = file_subject(&model)?;
            return Ok(PlannedModel { here: Some(model), ..PlannedModel::of(subject) });
        }
        if let Ok(ModelSource::Catalog(row)) = self.store().resolve(name) {
            let fetched = Quantisation::from_name(row.file);
            return Ok(PlannedModel { fetched, ..PlannedModel::of(row_subject(row.file)?) });
        }
        if let Some(spec) = HubSpec::parse(name) {
            return self.plan_repository(&spec);
        }
        Ok(PlannedModel::of(row_subject(name)?))
    }

    /// A hub's repository by its headers; by the table where the hub does not answer and the table
    /// knows the name.
    fn plan_repository(&self, spec: &HubSpec) -> Result<PlannedModel> {
        let name = spec.to_string();
        let cancelled = AtomicBool::new(false);
        let looked = self.store().peek::<ModelConfig>(spec, &self.pull_options(&cancelled));
        let peeked = match looked {
            Ok(peeked) => peeked,
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
                return Ok(PlannedModel { note: Some(note), ..PlannedModel::of(subject) });
            }
        };
        match peeked {
            Peeked::Gguf(headers, beside) => {
                let headers = Headers::of_parts(&headers).ok_or_else(|| {
                    Error::new(ErrorKind::BadModel, format!("{name}: the hub has no file of it"))
                })?;
                let mut model = PlannedModel::of(subject_of(&headers, &name)?);
                if let Some(beside) = beside {
                    model.note = Some(format!(
                        "{} lies beside it and is counted: --mmproj none leaves it out",
                        beside.name
                    ));
                    let tower = Headers::of_header(&beside.header);
                    model.subject.beside.projector = Some(header::projector(&tower, &beside.name)?);
                }
                Ok(model)
            }
            Peeked::Safetensors(checkpoint) => {
                checkpoint_model(&name, &checkpoint).or_else(|error| {
                    let subject = row_subject(&name).map_err(|_| error.clone())?;
                    let row = &subject.facts.name;
                    let note = format!("{error}; figures are of {row} in the table");
                    Ok(PlannedModel { note: Some(note), ..PlannedModel::of(subject) })
                })
            }
        }
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
            && loaded::kv_format(Some(wish.kv.name()), "cpu").is_ok()
        {
            let options = LoadOptions {
                context_len: Some(u32::try_from(wish.context.max(1)).unwrap_or(u32::MAX)),
                sequences_max: Some(u32::try_from(wish.users).unwrap_or(u32::MAX)),
                kv: Some(wish.kv.name().to_owned()),
                rope_scaling: model.rope_scaling,
                ..LoadOptions::default()
            };
            let file = open::stretched(GgufFile::open(&file.path)?, &options)?;
            verdict.set_memory(loader::memory(&file, &model.subject, &options)?);
        }
        if verdict.verdict > Fit::No {
            let of = (&model.subject, &place.machine);
            verdict.people = Some(planner::users::at_once(of.0, of.1, wish, &place.knowledge));
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
            knowledge.disk_gbs = file.disk_gbs;
            knowledge.calibration = self.own_calibration(coefficients, machine, file);
        }
        Ok(knowledge)
    }

    /// Writes down what a load took beside what was promised, for `hob fit` to show. `took` is what
    /// was there, and the memory that the process held of its own, or gained by loading weights.
    ///
    /// # Errors
    /// When the file is damaged, or hob's folder cannot be written.
    pub fn note_load(
        &self,
        model: &ModelRef,
        options: &LoadOptions,
        took: (Loaded, u64),
    ) -> Result<()> {
        let file = open::stretched(GgufFile::open(&model.path)?, options)?;
        let subject = subject_of(&Headers::of_file(&file), &model.name)?;
        let memory = loader::memory(&file, &subject, options)?;
        let promised_bytes = match took.0 {
            Loaded::Everything => memory.used_bytes(),
            Loaded::Weights => memory.weights_bytes + loader::tokenizer_bytes(&file),
        };
        let row = LoadRow {
            model: model.name.clone(),
            file_bytes: file_bytes(model),
            what: took.0,
            context: u64::from(options.context_len.unwrap_or(0)),
            users: u64::from(options.sequences_max.unwrap_or(1)),
            kv: options.kv.clone().unwrap_or_else(loads::kv_usual),
            promised_bytes,
            measured_bytes: took.1,
            loaded_unix_s: clock::unix_time_s(),
        };
        loads::note(self.home(), row)
    }

    /// The load of a model that is here which says most about a wish: with the same context and
    /// conversations, else the newest that was measured whole, else of its weights.
    ///
    /// # Errors
    /// When the file of loads is damaged.
    pub fn load_of(&self, model: &PlannedModel, wish: &Wish) -> Result<Option<LoadRow>> {
        let Some(here) = &model.here else { return Ok(None) };
        let bytes = file_bytes(here);
        let is_it = |row: &LoadRow| row.model == here.name && row.file_bytes == bytes;
        let rank = |row: &LoadRow| {
            let is_same =
                (row.context, row.users) == (wish.context, wish.users) && row.kv == wish.kv.name();
            (row.what == Loaded::Everything, is_same, row.loaded_unix_s)
        };
        Ok(loads::read(self.home())?.into_iter().filter(is_it).max_by_key(rank))
    }
}

/// The table's row of a name.
fn row_subject(name: &str) -> Result<Subject> {
    let row = planner::find_model(name).map_err(|error| {
        let hint = "`hob fit` alone lists what runs well; files are named by their path";
        Error::new(ErrorKind::NotFound, format!("{error}; {hint}"))
    })?;
    Ok(Subject::of_row(row))
}

fn file_bytes(model: &ModelRef) -> u64 {
    std::fs::metadata(&model.path).map_or(0, |file| file.len())
}

/// A checkpoint by its headers.
fn checkpoint_model(
    name: &str,
    checkpoint: &checkpoint::Headers<ModelConfig>,
) -> Result<PlannedModel> {
    let tensors: Vec<StoredTensor<'_>> = checkpoint
        .tensors
        .iter()
        .map(|tensor| StoredTensor {
            name: &tensor.name,
            dtype: tensor.dtype,
            shape: &tensor.shape,
            bytes: tensor.bytes,
        })
        .collect();
    let planned = Checkpoint::new(name, &checkpoint.config, &tensors)
        .map_err(|error| Error::new(ErrorKind::BadModel, format!("{name}: {error}")))?;
    let (subject, quantised) = Subject::of_checkpoint(planned);
    Ok(PlannedModel { quantised: Some(quantised), ..PlannedModel::of(subject) })
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

#[cfg(test)]
mod tests;
