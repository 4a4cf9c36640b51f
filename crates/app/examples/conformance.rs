//! Every architecture on every backend of this machine against what `transformers` computed, as the
//! table of `docs/models.md`.
//!
//! `conformance [--write FILE | --check FILE]`; fails where an error is above its bound, and
//! with `--check` where the file's rows are not those that there are.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::fmt::Write as _;
use std::sync::Arc;

use gguf::GgufFile;
use kernels_cpu::{CpuBackend, Variant};
use model::{LoadOptions, Model, Pool};
use quant::FormatId;
use tensor::reference::Reference;
use tensor::{Backend, Batch, KvFormat, Span};
use testkit::{ReferenceModel, reference_models, retrieval_models};

type Failure = Box<dyn std::error::Error>;

/// Largest error of a logit, or a value of an embedding, or a score, with weights in F32; they are
/// below 100 in these models.
const BOUND: f32 = 1e-4;
/// Root mean square of the errors beside the reference, in standard deviations of the logits, with
/// weights in a format that lets activations be taken as bytes: those are off by 1/254 of the
/// largest of 32 at most, and small random models, whose experts are often nearly even, magnify it.
const BOUND_BYTES: f32 = 0.3;
/// Positions of a page.
const PAGE_LEN: usize = 16;
/// Where the table begins and ends in the file.
const MARKS: (&str, &str) = ("<!-- conformance -->\n", "<!-- end of conformance -->");

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut models = [reference_models(), retrieval_models()].concat();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Result<Vec<Row>, Failure> = models.iter().map(Row::of).collect();
    let rows = rows?;
    let table = table(&rows);
    println!("{table}");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {}
        ["--write", path] => {
            let text = std::fs::read_to_string(path)?;
            let (before, rest) = text.split_once(MARKS.0).ok_or("the file has no mark")?;
            let (_, after) = rest.split_once(MARKS.1).ok_or("the file has no end mark")?;
            std::fs::write(path, format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1))?;
        }
        ["--check", path] => check(&std::fs::read_to_string(path)?, &rows)?,
        _ => return Err("usage: conformance [--write FILE | --check FILE]".into()),
    }
    let wrong: Vec<&str> =
        rows.iter().filter(|row| !row.holds()).map(|row| row.name.as_str()).collect();
    if !wrong.is_empty() {
        return Err(format!("above the bound: {}", wrong.join(", ")).into());
    }
    Ok(())
}

/// One architecture, or a variant of it.
struct Row {
    name: String,
    features: String,
    /// What it was loaded from.
    formats: &'static str,
    /// Of the reference, from each of them.
    reference: f32,
    /// The worst of all variants of the CPU.
    cpu: f32,
    /// The same with weights in Q8_0 beside the reference with the same, see [`BOUND_BYTES`], of
    /// rows of answers.
    bytes: f32,
    /// And of rows of prompts, which some variants round in another way.
    prompts: f32,
}

/// What rows are of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Answers,
    Prompts,
}

impl Kind {
    fn batch<'a>(self, tokens: &'a [u32], spans: &'a [Span<'a>]) -> Batch<'a> {
        match self {
            Kind::Answers => Batch::decode(tokens, spans),
            Kind::Prompts => Batch::prefill(tokens, spans),
        }
    }
}

/// How a model gets its tokens.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    /// Tokens of a step.
    step: usize,
    /// Whether another sequence is in every step, before them.
    in_company: bool,
}

impl Way {
    /// All in one step.
    fn at_once(kind: Kind) -> Way {
        Way { kind, step: usize::MAX, in_company: false }
    }

    /// What must not show, in any bit.
    fn others(kind: Kind) -> [Way; 3] {
        let way = |step, in_company| Way { kind, step, in_company };
        [way(1, false), way(7, true), way(16, false)]
    }
}

impl Row {
    fn of(model: &ReferenceModel) -> Result<Row, Failure> {
        let [answers, asked] = [Kind::Answers, Kind::Prompts].map(Way::at_once);
        let (file, _folder) = write(model, FormatId::F32)?;
        let exact = figures(&file, Arc::new(Reference::new()), (model, answers))?;
        let known: Vec<f32> = model.logits.iter().flatten().chain(&model.pooled).copied().collect();
        let from_folder = of_folder(model)?.map(|found| error(&found, &known));
        let (quantised, _folder) = write(model, FormatId::Q8_0)?;
        let wanted = figures(&quantised, Arc::new(Reference::new()), (model, answers))?;
        let (mut cpu, mut bytes, mut prompts) = (0.0_f32, 0.0_f32, 0.0_f32);
        for variant in kernels_cpu::variants() {
            let backend = |variant: Variant| CpuBackend::with_variant(variant, 2).map(Arc::new);
            let exact = figures(&file, backend(variant)?, (model, answers))?;
            cpu = cpu.max(error(&exact, &known));
            for (way, worst) in [(answers, &mut bytes), (asked, &mut prompts)] {
                let found = figures(&quantised, backend(variant)?, (model, way))?;
                *worst = worst.max(error_in_deviations(&found, &wanted));
                for other in Way::others(way.kind) {
                    let cut = figures(&quantised, backend(variant)?, (model, other))?;
                    if model.pooled.is_empty() && !is_same(&cut, &found) {
                        let (name, variant) = (&model.name, variant.name());
                        return Err(format!("{name} on {variant}: {other:?} shows").into());
                    }
                }
            }
        }
        Ok(Row {
            name: model.name.replace('_', " "),
            features: model::spec(&file)?.features().join(", "),
            formats: if from_folder.is_some() { "GGUF, safetensors" } else { "GGUF" },
            reference: error(&exact, &known).max(from_folder.unwrap_or(0.0)),
            cpu,
            bytes,
            prompts,
        })
    }

