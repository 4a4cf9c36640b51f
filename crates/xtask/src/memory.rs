//! What `hob fit` promises a model will take, against what loading it really took, over models,
//! formats, contexts, types of keys and values, and users.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell::{cache, command, root, step};
use crate::{bench, setup};

/// A promise is kept when what was loaded took no more, and so many percent less at most.
const OFF_MAX: f64 = 3.0;

/// What is loaded by a row.
struct Load {
    context: u32,
    users: u32,
    kv: &'static str,
}

const fn load(context: u32, users: u32, kv: &'static str) -> Load {
    Load { context, users, kv }
}

/// A model of each kind of layer, made wide enough for the program itself not to matter: fixture,
/// factor, format, tokens where they are many.
const SHORT: &[&str] = &[
    "deepseek2-8-Q8_0",
    "gemma3-8-Q8_0",
    "qwen3-8-Q8_0-151936",
    "qwen3moe-8-Q8_0",
    "qwen3next-8-Q8_0",
];
/// The same in other formats, and other families.
const LONG: &[&str] = &[
    "deepseek2-8-F16",
    "deepseek2-8-Q4_K",
    "deepseek3-8-Q8_0",
    "gemma2-8-Q8_0",
    "gemma3-8-F16",
    "gemma3-8-Q4_K",
    "glm4-8-Q8_0",
    "gpt_oss-8-MXFP4",
    "granitemoe-8-Q8_0",
    "llama-8-Q8_0",
    "mixtral-8-Q8_0",
    "olmo2-8-Q8_0",
    "phi3-8-Q8_0",
    "qwen3-8-F16-151936",
    "qwen3-8-Q4_K-151936",
    "qwen35-8-Q8_0",
    "qwen35moe-8-Q8_0",
    "qwen3moe-8-F16",
    "qwen3moe-8-IQ4_XS",
    "qwen3moe-8-Q4_K",
    "qwen3next-8-F16",
    "qwen3next-8-Q4_K",
    "smollm3-8-Q8_0",
];

const SHORT_LOADS: &[Load] = &[load(1024, 1, "f16")];
const LONG_LOADS: &[Load] =
    &[load(1, 1, "f16"), load(512, 4, "q8_0"), load(1024, 1, "f32"), load(4096, 1, "f16")];

/// What rates are compared for.
const RATES_LOAD: Load = load(512, 1, "f16");

/// The model, and the program as its source is now.
fn prepare() -> Result<()> {
    setup::model()?;
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))
}

/// `--all` for every row; the first few otherwise.
pub(crate) fn run(flags: &[&str]) -> Result<()> {
    let is_all = match flags {
        [] => false,
        ["--all"] => true,
        _ => bail!("memory takes --all or nothing"),
    };
    prepare()?;
    let mut rows = Vec::new();
    let folder = cache().join("memory");
    let names: Vec<&str> = SHORT.iter().chain(if is_all { LONG } else { &[] }).copied().collect();
    bench::models::random(&folder, &names)?;
    let loads = || SHORT_LOADS.iter().chain(if is_all { LONG_LOADS } else { &[] });
    for name in names {
        rows.extend(loads().map(|load| (folder.join(format!("{name}.gguf")), load)));
    }
    rows.extend(loads().map(|load| (setup::model_path(), load)));
    if is_all {
        rows.extend(bench::models::here()?.into_iter().map(|path| (path, &LONG_LOADS[3])));
    }
    let home = cache().join("memory-home");
    println!(
        "   {:<28} {:>22} {:>10} {:>10} {:>7}",
        "model", "load", "promised", "resident", "off"
    );
    let mut broken = 0;
    for (path, load) in &rows {
        broken += usize::from(!row(&home, path, load)?);
    }
    ensure!(broken == 0, "{broken} of {} promises of memory are not kept", rows.len());
    println!("── memory: {} promises kept within {OFF_MAX} %", rows.len());
    Ok(())
}

/// Loads and compares; whether the promise was kept.
fn row(home: &Path, path: &Path, load: &Load) -> Result<bool> {
    let told = verified(home, path, load)?;
    let memory = &told["checks"][0];
    let bytes = |key: &str| memory[key].as_f64().with_context(|| format!("no {key}: {told}"));
    let (promised, measured) = (bytes("promised")?, bytes("measured")?);
    let off = 100.0 * (measured / promised - 1.0);
    let is_kept = (-OFF_MAX..=0.0).contains(&off);
    let model = path.file_stem().unwrap_or_default().to_string_lossy();
    let what = format!("{} x {} {}", load.context, load.users, load.kv);
    let mib = f64::from(1 << 20);
    println!(
        "   {model:<28} {what:>22} {:>10.1} {:>10.1} {off:>+6.1}%{}",
        promised / mib,
        measured / mib,
        if is_kept { "" } else { "  BROKEN" }
    );
    Ok(is_kept)
}

/// What `hob fit --verify --json` tells of a load.
fn verified(home: &Path, path: &Path, load: &Load) -> Result<Value> {
    let mut hob = command(root().join("target/release/hob"));
    hob.env("HOB_HOME", home).arg("fit").arg(path).args(["--verify", "--json"]);
    hob.args(["--context", &load.context.to_string(), "--users", &load.users.to_string()]);
    let output = hob.args(["--kv", load.kv]).output()?;
    // A broken promise fails it too: who asks looks at those that concern it.
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Calibrates in an empty home, then compares promised rates with those of each model that is here.
pub(crate) fn rates() -> Result<()> {
    prepare()?;
    let home = cache().join("rates-home");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    let mut hob = command(root().join("target/release/hob"));
    let model = setup::model_path();
    step("calibrate", hob.env("HOB_HOME", &home).args(["calibrate", "--model"]).arg(&model))?;
    let mut off = [Vec::new(), Vec::new()];
    for path in std::iter::once(model).chain(bench::models::here()?) {
        let told = verified(&home, &path, &RATES_LOAD)?;
        let mut line = format!("   {:<28}", path.file_stem().unwrap_or_default().to_string_lossy());
        for (check, off) in told["checks"].as_array().into_iter().flatten().skip(1).zip(&mut off) {
            let rate = |key: &str| check[key].as_f64().with_context(|| format!("no {key}: {told}"));
            let (promised, measured) = (rate("promised")?, rate("measured")?);
            let percent = 100.0 * (measured / promised - 1.0);
            let name = check["name"].as_str().unwrap_or_default();
            line += &format!(" {name:>7} {promised:>8.1} {measured:>8.1} {percent:>+6.1}%");
            off.push(percent.abs());
        }
        println!("{line}");
    }
    for (name, mut off) in ["writes", "reads"].into_iter().zip(off) {
        off.sort_by(f64::total_cmp);
        let most = off.last().context("no rates")?;
        println!(
            "── {name}: off by {:.1} % in the median, {most:.1} % at most",
            off[off.len() / 2]
        );
    }
    Ok(())
}
