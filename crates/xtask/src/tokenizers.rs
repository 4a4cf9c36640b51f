//! How fast hob makes tokens of a text beside the `llama-tokenize` of a llama.cpp build, vocabulary
//! by vocabulary: both programs whole, printing included, less what they take for one space.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::bench;
use crate::shell::{cache, command, root, step};

const USAGE: &str = "usage: cargo xtask tokenizers --against LLAMA_CPP_BUILD \
                     [--only PART]";
/// Of the text.
const BYTES: usize = 10_000_000;
/// What texts are made of.
const EXTENSIONS: [&str; 5] = ["json", "md", "py", "rs", "txt"];
/// Larger files are data rather than text.
const FILE_BYTES_MAX: u64 = 400_000;
/// Best of so many runs in turn.
const REPETITIONS: usize = 3;
/// Seconds after which llama.cpp's program is ended: words of some vocabularies take it forever.
const PEER_SECONDS: u32 = 60;
/// What `timeout` says then.
const ENDED: i32 = 124;
/// How far ahead hob is to be.
const RATIO_MIN: f64 = 2.0;

/// Measures all vocabularies that `setup` installed, or those with a part in their names: prints a
/// table.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (build, only) = match *arguments {
        ["--against", build] => (build, ""),
        ["--against", build, "--only", part] => (build, part),
        _ => bail!(USAGE),
    };
    let peer = Path::new(build).join("bin/llama-tokenize");
    ensure!(peer.exists(), "no {}: build the target llama-tokenize", peer.display());
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))?;
    let hob = bench::target_folder()?.join("release/hob");
    let folder = cache().join("tokenizers");
    std::fs::create_dir_all(&folder)?;
    let (text, space) = (folder.join("text"), folder.join("space"));
    std::fs::write(&text, made_text()?)?;
    std::fs::write(&space, " ")?;
    println!(
        "| vocabulary | tokens | same | hob, s | llama.cpp, s | ratio |\n|---|---|---|---|---|---|"
    );
    let (mut ahead, mut count) = (0, 0);
    let wanted = vocabularies()?.into_iter().filter(|(name, _)| name.contains(only));
    for (name, vocabulary) in wanted {
        let mut best = [f64::INFINITY; 4];
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..REPETITIONS {
            for (i, text) in [&text, &space].into_iter().enumerate() {
                let (seconds, ids) = timed(&hob, &hob_arguments(&vocabulary), text)?;
                best[i] = best[i].min(seconds);
                let (peers, peer_ids) =
                    timed(Path::new("timeout"), &peer_arguments(&peer, &vocabulary, text), text)?;
                best[2 + i] = best[2 + i].min(peers);
                if i == 0 {
                    (ours, theirs) = (ids, peer_ids);
                }
            }
            if best[2] > PEER_SECONDS.into() {
                break;
            }
        }
        let (hob, peer) = (best[0] - best[1], best[2] - best[3]);
        let ratio = peer / hob;
        let same = match ours == theirs {
            _ if best[2] > PEER_SECONDS.into() => "not ended",
            true => "yes",
            false => "no",
        };
        // Each at once: a run over all of them takes a quarter of an hour.
        println!("| {name} | {} | {same} | {hob:.2} | {peer:.2} | {ratio:.1} |", ours.len());
        (ahead, count) = (ahead + usize::from(ratio >= RATIO_MIN), count + 1);
    }
    println!("── {ahead} of {count} vocabularies are {RATIO_MIN} times as fast");
    Ok(())
}

/// Names and files, sorted.
fn vocabularies() -> Result<BTreeMap<String, PathBuf>> {
    let folder = cache().join("llama.cpp/models");
    let files = std::fs::read_dir(&folder).with_context(|| {
        format!("no vocabularies in {}: run `cargo xtask setup`", folder.display())
    })?;
    let mut out = BTreeMap::new();
    for file in files {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_prefix("ggml-vocab-").and_then(|name| name.strip_suffix(".gguf"));
        if let Some(name) = name {
            out.insert(name.to_owned(), path);
        }
    }
    Ok(out)
}

/// Words, code and tables: the first megabytes of this project and of what `setup` installed.
fn made_text() -> Result<String> {
    let mut text = String::new();
    let mut folders = vec![cache().join("venv"), cache().join("llama.cpp")];
    folders.extend([root().join("crates"), root().join("docs")]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("no {}: run `cargo xtask setup`", folder.display()))?;
        let mut entries = entries.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            let is_text = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
            if !kind.is_file() || !is_text || entry.metadata()?.len() > FILE_BYTES_MAX {
                continue;
            }
            text.push_str(&String::from_utf8_lossy(&std::fs::read(path)?));
            if text.len() >= BYTES {
                text.truncate(text.floor_char_boundary(BYTES));
                return Ok(text);
            }
        }
    }
    bail!("{} bytes of text in all, and {BYTES} are wanted: run `cargo xtask setup`", text.len())
}

fn hob_arguments(vocabulary: &Path) -> Vec<String> {
    let vocabulary = vocabulary.display().to_string();
    ["tokenize", "--model", &vocabulary, "--plain", "--ids"].map(str::to_owned).to_vec()
}

/// Of `timeout`, which ends the program as if it had written nothing more.
fn peer_arguments(peer: &Path, vocabulary: &Path, text: &Path) -> Vec<String> {
    let seconds = PEER_SECONDS.to_string();
    let [peer, vocabulary, text] = [peer, vocabulary, text].map(|path| path.display().to_string());
    let program = [&*seconds, &peer, "-m", &vocabulary, "-f", &text];
    let options = ["--ids", "--no-escape", "--no-parse-special", "--log-disable"];
    program.into_iter().chain(options).map(str::to_owned).collect()
}

/// Seconds, and the ids that were printed. The text is the standard input too.
fn timed(program: &Path, arguments: &[String], text: &Path) -> Result<(f64, Vec<u32>)> {
    let mut command = command(program);
    command.args(arguments).stdin(File::open(text)?).stdout(Stdio::piped()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut out = String::new();
    child.stdout.take().context("its output is piped")?.read_to_string(&mut out)?;
    let status = child.wait()?;
    ensure!(status.success() || status.code() == Some(ENDED), "{command:?} failed");
    let seconds = start.elapsed().as_secs_f64();
    let words = out.split(|letter: char| !letter.is_ascii_digit()).filter(|word| !word.is_empty());
    Ok((seconds, words.map(str::parse).collect::<std::result::Result<_, _>>()?))
}
