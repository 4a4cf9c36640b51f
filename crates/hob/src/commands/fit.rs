//! `hob fit`: whether a model runs on a machine, how fast, and what it takes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use app::planner::{
    Engine, Guest, KV_TYPES, Knowledge, KvType, Machine, PIPELINES, Pipeline, Quantisation,
    Subject, Together, Tuning, TuningMemory, Verdict, Wish, models_for, pipelines, plan,
    recommended, size_table, together, tuning_memory,
};
use app::planning::{Place, PlannedModel};
use app::{LoadOptions, RopeScaling};
use clap::{ArgMatches, Args as _, FromArgMatches};
use serde::{Deserialize, Serialize};

use super::{Context, Reach, Row, check_context};
use crate::args::rope_scaling;
use crate::failure::usage;
use crate::screens::units::parse_positions;
use crate::screens::{self, explain, fit};
use crate::text;

pub(super) const ROW: Row = Row { name: "fit", place: 3, arguments: Args::augment_args, run };

/// Context that is planned for where none is asked for.
const CONTEXT_USUAL: u64 = 8 << 10;
/// Contexts of the table of mixes.
const CONTEXTS: [u64; 3] = [8 << 10, 32 << 10, 128 << 10];
/// Conversations that are believed to be meant.
const USERS_MAX: u64 = 10_000;
/// Rank of an adapter of which none is said.
const LORA_RANK_USUAL: &str = "16";
/// Models that are planned together.
const MODELS_MAX: usize = 16;
/// Models that are listed for each task.
const EACH_TASK: usize = 5;

/// Say whether a model runs on this machine or another, how fast, and what it takes
///
/// Nothing is downloaded: models of the table by their published shape, files by their headers.
/// Without a model: what the machine runs best. With several: whether they fit together, the most
/// important first. Ranges hold nine of ten measurements.
#[derive(Debug, clap::Args)]
struct Args {
    /// Name of the table, of a model here or of a hub; a GGUF file; a checkpoint of safetensors
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Another machine, e.g. dgx-spark, strix-halo-128, rtx-4060 (`hob machines` lists them)
    #[arg(long, value_name = "MACHINE")]
    on: Option<String>,
    /// How weights are stored, e.g. Q4_K_M; the best that runs well when none is given
    #[arg(long, value_name = "NAME")]
    quant: Option<String>,
    /// Tokens of each conversation, e.g. 4096, 32k
    #[arg(long, short, value_name = "N", value_parser = parse_positions)]
    context: Option<u64>,
    /// Hold more than it was trained for: linear, ntk, yarn or e.g. yarn:4
    #[arg(long, value_name = "RULE", value_parser = rope_scaling)]
    rope_scaling: Option<RopeScaling>,
    /// Conversations at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=USERS_MAX))]
    users: u64,
    /// How keys and values are kept: f32, f16, bf16 or q8_0; q4_0 is for other engines
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = parse_kv)]
    kv: KvType,
    /// An adapter beside the model: its file (GGUF, safetensors), or a rank such as 16 or
    /// 16:q_proj,v_proj; several at once by naming each; rank 16 where nothing is named
    #[arg(long, value_name = "FILE|RANK", conflicts_with_all = ["finetune", "image"])]
    #[arg(num_args = 0..=1, default_missing_value = LORA_RANK_USUAL)]
    lora: Vec<String>,
    /// A projector for images beside the model: its GGUF file, or none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["finetune", "image"])]
    mmproj: Option<String>,
    /// What a pipeline for images takes, e.g. flux, sdxl
    #[arg(long, value_name = "NAME", conflicts_with_all = ["models", "quant", "json", "verify"])]
    image: Option<String>,
    /// What fine-tuning takes: every weight, LoRA and QLoRA, or one of them
    #[arg(long, value_name = "METHOD", num_args = 0..=1)]
    #[arg(conflicts_with_all = ["quant", "lock", "verify"])]
    finetune: Option<Option<Method>>,
    /// Tokens of an example to learn from
    #[arg(long, value_name = "N", default_value = "2k", value_parser = parse_positions)]
    #[arg(requires = "finetune")]
    seq: u64,
    /// Rank of the adapters to learn
    #[arg(long, value_name = "N", default_value_t = 16, requires = "finetune")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=4096))]
    rank: u64,
    /// Write the plan to a file, to be held to it later
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    lock: Option<PathBuf>,
    /// Load the model here and compare with the plan, or with one that was written
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "on")]
    verify: Option<Option<PathBuf>>,
    /// How each figure came about
    #[arg(long, conflicts_with_all = ["lock", "verify"])]
    explain: bool,
    /// Print JSON for programs; with --explain each figure's explanation in it
    #[arg(long)]
    json: bool,
}

