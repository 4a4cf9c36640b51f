//! `hob show`: what a model file is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use app::{ModelInfo, TensorLine};
use clap::{ArgMatches, Args as _, FromArgMatches};
use serde_json::{Value, json};

use super::{Context, Row};
use crate::models;
use crate::text::{self, Side};

pub(super) const ROW: Row = Row { name: "show", place: 12, arguments: Args::augment_args, run };

/// Show what a model is
///
/// Only the file's headers are read, so that this is quick for the largest models. A model that
/// is not here is not fetched.
#[derive(Debug, clap::Args)]
struct Args {
    /// Name, GGUF file or folder of safetensors
    model: String,
    /// Every tensor: name, type, shape, size
    #[arg(long)]
    tensors: bool,
    /// The chat template, as it stands in the file
    #[arg(long)]
    template: bool,
    /// Every metadata key
    #[arg(long)]
    metadata: bool,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let info = context.app.show(&models::find_here(&context.app, &args.model)?)?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &object(&info))?;
        return Ok(writeln!(out)?);
    }
    let wants_part = args.tensors || args.template || args.metadata;
    let mut lines = if wants_part { Vec::new() } else { summary(&info) };
    if args.metadata {
        let rows = info.metadata.iter().map(|(key, value)| vec![key.clone(), one_line(value)]);
        lines.extend(text::table(&[Side::Left, Side::Left], &rows.collect::<Vec<_>>()));
    }
    if args.tensors {
        lines.extend(tensor_lines(&info.tensors));
    }
    if args.template {
        lines.push(info.template.unwrap_or_else(|| "the file has no chat template".to_owned()));
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A value from a file may hold anything; a row of a table is one line.
fn one_line(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

fn summary(info: &ModelInfo) -> Vec<String> {
    let (layers, width, heads, kv_heads, feed_forward) = info.shape;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    let template = match &info.template {
        Some(template) => format!("{} characters (--template prints it)", template.chars().count()),
        None => "none; ChatML is used".to_owned(),
    };
    let rows = [
        ("name", info.model.name.clone()),
        ("title", or_none(&info.title)),
        ("file", info.model.path.display().to_string()),
        (
            "size",
            format!("{} ({} bytes)", text::bytes(info.size_bytes), text::grouped(info.size_bytes)),
        ),
        ("architecture", info.architecture.clone()),
        (
            "parameters",
            format!("{} ({})", text::parameters(info.parameters), text::grouped(info.parameters)),
        ),
        ("types", types(&info.tensors)),
        ("layers", layers.to_string()),
        ("width", width.to_string()),
        ("heads", format!("{heads}, {kv_heads} for keys and values")),
        ("feed-forward", feed_forward.to_string()),
        (
            "made of",
            match &info.blocks {
                Ok(blocks) => blocks.join(", "),
                Err(reason) => format!("cannot be run: {reason}"),
            },
        ),
        (
            "context",
            format!(
                "{} tokens, {} each",
                text::grouped(info.context_len.into()),
                text::bytes(info.kv_bytes_per_token)
            ),
        ),
        (
            "tokenizer",
            format!("{}, {} tokens", info.tokenizer, text::grouped(info.vocab_len as u64)),
        ),
        ("template", template),
        ("licence", or_none(&info.licence)),
        ("format", form(info)),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), one_line(&value)]);
    text::table(&[Side::Left, Side::Left], &rows)
}

/// What kind of file it is.
fn form(info: &ModelInfo) -> String {
    let gguf = info.gguf_version.map(|version| format!("GGUF version {version}"));
    let form = gguf.unwrap_or_else(|| "safetensors".to_owned());
    if info.is_without_images {
        return format!(
            "{form}; the text part of a model that knows images too, which are not read"
        );
    }
    form
}

/// Number of tensors of each type.
fn type_counts(tensors: &[TensorLine]) -> BTreeMap<&str, (usize, u64)> {
    let mut counts = BTreeMap::new();
    for tensor in tensors {
        let (count, bytes) = counts.entry(tensor.format.as_str()).or_insert((0, 0));
        *count += 1;
        *bytes += tensor.size_bytes;
    }
    counts
}

/// `Q4_1 in 211 tensors, F32 in 61`, most bytes first.
fn types(tensors: &[TensorLine]) -> String {
    let mut counts: Vec<_> = type_counts(tensors).into_iter().collect();
    counts.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    let part = |(i, (format, (count, _))): (usize, &(&str, (usize, u64)))| {
        let noun = if i > 0 {
            ""
        } else if *count == 1 {
            " tensor"
        } else {
            " tensors"
        };
        format!("{format} in {count}{noun}")
    };
    counts.iter().enumerate().map(part).collect::<Vec<_>>().join(", ")
}

