//! What must pass before a change lands, in the order that fails soonest.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::shell::{command, step};
use crate::{arm, conformance, counts, e2e, fit, quality, setup, tidy};

/// Tests that hold hob to what others wrote: golden tokenisations, templates and answers, grammars,
/// schemas, types of weights, folders and figures of `transformers`. Names of test programs.
const SUITES: [&str; 9] = [
    "architectures",
    "families",
    "fixtures",
    "golden",
    "json",
    "schemas",
    "strings",
    "templates",
    "truth",
];
/// Most that these may take together with the conformance of all architectures.
const SUITES_SECONDS_MAX: u64 = 15 * 60;

/// Everything.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    step("format", command("cargo").args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    let mut clippy = command("cargo");
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step("clippy", &mut clippy)?;
    test()?;
    counts::run(&[])?;
    arm::run()?;
    println!("── ci: all passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The README's test command.
pub(crate) fn test() -> Result<()> {
    setup::run()?;
    let tests = ["test", "--workspace", "--no-fail-fast"];
    step("build of the tests", command("cargo").args(tests).arg("--no-run"))?;
    conformance::build()?;
    suites()?;
    step("tests", command("cargo").args(tests))?;
    fit::run(&["--check"])?;
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))?;
    e2e::run()?;
    quality::run(&[])
}

/// What others wrote, within its time.
fn suites() -> Result<()> {
    let started = Instant::now();
    let mut cargo = command("cargo");
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    cargo.args(SUITES.iter().flat_map(|name| ["--test", *name]));
    step("suites", &mut cargo)?;
    conformance::run(&["--check"])?;
    let seconds = started.elapsed().as_secs();
    println!("── suites and conformance: {seconds} s of at most {SUITES_SECONDS_MAX}");
    in_time(seconds)
}

fn in_time(seconds: u64) -> Result<()> {
    ensure!(
        seconds <= SUITES_SECONDS_MAX,
        "suites and conformance took {seconds} s, and {SUITES_SECONDS_MAX} are the most: see the \
         steps above, and make the longest shorter"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SUITES, in_time};
    use crate::shell::root;

    #[test]
    fn suites_that_take_long_fail() {
        assert!(in_time(900).is_ok());
        let error = in_time(901).unwrap_err().to_string();
        assert!(error.starts_with("suites and conformance took 901 s"), "{error}");
    }

    #[test]
    fn each_suite_is_a_test_program() {
        let crates = std::fs::read_dir(root().join("crates")).unwrap();
        let tests: Vec<_> = crates.map(|entry| entry.unwrap().path().join("tests")).collect();
        for name in SUITES {
            let is_there = tests.iter().any(|tests| {
                tests.join(format!("{name}.rs")).exists()
                    || tests.join(name).join("main.rs").exists()
            });
            assert!(is_there, "{name}");
        }
    }
}
