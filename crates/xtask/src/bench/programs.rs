//! hob and its peer as processes: one repetition each, after a warm-up of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::{Case, Test};
use super::models;
use crate::shell::command;

/// Rates of a group's cases, in its order.
pub(crate) struct Rates {
    pub(crate) tokens_per_s: Vec<f64>,
    /// What the machine allows at most; empty from the peer.
    pub(crate) limits: Vec<f64>,
    /// `build_commit`, or empty.
    pub(crate) commit: String,
}

/// This project's program.
pub(crate) struct Hob {
    pub(crate) binary: PathBuf,
    pub(crate) threads: usize,
    pub(crate) backend: String,
}

impl Hob {
    pub(crate) fn run(&self, group: &[Case]) -> Result<Rates> {
        let mut hob = command(&self.binary);
        hob.env("HOB_HOME", models::folder().join("home"));
        hob.args(["bench", "--json", "-r", "1", "--backend", &self.backend, "-m"])
            .arg(models::path(&group[0]));
        add_tests(&mut hob, group, self.threads);
        hob.args(["--sequences", &group[0].test.n_sequences.to_string()]);
        let rows = json(&mut hob)?;
        let found = |name: &str| group.iter().map(|case| number(&rows, case.test, name)).collect();
        let (tokens_per_s, limits): (Result<_>, Result<_>) = (found("avg_ts"), found("limit_ts"));
        Ok(Rates { tokens_per_s: tokens_per_s?, limits: limits?, commit: String::new() })
    }
}

/// A llama.cpp build folder.
pub(crate) struct Peer {
    pub(crate) build: PathBuf,
    pub(crate) threads: usize,
}

/// Whether the peer fuses its attention: which is faster depends on the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlashAttention {
    Off,
    On,
}

impl FlashAttention {
    pub(crate) const BOTH: [FlashAttention; 2] = [FlashAttention::Off, FlashAttention::On];

    /// As the peer's option wants it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            FlashAttention::Off => "off",
            FlashAttention::On => "on",
        }
    }
}

impl Peer {
    /// # Errors
    /// When the folder has no llama-bench.
    pub(crate) fn new(build: &Path, threads: usize) -> Result<Peer> {
        let build = build.canonicalize().with_context(|| format!("no folder {build:?}"))?;
        let bench = build.join("bin/llama-bench");
        ensure!(bench.exists(), "{bench:?} is not there: build llama.cpp's target llama-bench");
        Ok(Peer { build, threads })
    }

    pub(crate) fn run(&self, group: &[Case], attention: FlashAttention) -> Result<Rates> {
        match group[0].test.n_sequences {
            1 => self.bench(group, attention),
            _ => self.batched(group, attention),
        }
    }

    fn bench(&self, group: &[Case], attention: FlashAttention) -> Result<Rates> {
        let mut bench = command(self.build.join("bin/llama-bench"));
        bench.args(["-o", "json", "-r", "1", "-fa", attention.word(), "-m"]);
        bench.arg(models::path(&group[0]));
        add_tests(&mut bench, group, self.threads);
        let rows = json(&mut bench)?;
        let found = group.iter().map(|case| number(&rows, case.test, "avg_ts"));
        let tokens_per_s = found.collect::<Result<_>>()?;
        let commit = rows[0]["build_commit"].as_str().unwrap_or_default().to_owned();
        Ok(Rates { tokens_per_s, limits: Vec::new(), commit })
    }

    /// Several sequences: each reads the depth as its prompt, then all make tokens together.
    fn batched(&self, group: &[Case], attention: FlashAttention) -> Result<Rates> {
        let mut tokens_per_s = Vec::new();
        for case in group {
            let test = case.test;
            let mut bench = command(self.build.join("bin/llama-batched-bench"));
            bench.args(["--output-format", "jsonl", "-fa", attention.word(), "-m"]);
            bench.arg(models::path(case));
            let positions = test.n_sequences * (test.n_depth + test.n_gen);
            for (option, value) in [
                ("-c", positions.next_multiple_of(256)),
                ("-npp", test.n_depth),
                ("-ntg", test.n_gen),
                ("-npl", test.n_sequences),
            ] {
                bench.args([option, &value.to_string()]);
            }
            bench.args(["-t", &self.threads.to_string()]);
            let text = output(&mut bench)?;
            let line = text.lines().find(|line| line.starts_with('{'));
            let row: Value = serde_json::from_str(line.context("no line of JSON")?)?;
            tokens_per_s.push(row["speed_tg"].as_f64().context("no speed_tg")?);
        }
        Ok(Rates { tokens_per_s, limits: Vec::new(), commit: String::new() })
    }
}

/// The options that both programs share.
fn add_tests(command: &mut Command, group: &[Case], threads: usize) {
    let list = |of: fn(Test) -> u32| {
        let counts = group.iter().map(|case| of(case.test)).filter(|count| *count > 0);
        let counts: Vec<String> = counts.map(|count| count.to_string()).collect();
        if counts.is_empty() { "0".to_owned() } else { counts.join(",") }
    };
    command.args(["-p", &list(|test| test.n_prompt), "-n", &list(|test| test.n_gen)]);
    command.args(["-d", &group[0].test.n_depth.to_string(), "-t", &threads.to_string()]);
}

/// A field of the row that measures this.
fn number(rows: &Value, test: Test, name: &str) -> Result<f64> {
    let same = |row: &&Value| {
        let is = |name: &str, wanted: u32| row[name].as_u64() == Some(u64::from(wanted));
        is("n_prompt", test.n_prompt) && is("n_gen", test.n_gen) && is("n_depth", test.n_depth)
    };
    let row = rows.as_array().and_then(|rows| rows.iter().find(same));
    let value = row.and_then(|row| row[name].as_f64());
    value.with_context(|| format!("no {name} of {} in {rows}", test.name()))
}

fn json(command: &mut Command) -> Result<Value> {
    Ok(serde_json::from_str(&output(command)?)?)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{error}");
    Ok(String::from_utf8(output.stdout)?)
}