fn tensor_lines(tensors: &[TensorLine]) -> Vec<String> {
    let row = |tensor: &TensorLine| {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        let size = text::bytes(tensor.size_bytes);
        vec![one_line(&tensor.name), tensor.format.clone(), shape.join(" x "), size]
    };
    let sides = [Side::Left, Side::Left, Side::Right, Side::Right];
    text::table(&sides, &tensors.iter().map(row).collect::<Vec<_>>())
}

fn object(info: &ModelInfo) -> Value {
    let (layers, width, heads, kv_heads, feed_forward) = info.shape;
    let tensor = |tensor: &TensorLine| {
        json!({
            "name": tensor.name, "type": tensor.format, "shape": tensor.shape,
            "size_bytes": tensor.size_bytes,
        })
    };
    let counts = type_counts(&info.tensors).into_iter().map(|(format, (count, _))| (format, count));
    json!({
        "name": info.model.name,
        "path": info.model.path.display().to_string(),
        "title": info.title,
        "licence": info.licence,
        "architecture": info.architecture,
        "parameters": info.parameters,
        "size_bytes": info.size_bytes,
        "gguf_version": info.gguf_version,
        "context": info.context_len,
        "vocab": info.vocab_len,
        "tokenizer": info.tokenizer,
        "layers": layers,
        "width": width,
        "heads": heads,
        "kv_heads": kv_heads,
        "feed_forward": feed_forward,
        "blocks": info.blocks.as_ref().ok(),
        "cannot_run": info.blocks.as_ref().err(),
        "kv_bytes_per_token": info.kv_bytes_per_token,
        "types": counts.collect::<BTreeMap<_, _>>(),
        "template": info.template,
        "without_images": info.is_without_images,
        "metadata": info.metadata.iter().cloned().collect::<BTreeMap<String, String>>(),
        "tensors": info.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{object, summary, tensor_lines};
    use app::{ModelInfo, ModelRef, TensorLine};

    fn info() -> ModelInfo {
        let tensor = |name: &str, shape: &[u64], format: &str, size_bytes| TensorLine {
            name: name.to_owned(),
            shape: shape.to_vec(),
            format: format.to_owned(),
            size_bytes,
        };
        ModelInfo {
            model: ModelRef { name: "smollm2".to_owned(), path: "/m.gguf".into() },
            architecture: "llama".to_owned(),
            title: Some("Smol\u{1b}[31m".to_owned()),
            licence: None,
            parameters: 134_515_008,
            size_bytes: 98_362_432,
            gguf_version: Some(3),
            context_len: 8192,
            vocab_len: 49_152,
            tokenizer: "gpt2".to_owned(),
            shape: (30, 576, 9, 3, 1536),
            blocks: Ok(vec!["grouped heads".to_owned(), "tied embeddings".to_owned()]),
            kv_bytes_per_token: 23_040,
            template: Some("{{ x }}".to_owned()),
            is_without_images: false,
            tensors: vec![
                tensor("norm", &[576], "F32", 2304),
                tensor("w", &[576, 64], "Q4_1", 23_040),
                tensor("v", &[576, 64], "Q4_1", 23_040),
            ],
            metadata: vec![("a.b".to_owned(), "1".to_owned())],
        }
    }

    #[test]
    fn a_summary_for_people() {
        insta::assert_snapshot!(summary(&info()).join("\n"), @r"
        name          smollm2
        title         Smol\u{1b}[31m
        file          /m.gguf
        size          98.4 MB (98,362,432 bytes)
        architecture  llama
        parameters    134.52 M (134,515,008)
        types         Q4_1 in 2 tensors, F32 in 1
        layers        30
        width         576
        heads         9, 3 for keys and values
        feed-forward  1536
        made of       grouped heads, tied embeddings
        context       8,192 tokens, 23.0 kB each
        tokenizer     gpt2, 49,152 tokens
        template      7 characters (--template prints it)
        licence       not stated
        format        GGUF version 3
        ");
    }

    #[test]
    fn images_that_are_not_read_are_told_of() {
        let info = ModelInfo { is_without_images: true, gguf_version: None, ..info() };
        let found = summary(&info).join("\n");
        let wanted = "safetensors; the text part of a model that knows images too";
        assert!(found.contains(wanted), "{found}");
        assert_eq!(object(&info)["without_images"], true);
    }

    #[test]
    fn tensors_and_json() {
        assert_eq!(tensor_lines(&info().tensors)[1], "w     Q4_1  576 x 64  23.0 kB");
        let object = object(&info());
        assert_eq!(object["types"]["Q4_1"], 2);
        assert_eq!(object["licence"], serde_json::Value::Null);
        assert_eq!(object["tensors"][0]["shape"][0], 576);
    }
}
