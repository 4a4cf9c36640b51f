//! The fast kernels against the reference on a real text: `crates/app/examples/quality.rs`.

use anyhow::Result;

use crate::setup;
use crate::shell::{command, step};

/// Fails when a bound of the example is broken.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::run()?;
    let mut cargo = command("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "app", "--example", "quality", "--"]);
    cargo.arg(setup::model_path()).arg("tools/quality/alice.txt").args(arguments);
    step("quality against the reference", &mut cargo)
}