/// A way to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    Full,
    Lora,
    Qlora,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let place = context.app.plan_place(args.on.as_deref())?;
    let (machine, knowledge) = (&place.machine, &place.knowledge);
    let width = context.terminal.columns();
    let mut out = io::stdout().lock();
    let lines = match (args.models.as_slice(), &args.image) {
        ([], _) if args.is_for_a_model() => {
            return Err(usage("without a model only --on and --explain go: name one"));
        }
        (_, Some(name)) => {
            let rows = pipeline(name)?;
            let how = args.explain.then(|| explain::images(&rows, width));
            explained(fit::images(machine, &rows, width), how)
        }
        ([], None) => {
            let picks = models_for(machine, knowledge.coefficients, EACH_TASK);
            let mut lines = fit::picks(machine, &picks, width);
            lines.push(String::new());
            lines.extend(fit::sizes(&size_table(knowledge.coefficients), width));
            explained(lines, args.explain.then(|| explain::picks(width)))
        }
        ([name], None) => return one(name, &args, context, (&place, &mut out)),
        (names, None) => return several(names, &args, context, (&place, &mut out)),
    };
    print(&mut out, lines, width)
}

/// With paragraphs below that say how the figures came about, where those are asked for.
fn explained(mut lines: Vec<String>, how: Option<Vec<String>>) -> Vec<String> {
    if let Some(how) = how {
        lines.push(String::new());
        lines.extend(how);
    }
    lines
}

impl Args {
    /// Whether anything is asked for that only a model has.
    fn is_for_a_model(&self) -> bool {
        let beside = !self.lora.is_empty() || self.mmproj.is_some();
        let kept = self.lock.is_some() || self.verify.is_some();
        let load = self.context.is_some() || self.users > 1 || self.kv != KvType::F16;
        beside || kept || load || self.quant.is_some() || self.finetune.is_some() || self.json
    }
}

/// A model as it was asked for, with what is beside it.
fn planned(name: &str, args: &Args, context: &Context) -> anyhow::Result<PlannedModel> {
    let mut model = context.app.plan_model(name)?;
    if args.quant.is_some() {
        model.quantise();
    }
    if let Some(asked) = args.rope_scaling {
        model.stretch(asked, args.context)?;
    }
    model.add_adapters(&args.lora)?;
    if let Some(asked) = &args.mmproj {
        model.set_projector(asked)?;
        model.note = None;
    }
    if let Some(note) = &model.note {
        context.terminal.say(&format!("note: {note}"));
    }
    Ok(model)
}

fn one(
    name: &str,
    args: &Args,
    context: &Context,
    (place, out): (&Place, &mut impl Write),
) -> anyhow::Result<()> {
    let (machine, knowledge) = (&place.machine, &place.knowledge);
    let model = planned(name, args, context)?;
    let subject = &model.subject;
    if let Some(method) = args.finetune {
        let width = context.terminal.columns();
        return tuning((method, args), subject, machine, (out, width));
    }
    let wish = wish((name, args), &model, machine, knowledge)?;
    let verdict = context.app.plan(&model, place, &wish)?;
    if let Some(path) = &args.lock {
        return lock(path, &verdict);
    }
    if let Some(path) = &args.verify {
        let promise = promise(path.as_deref(), &verdict)?;
        return verify(context, (&model, &verdict), &promise, (args.json, out));
    }
    if args.json {
        let how = args.explain.then(|| explain::verdict(&verdict, machine));
        return json(out, &verdict, how);
    }
    let width = context.terminal.columns();
    let mut lines = fit::verdict(&verdict, width);
    if place.is_here
        && let Some(load) = context.app.load_of(&model, &wish)?
    {
        lines.push(fit::loaded(&load));
    }
    let best = recommended(subject, machine, &wish, knowledge);
    let best = plan(subject, machine, &Wish { quantisation: best, ..wish.clone() }, knowledge);
    lines.extend([String::new(), fit::advice(&best)]);
    lines.extend(fit::hints(&verdict, machine, context.app.runs_kind_of(subject)));
    if args.explain {
        lines = explained(
            lines,
            Some(explain::paragraphs(&explain::verdict(&verdict, machine), width)),
        );
    } else if let Some(quantised) = &model.quantised {
        lines.push(String::new());
        lines.push("Quantised while loading:".to_owned());
        lines.extend(fit::grid(&grid(quantised, machine, &wish, knowledge), width));
    } else if args.quant.is_none() && subject.file_quant().is_none() {
        lines.push(String::new());
        lines.extend(fit::grid(&grid(subject, machine, &wish, knowledge), width));
    }
    print(out, lines, width)
}

