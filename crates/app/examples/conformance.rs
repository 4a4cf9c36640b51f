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
#[derive(Clone, Copy)]
enum Kind {
    Answers,
    Prompts,
}

impl Row {
    fn of(model: &ReferenceModel) -> Result<Row, Failure> {
        let (file, _folder) = write(model, FormatId::F32)?;
        let exact = figures(&file, Arc::new(Reference::new()), (model, Kind::Answers))?;
        let known: Vec<f32> = model.logits.iter().flatten().chain(&model.pooled).copied().collect();
        let from_folder = of_folder(model)?.map(|found| error(&found, &known));
        let (quantised, _folder) = write(model, FormatId::Q8_0)?;
        let wanted = figures(&quantised, Arc::new(Reference::new()), (model, Kind::Answers))?;
        let (mut cpu, mut bytes, mut prompts) = (0.0_f32, 0.0_f32, 0.0_f32);
        for variant in kernels_cpu::variants() {
            let backend = |variant: Variant| CpuBackend::with_variant(variant, 2).map(Arc::new);
            let exact = figures(&file, backend(variant)?, (model, Kind::Answers))?;
            cpu = cpu.max(error(&exact, &known));
            let found = figures(&quantised, backend(variant)?, (model, Kind::Answers))?;
            bytes = bytes.max(error_in_deviations(&found, &wanted));
            let found = figures(&quantised, backend(variant)?, (model, Kind::Prompts))?;
            prompts = prompts.max(error_in_deviations(&found, &wanted));
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
    Ok(Some(figures(&file, Arc::new(Reference::new()), (model, Kind::Answers))?))
}

/// Logits of the fixture's positions, one after the other, or what its text comes to.
fn figures(
    file: &GgufFile,
    backend: Arc<dyn Backend>,
    (model, kind): (&ReferenceModel, Kind),
) -> Result<Vec<f32>, Failure> {
    let options = LoadOptions {
        context_len: u32::try_from(model.tokens.len())?,
        rows_max: model.tokens.len(),
        kv_page_len: 16,
        kv_page_count: model.tokens.len().div_ceil(16),
        kv_format: KvFormat::F32,
        state_slots: 1,
    };
    let mut loaded = Model::load(file, backend, &options, &mut |_, _| ())?;
    let pages: Vec<u32> = (0..).take(options.kv_page_count).collect();
    let spans = [Span { rows: model.tokens.len(), first_position: 0, pages: &pages, state: 0 }];
    let batch = match kind {
        Kind::Answers => Batch::decode(&model.tokens, &spans),
        Kind::Prompts => Batch::prefill(&model.tokens, &spans),
    };
    if !model.pooled.is_empty() {
        let mut pools = [(Pool::default(), true)];
        loaded.pool(&batch, &[], &mut pools)?;
        return Ok(loaded.pooled(&pools[0].0)?);
    }
    let rows: Result<Vec<u32>, _> = model.positions.iter().map(|at| u32::try_from(*at)).collect();
    let mut found = Vec::new();
    loaded.forward((&batch, &[]), &rows?, &mut found)?;
    Ok(found)
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
         deviations of the logits, of rows of answers and of prompts; of a score the error itself.\n\n\
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
