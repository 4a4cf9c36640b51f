//! What each type that `hob quantize` makes costs in quality, beside the file that `llama-quantize`
//! makes of the same source: mean KL divergence from the source on a real text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::bench;
use crate::shell::{cache, command, root, step};

/// The types and mixes that `hob quantize` fits, as both programs name them.
const TYPES: [&str; 17] = [
    "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0",
    "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q2_K_S",
];
/// Of the text.
const BYTES: usize = 6_000;
/// Tokens of a chunk.
const CHUNK: &str = "256";

/// Makes each type by both programs and prints a table.
pub(crate) fn run(build: &str) -> Result<()> {
    let build = Path::new(build);
    let peer = build.join("bin/llama-quantize");
    ensure!(peer.exists(), "no {}: build the target llama-quantize", peer.display());
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))?;
    let hob = bench::target_folder()?.join("release/hob");
    let source = bench::models::shipped_in_f16(build)?;
    let folder = cache().join("mixes");
    std::fs::create_dir_all(&folder)?;
    let text = folder.join("text");
    std::fs::write(&text, &std::fs::read(root().join("tools/quality/alice.txt"))?[..BYTES])?;
    println!("| type | hob | llama.cpp | bytes of hob's file | of llama.cpp's |");
    println!("|---|---|---|---|---|");
    let (mut behind, mut refused) = (Vec::new(), 0);
    for name in TYPES {
        let (own, other) = (folder.join("hob.gguf"), folder.join("llama.gguf"));
        let mut quantize = command(&hob);
        quantize.args(["quantize", "--replace"]).arg(&source).arg(name).arg("-o").arg(&own);
        ensure!(quantize.output()?.status.success(), "{quantize:?} failed");
        let made = command(&peer).arg(&source).arg(&other).args([name, "2"]).output()?;
        let divergence = |file: &PathBuf| divergence(&hob, &text, file, &source);
        let ours = divergence(&own)?;
        let size = |file: &PathBuf| Ok::<u64, std::io::Error>(std::fs::metadata(file)?.len());
        if made.status.success() {
            let theirs = divergence(&other)?;
            println!(
                "| {name} | {ours:.3e} | {theirs:.3e} | {} | {} |",
                size(&own)?,
                size(&other)?
            );
            behind.extend((ours > theirs).then_some(name));
        } else {
            println!("| {name} | {ours:.3e} | refused | {} | - |", size(&own)?);
            refused += 1;
        }
        [own, other].iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
    println!("── {} of {} types are behind: {behind:?}", behind.len(), TYPES.len() - refused);
    Ok(())
}

/// Nats a token, as `hob perplexity` says.
fn divergence(hob: &Path, text: &Path, made: &Path, source: &Path) -> Result<f64> {
    let mut perplexity = command(hob);
    perplexity.arg("perplexity").arg(text).args(["-c", CHUNK, "-m"]).arg(made);
    let output = perplexity.arg("--kl-base").arg(source).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let figure = said.lines().find_map(|line| line.strip_prefix("KL divergence = "));
    let figure = figure.and_then(|rest| rest.split(' ').next());
    figure
        .with_context(|| format!("{perplexity:?} says no divergence"))?
        .parse()
        .map_err(Into::into)
}
