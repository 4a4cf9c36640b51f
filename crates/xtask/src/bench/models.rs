//! The models that are measured, in `.cache/bench`: made once, and used again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cases::{self, Case};
use crate::setup;
use crate::shell::{cache, command, step};

/// The model that is shipped, and the type it is shipped in.
const SHIPPED: (&str, &str) = ("SmolLM2", "Q4_1");

/// Where models are made.
pub(crate) fn folder() -> PathBuf {
    cache().join("bench")
}

/// The file of a case's model.
pub(crate) fn path(case: &Case) -> PathBuf {
    let (shape, kind) = case.model();
    if case.model() == SHIPPED {
        return setup::model_path();
    }
    folder().join(format!("{shape}-{kind}.gguf"))
}

/// Makes what is missing; the cases whose models cannot be had are left out, and it is said why.
pub(crate) fn make(cases: Vec<Case>, peer: &Path) -> Result<Vec<Case>> {
    std::fs::create_dir_all(folder())?;
    setup::model()?;
    let known = known()?;
    let mut kept = Vec::new();
    for case in cases {
        let (shape, kind) = case.model();
        // Types that hob does not run are told by the list of what it can write.
        let runs = case.model() == SHIPPED || known.contains(&format!("1.17B-{kind}"));
        if !runs {
            println!("── {}: left out, hob does not know {kind} yet", case.name());
        } else if path(&case).exists() {
            kept.push(case);
        } else if shape != SHIPPED.0 {
            let (shape, kind) = case.model();
            random(&folder(), &[&format!("{shape}-{kind}")])?;
            kept.push(case);
        } else if peer.join("bin/llama-quantize").exists() {
            requantize(&case, peer)?;
            kept.push(case);
        } else {
            println!("── {}: left out, there is no llama-quantize to make it", case.name());
        }
    }
    Ok(kept)
}

/// The shipped model in F16, made if it is not there yet.
pub(crate) fn shipped_in_f16(peer: &Path) -> Result<PathBuf> {
    let is_it = |case: &Case| case.model() == (SHIPPED.0, "F16");
    let case =
        cases::all().into_iter().find(is_it).context("no case of the shipped model in F16")?;
    make(vec![case], peer)?;
    Ok(path(&case))
}

/// Names of the random models that can be made.
fn known() -> Result<Vec<String>> {
    let output = example().arg("--list").output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Makes random models of these names in a folder, those that are not there yet.
pub(crate) fn random(folder: &Path, names: &[&str]) -> Result<()> {
    let mut make = example();
    make.arg(folder).arg(setup::model_path()).args(names);
    step(&format!("make random models: {}", names.join(", ")), &mut make)
}

/// Makes a file with the header of such a model and a hole for its weights.
pub(crate) fn hollow(path: &str, name: &str) -> Result<()> {
    let mut make = example();
    make.args(["--hollow", path]).arg(setup::model_path()).arg(name);
    step(&format!("make {name} without weights"), &mut make)
}

/// Every model that was made for measurements before.
pub(crate) fn here() -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder()) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        paths.extend(path.extension().is_some_and(|end| end == "gguf").then_some(path));
    }
    paths.sort();
    Ok(paths)
}

fn example() -> std::process::Command {
    let mut cargo = command("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "testkit"]);
    cargo.args(["--example", "random_models", "--"]);
    cargo
}

/// The shipped model in another type: its words get worse, its speed is that of the type.
fn requantize(case: &Case, peer: &Path) -> Result<()> {
    let target = path(case);
    let part = target.with_extension("part");
    let mut quantize = command(peer.join("bin/llama-quantize"));
    quantize.arg("--allow-requantize");
    let file_type = if case.kind == "MXFP4" {
        // A type of its own is only for experts; in a dense model it is asked for by tensor.
        quantize.args(["--tensor-type", "attn_=mxfp4", "--tensor-type", "ffn_=mxfp4"]);
        "Q8_0"
    } else {
        case.kind
    };
    quantize.arg(setup::model_path()).arg(&part).arg(file_type);
    quantize.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    step(&format!("make {} {}", case.shape, case.kind), &mut quantize)?;
    std::fs::rename(part, target)?;
    Ok(())
}