/// What `--json` prints, with how each figure came about where `--explain` asks for it.
#[derive(Serialize)]
struct Explained<'a, T> {
    #[serde(flatten)]
    figures: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<BTreeMap<&'static str, String>>,
}

fn json<T: Serialize>(
    out: &mut impl Write,
    figures: &T,
    how: Option<explain::Parts>,
) -> anyhow::Result<()> {
    let explanation = how.map(|parts| parts.into_iter().collect());
    serde_json::to_writer_pretty(&mut *out, &Explained { figures, explanation })?;
    Ok(writeln!(out)?)
}

/// What `--json` prints of several models.
#[derive(Serialize)]
struct Several<'a> {
    models: Vec<&'a Verdict>,
    together: &'a Together,
}

fn several(
    names: &[String],
    args: &Args,
    context: &Context,
    (place, out): (&Place, &mut impl Write),
) -> anyhow::Result<()> {
    let beside = !args.lora.is_empty() || args.mmproj.is_some();
    if beside
        || args.finetune.is_some()
        || args.explain
        || args.lock.is_some()
        || args.verify.is_some()
    {
        let options = "--lora, --mmproj, --finetune, --explain, --lock and --verify";
        return Err(usage(format!("{options} are for one model: name only that")));
    }
    if names.len() > MODELS_MAX {
        return Err(usage(format!("{} models at once: {MODELS_MAX} go at most", names.len())));
    }
    let (machine, knowledge) = (&place.machine, &place.knowledge);
    let models: Vec<PlannedModel> =
        names.iter().map(|name| planned(name, args, context)).collect::<anyhow::Result<_>>()?;
    let guest = |(model, name): (&'_ PlannedModel, &String)| -> anyhow::Result<(Wish, Verdict)> {
        let wish = wish((name, args), model, machine, knowledge)?;
        let verdict = context.app.plan(model, place, &wish)?;
        Ok((wish, verdict))
    };
    let plans: Vec<(Wish, Verdict)> =
        models.iter().zip(names).map(guest).collect::<anyhow::Result<_>>()?;
    let guests: Vec<Guest<'_>> = models
        .iter()
        .zip(plans)
        .map(|(model, (wish, verdict))| Guest { subject: &model.subject, wish, verdict })
        .collect();
    let found = together(&guests, machine);
    let verdicts: Vec<&Verdict> = guests.iter().map(|guest| &guest.verdict).collect();
    if args.json {
        return json(out, &Several { models: verdicts, together: &found }, None);
    }
    let width = context.terminal.columns();
    print(out, screens::several::lines(machine, &verdicts, &found, width), width)
}

fn pipeline(name: &str) -> anyhow::Result<Vec<&'static Pipeline>> {
    let found = pipelines(name);
    if !found.is_empty() {
        return Ok(found);
    }
    let mut names: Vec<&str> = PIPELINES.iter().map(|row| row.also).collect();
    names.dedup();
    Err(usage(format!("no pipeline for images is called {name}: known are {}", names.join(", "))))
}

/// What `--json` prints of fine-tuning.
#[derive(Serialize)]
struct Learning<'a> {
    model: &'a str,
    machine: &'a str,
    sequence: u64,
    rank: u64,
    available_bytes: u64,
    methods: Vec<Learnt>,
}

