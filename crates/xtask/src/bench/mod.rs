//! hob against a llama.cpp build that the person has, in turn on this machine, case by case.
//!
//! The peer is neither downloaded nor built here. Both programs run one repetition a process, one
//! after the other, so that whatever else the machine does falls on both.

mod cases;
pub(crate) mod models;
mod programs;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use serde_json::{Value, json};

use crate::shell::{command, root, step};
use cases::Case;
use programs::{FlashAttention, Hob, Peer, Rates};
use table::Row;

const USAGE: &str = "usage: cargo xtask bench --against LLAMA_CPP_BUILD [--cases quick|all] \
                     [--only SUBSTRING] [--reps N] [--threads N] [--backend NAME]";
const REPETITIONS_DEFAULT: usize = 5;

/// What was asked for.
struct Options {
    against: PathBuf,
    cases: Vec<Case>,
    repetitions: usize,
    threads: usize,
    backend: String,
}

/// Measures, prints the table, and appends to `evidence/bench`.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let peer = Peer::new(&options.against, options.threads)?;
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))?;
    let (threads, backend) = (options.threads, options.backend);
    let hob = Hob { binary: target_folder()?.join("release/hob"), threads, backend };
    let cases = models::make(options.cases, &peer.build)?;
    println!("── {threads} threads, {} repetitions in turn", options.repetitions);
    println!("{}", table::HEADING);
    let mut rows = Vec::new();
    let mut peer_commit = String::new();
    for group in cases::groups(&cases) {
        let measured = measure(&hob, &peer, group, options.repetitions, &mut peer_commit)?;
        measured.iter().for_each(|row| println!("{}", row.line()));
        // After every group, so that what was measured is not lost with what comes after.
        append(&measured, &hob, &peer_commit)?;
        rows.extend(measured);
    }
    let missed = rows.iter().filter(|row| !row.is_enough()).count();
    println!("── {} of {} cases are as far ahead as asked", rows.len() - missed, rows.len());
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let (mut against, mut chosen, mut only, mut backend) = (None, "quick", "", "cpu");
    let mut repetitions = REPETITIONS_DEFAULT;
    let mut threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for pair in arguments.chunks(2) {
        match *pair {
            ["--against", folder] => against = Some(PathBuf::from(folder)),
            ["--cases", name] => chosen = name,
            ["--only", part] => only = part,
            ["--backend", name] => backend = name,
            ["--reps", count] => repetitions = count.parse().context(USAGE)?,
            ["--threads", count] => threads = count.parse().context(USAGE)?,
            _ => bail!("{}\n{USAGE}", pair.join(" ")),
        }
    }
    let mut cases = match chosen {
        "quick" => cases::quick(),
        "all" => cases::all(),
        other => bail!("no cases `{other}`\n{USAGE}"),
    };
    cases.retain(|case| case.name().contains(only));
    ensure!(!cases.is_empty(), "no case of `{chosen}` has `{only}` in its name");
    ensure!(repetitions > 0 && threads > 0, "{USAGE}");
    let against = against.context(USAGE)?;
    Ok(Options { against, cases, repetitions, threads, backend: backend.to_owned() })
}

/// Where cargo builds, which the person may have chosen.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Runs both programs in turn on cases that share a model and a depth.
fn measure(
    hob: &Hob,
    peer: &Peer,
    group: &[Case],
    repetitions: usize,
    peer_commit: &mut String,
) -> Result<Vec<Row>> {
    let better = better_setting(peer, group)?;
    let row = |(case, attention): (&Case, &FlashAttention)| Row {
        case: *case,
        hob: Vec::new(),
        peer: Vec::new(),
        attention: *attention,
        limits: Vec::new(),
    };
    let mut rows: Vec<Row> = group.iter().zip(&better).map(row).collect();
    for repetition in 1..=repetitions {
        // On stderr, so that the table can be taken from stdout as it is.
        eprintln!("   {}: {repetition} of {repetitions}", group[0].name());
        let ours = hob.run(group)?;
        for (i, row) in rows.iter_mut().enumerate() {
            row.hob.push(ours.tokens_per_s[i]);
            row.limits.push(ours.limits[i]);
        }
        for attention in FlashAttention::BOTH {
            let mut wanted: Vec<&mut Row> =
                rows.iter_mut().filter(|row| row.attention == attention).collect();
            if wanted.is_empty() {
                continue;
            }
            let cases: Vec<Case> = wanted.iter().map(|row| row.case).collect();
            let theirs = peer.run(&cases, attention)?;
            for (row, rate) in wanted.iter_mut().zip(theirs.tokens_per_s) {
                row.peer.push(rate);
            }
            if !theirs.commit.is_empty() {
                *peer_commit = theirs.commit;
            }
        }
    }
    Ok(rows)
}