    fn holds(&self) -> bool {
        self.reference <= BOUND && self.cpu <= BOUND && self.bytes.max(self.prompts) <= BOUND_BYTES
    }
}

/// The file in a folder that goes with the second.
fn write(
    model: &ReferenceModel,
    format: FormatId,
) -> Result<(GgufFile, tempfile::TempDir), Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.gguf");
    let mut bytes = Vec::new();
    model.writer(format).write_to(&mut bytes)?;
    std::fs::write(&path, bytes)?;
    Ok((GgufFile::open(&path)?, folder))
}

/// Figures of the reference from the folder of safetensors that goes with a model, if one does.
fn of_folder(model: &ReferenceModel) -> Result<Option<Vec<f32>>, Failure> {
    let Some(folder_of) = model.checkpoint() else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    folder_of.write(folder.path(), FormatId::F32, 1);
    let tokenizer = r#"{"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[]}"#;
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer)?;
    let file = checkpoint::open(folder.path())?;
    let answers = Way::at_once(Kind::Answers);
    Ok(Some(figures(&file, Arc::new(Reference::new()), (model, answers))?))
}

/// Logits of the fixture's positions, one after the other, or what its text comes to, which is
/// always read at once.
fn figures(
    file: &GgufFile,
    backend: Arc<dyn Backend>,
    (model, way): (&ReferenceModel, Way),
) -> Result<Vec<f32>, Failure> {
    let len = model.tokens.len();
    let pages_each = len.div_ceil(PAGE_LEN);
    let options = LoadOptions {
        context_len: u32::try_from(len)?,
        rows_max: 2 * len,
        kv_page_len: PAGE_LEN,
        kv_page_count: 2 * pages_each,
        kv_format: KvFormat::F32,
        state_slots: 2,
    };
    let mut loaded = Model::load(file, backend, &options, &mut |_, _| ())?;
    let pages: Vec<u32> = (0..).take(options.kv_page_count).collect();
    let (others_pages, pages) = pages.split_at(pages_each);
    if !model.pooled.is_empty() {
        let spans = [Span { rows: len, first_position: 0, pages, state: 0 }];
        let mut pools = [(Pool::default(), true)];
        loaded.pool(&way.kind.batch(&model.tokens, &spans), &[], &mut pools)?;
        return Ok(loaded.pooled(&pools[0].0)?);
    }
    let other: Vec<u32> = model.tokens.iter().rev().copied().collect();
    let mut found = Vec::new();
    for first in (0..len).step_by(way.step) {
        let rows = way.step.min(len - first);
        let company = if way.in_company { rows } else { 0 };
        let span = |rows, pages, state| Span { rows, first_position: first, pages, state };
        let spans = [span(company, others_pages, 1), span(rows, pages, 0)];
        let tokens = [&other[first..first + company], &model.tokens[first..first + rows]].concat();
        let asked = model.positions.iter().filter(|at| (first..first + rows).contains(*at));
        let asked = asked.map(|at| u32::try_from(at - first + company));
        let spans = if way.in_company { &spans[..] } else { &spans[1..] };
        let mut logits = Vec::new();
        let asked = asked.collect::<Result<Vec<u32>, _>>()?;
        loaded.forward((&way.kind.batch(&tokens, spans), &[]), &asked, &mut logits)?;
        found.extend(logits);
    }
    Ok(found)
}

fn is_same(found: &[f32], wanted: &[f32]) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    bits(found) == bits(wanted)
}

fn error(found: &[f32], wanted: &[f32]) -> f32 {
    let differences = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
    if found.len() == wanted.len() { differences.fold(0.0, f32::max) } else { f32::INFINITY }
}

/// Of one score the error itself.
fn error_in_deviations(found: &[f32], wanted: &[f32]) -> f32 {
    if let ([found], [wanted]) = (found, wanted) {
        return (found - wanted).abs();
    }
    let count = wanted.len() as f32;
    let mean = wanted.iter().sum::<f32>() / count;
    let variance = wanted.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    let squares = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).powi(2));
    (squares.sum::<f32>() / count / variance).sqrt()
}

fn table(rows: &[Row]) -> String {
    let variants: Vec<&str> =
        kernels_cpu::variants().iter().map(|variant| variant.name()).collect();
    let mut text = format!(
        "Worst error of a logit (of a value of an embedding, of a score); `cpu` is the worst of {}. \
         Formats are those that the model was loaded from, with the reference's error the worst of \
         them. With weights in Q8_0: root mean square of the errors beside the reference, in standard \
         deviations of the logits, of rows of answers and of prompts; of a score the error itself. On each variant, in steps of 1, 7 beside \
         another sequence and 16 tokens, logits are the same bit for bit.\n\n\
         | model | made of | formats | reference | cpu | cpu, Q8_0 | prompts |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        variants.join(", ")
    );
    for Row { name, features, formats, reference, cpu, bytes, prompts } in rows {
        let cells = format!("{reference:.0e} | {cpu:.0e} | {bytes:.0e} | {prompts:.0e}");
        writeln!(text, "| {name} | {features} | {formats} | {cells} |")
            .expect("a string takes all");
    }
    text
}

/// Figures depend on the machine; which rows there are does not.
fn check(text: &str, rows: &[Row]) -> Result<(), Failure> {
    for Row { name, features, formats, .. } in rows {
        if !text.contains(&format!("| {name} | {features} | {formats} |")) {
            return Err(format!("the row of {name} is not fresh: `cargo xtask conformance`").into());
        }
    }
    Ok(())
}