#[derive(Serialize)]
struct Learnt {
    method: &'static str,
    memory: TuningMemory,
    fits: bool,
}

fn tuning(
    (method, args): (Option<Method>, &Args),
    subject: &Subject,
    machine: &Machine,
    (out, width): (&mut impl Write, usize),
) -> anyhow::Result<()> {
    let rank = args.rank;
    let ways = [
        (Method::Full, "full", Tuning::Full),
        (Method::Lora, "lora", Tuning::Lora { rank }),
        (Method::Qlora, "qlora", Tuning::Qlora { rank }),
    ];
    let asked = ways.into_iter().filter(|(way, ..)| method.is_none_or(|method| method == *way));
    let ways: Vec<(&'static str, Tuning, TuningMemory)> = asked
        .map(|(_, name, way)| (name, way, tuning_memory(&subject.facts, way, args.seq)))
        .collect();
    let available_bytes = machine.usable_bytes();
    let shown: Vec<_> = ways.iter().map(|(_, way, memory)| (*way, *memory)).collect();
    let how = args.explain.then(|| explain::tuning(&shown, args.seq));
    if args.json {
        let learnt = |(method, _, memory): &(&'static str, Tuning, TuningMemory)| Learnt {
            method,
            memory: *memory,
            fits: memory.total_bytes <= available_bytes,
        };
        let learning = Learning {
            model: &subject.facts.name,
            machine: &machine.name,
            sequence: args.seq,
            rank,
            available_bytes,
            methods: ways.iter().map(learnt).collect(),
        };
        return json(out, &learning, how);
    }
    let lines = fit::tuning((&subject.facts.name, args.seq), machine, &shown, width);
    let how = how.map(|parts| explain::paragraphs(&parts, width));
    print(out, explained(lines, how), width)
}

/// What a plan promises; the part of its JSON that can be held against a machine.
#[derive(Deserialize)]
struct Promise {
    model: String,
    machine: String,
    quant: String,
    context: u64,
    users: u64,
    kv: String,
    memory: PromisedMemory,
    speed: PromisedSpeed,
}

#[derive(Deserialize)]
struct PromisedMemory {
    total_bytes: u64,
    reserve_bytes: u64,
}

#[derive(Deserialize)]
struct PromisedSpeed {
    decode_tps: f64,
    decode_low: f64,
    prefill_tps: Option<f64>,
    prefill_low: Option<f64>,
}

fn lock(path: &Path, verdict: &Verdict) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(verdict)?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

/// The plan in a file, or the one just made.
fn promise(path: Option<&Path>, verdict: &Verdict) -> anyhow::Result<Promise> {
    let Some(path) = path else {
        return Ok(serde_json::from_value(serde_json::to_value(verdict)?)?);
    };
    let at = || format!("{}: not a plan that `hob fit --lock` wrote", path.display());
    let promise: Promise =
        serde_json::from_str(&std::fs::read_to_string(path).with_context(at)?).with_context(at)?;
    match promise.other_than(verdict) {
        Some(other) => {
            Err(usage(format!("the plan in {} is for {other}: ask for the same", path.display())))
        }
        None => Ok(promise),
    }
}

impl Promise {
    /// What it is for where that is not what is asked for.
    fn other_than(&self, verdict: &Verdict) -> Option<String> {
        let other = [
            (self.model != verdict.model).then(|| format!("the model {}", self.model)),
            (self.machine != verdict.machine).then(|| format!("the machine {}", self.machine)),
            (self.quant != verdict.quant).then(|| format!("--quant {}", self.quant)),
            (self.context != verdict.context).then(|| format!("--context {}", self.context)),
            (self.users != verdict.users).then(|| format!("--users {}", self.users)),
            (self.kv != verdict.kv).then(|| format!("--kv {}", self.kv)),
        ];
        let other: Vec<String> = other.into_iter().flatten().collect();
        (!other.is_empty()).then(|| other.join(", "))
    }
}

/// What `--verify --json` prints: bytes of memory, tokens per second of rates.
#[derive(Serialize)]
struct Checked<'a> {
    model: &'a str,
    checks: &'a [fit::Check],
}

