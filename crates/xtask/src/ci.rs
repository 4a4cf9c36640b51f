//! What must pass before a change lands, in the order that fails soonest.

use std::time::Instant;

use anyhow::Result;

use crate::shell::{command, step};
use crate::{arm, conformance, counts, e2e, fit, quality, setup, tidy};

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
    step("tests", command("cargo").args(["test", "--workspace", "--no-fail-fast"]))?;
    fit::run(&["--check"])?;
    conformance::run(&["--check"])?;
    step("release build", command("cargo").args(["build", "--release", "--package", "hob"]))?;
    e2e::run()?;
    quality::run(&[])
}