/// Which setting of its attention the peer is faster with, case by case.
fn better_setting(peer: &Peer, group: &[Case]) -> Result<Vec<FlashAttention>> {
    let runs = FlashAttention::BOTH.map(|attention| peer.run(group, attention));
    let [off, on]: [Result<Rates>; 2] = runs;
    let (off, on) = (off?.tokens_per_s, on?.tokens_per_s);
    let better = |(off, on): (&f64, &f64)| {
        if on > off { FlashAttention::On } else { FlashAttention::Off }
    };
    Ok(off.iter().zip(&on).map(better).collect())
}

/// Adds a line for each row to this processor's file.
fn append(rows: &[Row], hob: &Hob, peer_commit: &str) -> Result<()> {
    let cpu = Cpu::find();
    let run: Value = json!({
        "date": said(&["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"])?,
        "commit": said(&["git", "describe", "--always", "--dirty", "--exclude", "*"])?,
        "llama_cpp_commit": peer_commit,
        "cpu": cpu.name,
        "features": cpu.features,
        "threads": hob.threads,
        "backend": hob.backend,
    });
    let folder = root().join("evidence/bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.jsonl", cleaned(&cpu.name)));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    for row in rows {
        writeln!(file, "{}", row.evidence(&run))?;
    }
    Ok(())
}

/// The first line that a program says.
fn said(words: &[&str]) -> Result<String> {
    let output = command(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "{words:?} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What the system says of the processor.
struct Cpu {
    name: String,
    /// Those that decide which kernels run.
    features: Vec<String>,
}

const FEATURES: &[&str] =
    &["amx_bf16", "amx_int8", "asimddp", "avx2", "avx512_bf16", "avx512_vnni", "avx_vnni", "i8mm"];

impl Cpu {
    fn find() -> Cpu {
        let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
        Cpu::parse(&text)
    }

    fn parse(text: &str) -> Cpu {
        let value = |keys: [&str; 2]| {
            let line = text.lines().find(|line| keys.iter().any(|key| line.starts_with(key)));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
        };
        let found = value(["flags", "Features"]).unwrap_or_default();
        let has = |feature: &&&str| found.split_whitespace().any(|word| word == **feature);
        Cpu {
            name: value(["model name", "CPU part"]).unwrap_or("unknown").to_owned(),
            features: FEATURES.iter().filter(has).map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// `intel-xeon-processor` of `Intel(R) Xeon(R) Processor`.
fn cleaned(name: &str) -> String {
    let name = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{Cpu, cleaned, parse};

    #[test]
    fn a_processor_is_told_without_marks() {
        let cpu =
            Cpu::parse("model name\t: Intel(R) Xeon(R) Processor\nflags\t: fpu avx2 amx_int8");
        assert_eq!(cleaned(&cpu.name), "intel-xeon-processor");
        assert_eq!(cpu.features, ["amx_int8", "avx2"]);
        assert_eq!(cleaned("AMD EPYC 9654 96-Core"), "amd-epyc-9654-96-core");
        assert_eq!(Cpu::parse("").name, "unknown");
    }

    #[test]
    fn options_choose_cases() {
        let options = parse(&["--against", "x", "--cases", "all", "--only", "Q6_K"]).unwrap();
        let names: Vec<String> = options.cases.iter().map(super::Case::name).collect();
        assert_eq!(names, ["1.17B Q6_K pp512", "1.17B Q6_K tg64"]);
        assert!(parse(&["--cases", "all"]).is_err(), "nothing to compare with");
        assert!(parse(&["--against", "x", "--only", "nothing of the kind"]).is_err());
        assert!(
            parse(&["--against"]).is_err() && parse(&["--against", "x", "--reps", "0"]).is_err()
        );
    }
}
