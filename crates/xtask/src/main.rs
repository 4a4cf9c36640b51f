//! The one toolbox: `cargo xtask <command>`. Rust, not shell, so that it runs where hob builds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod arm;
mod bench;
mod ci;
mod conformance;
mod counts;
mod e2e;
mod fit;
mod limits;
mod memory;
mod mixes;
mod quality;
mod setup;
mod shell;
mod tidy;
mod tokenizers;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask <command>

  setup      Install what tests need into .cache: the real model, independent truth, clients
  test       setup, then every test: unit tests, whole-program runs with the real model
  tidy       Check the architecture, sizes, links and lists
  e2e        Whole-program runs with the real model (after a release build)
  quality    The fast kernels against the reference on a real text: top-1, KL, perplexity
             [--llama-logits FILE] compares with a file of llama-perplexity --save-all-logits
             --mixes --against BUILD_FOLDER: the types of `hob quantize` beside llama-quantize's
  fit        The planner's speed model against published measurements: cross-validation
             [--write] fits its coefficients anew, [--check] fails where a promise is missed
  conformance  Every architecture on every backend against transformers, into docs/models.md
             [--check] says whether that is fresh
  memory     What `hob fit` promises a load will take against what it took (after a release build)
             [--all] more models, formats, contexts, users and types of keys and values
  rates      Calibrate, then promised rates of models that are here against measured ones
  limits     What this machine can do at most: memory bandwidth, int8 and fp32 peaks
  bench      hob and llama.cpp in turn, with this machine's limits: --against BUILD_FOLDER
             [--cases quick|all] [--only SUBSTRING] [--reps N] [--threads N] [--backend NAME]
  tokenizers  hob and llama-tokenize in turn on 10 MB of text: --against BUILD_FOLDER
             [--only PART] those vocabularies alone
  counts     Instructions of the hot kernels against crates/kernels-cpu/counts.txt [--accept]
  arm        The kernels for Arm under emulation: i8mm, dotprod and plain NEON
  ci         Everything that must pass before a change lands
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["setup"] => setup::run(),
        ["test"] => ci::test(),
        ["tidy"] => tidy::run(),
        ["e2e"] => e2e::run(),
        ["quality", "--mixes", "--against", build] => mixes::run(build),
        ["quality", rest @ ..] => quality::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["fit", rest @ ..] => fit::run(rest),
        ["tokenizers", rest @ ..] => tokenizers::run(rest),
        ["limits"] => limits::run(),
        ["memory", rest @ ..] => memory::run(rest),
        ["rates"] => memory::rates(),
        ["conformance", rest @ ..] => conformance::run(rest),
        ["counts", rest @ ..] => counts::run(rest),
        ["arm"] => arm::run(),
        ["ci"] => ci::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("no command `{}`; see `cargo xtask help`", other.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