fn verify(
    context: &Context,
    (model, verdict): (&PlannedModel, &Verdict),
    promise: &Promise,
    (is_json, out): (bool, &mut impl Write),
) -> anyhow::Result<()> {
    let (tokens, users) = (u32::try_from(verdict.context)?, u32::try_from(verdict.users)?);
    let options = LoadOptions {
        context_len: Some(tokens),
        sequences_max: Some(users),
        kv: Some(verdict.kv.to_owned()),
        rope_scaling: model.rope_scaling,
        ..LoadOptions::default()
    };
    let reality = context.app.verify(model, &options)?;
    let promised = promise.memory.total_bytes - promise.memory.reserve_bytes;
    let checks = [
        fit::Check::at_most("memory", promised as f64, reality.resident_bytes.map(|b| b as f64)),
        fit::Check::at_least(
            "writes",
            (promise.speed.decode_tps, Some(promise.speed.decode_low)),
            reality.decode_tps,
        ),
        fit::Check::at_least(
            "reads",
            (promise.speed.prefill_tps.unwrap_or(0.0), promise.speed.prefill_low),
            reality.prefill_tps,
        ),
    ];
    if is_json {
        json(out, &Checked { model: &verdict.model, checks: &checks }, None)?;
    } else {
        print(out, fit::checks(&checks), context.terminal.columns())?;
    }
    if checks.iter().any(|check| check.is_broken) {
        anyhow::bail!("the plan for {} does not hold on this machine", verdict.model);
    }
    Ok(())
}

fn print(out: &mut impl Write, lines: Vec<String>, width: usize) -> anyhow::Result<()> {
    for line in text::within(lines, width) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn wish(
    (name, args): (&str, &Args),
    model: &PlannedModel,
    machine: &Machine,
    knowledge: &Knowledge<'_>,
) -> anyhow::Result<Wish> {
    let subject = &model.subject;
    let most = subject.facts.context_max;
    let context = args.context.unwrap_or(CONTEXT_USUAL.min(most.max(1)));
    let reach = if args.rope_scaling.is_some() { Reach::Scaled } else { Reach::Scalable };
    check_context(&subject.facts, context, reach)?;
    let any = Quantisation::from_name("Q4_K_M").expect("a name of the table");
    let (users, kv) = (args.users, args.kv);
    let wish = Wish { context, users, kv, quantisation: any, engine: Engine::Plain };
    // A mix inside the model's name, as in `Qwen3-8B-Q4_K_M.gguf`.
    let named = Quantisation::from_name(name).filter(|_| subject.file_quant().is_none());
    let quantisation = match (&args.quant, named.or(model.fetched)) {
        (Some(name), _) => quantisation(name, subject)?,
        (None, Some(named)) => named,
        (None, None) => recommended(subject, machine, &wish, knowledge),
    };
    Ok(Wish { quantisation, ..wish })
}

fn quantisation(name: &str, subject: &Subject) -> anyhow::Result<Quantisation> {
    if let Some(own) = subject.file_quant() {
        let message = format!("{} is a file of {own}: leave --quant out", subject.facts.name);
        return Err(usage(message));
    }
    Quantisation::from_name(name).ok_or_else(|| {
        let known = "known are e.g. Q4_K_M, Q4_0, Q8_0, IQ4_XS, MXFP4, NVFP4, FP8, BF16";
        usage(format!("no quantisation is called {name}: {known}"))
    })
}

/// Every mix that is offered, by contexts up to the model's own.
fn grid(
    subject: &Subject,
    machine: &Machine,
    wish: &Wish,
    knowledge: &Knowledge<'_>,
) -> Vec<Vec<Verdict>> {
    let contexts: Vec<u64> =
        CONTEXTS.into_iter().filter(|context| *context <= subject.facts.context_max).collect();
    let row = |quantisation: Quantisation| {
        let cell = |context: &u64| {
            let wish = Wish { quantisation, context: *context, ..wish.clone() };
            plan(subject, machine, &wish, knowledge)
        };
        contexts.iter().map(cell).collect()
    };
    subject.offered().into_iter().map(row).collect()
}

fn parse_kv(text: &str) -> Result<KvType, String> {
    let names: Vec<&str> = KV_TYPES.iter().map(|row| row.1).collect();
    KvType::from_name(text).ok_or_else(|| format!("one of {}", names.join(", ")))
}
