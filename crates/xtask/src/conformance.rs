//! Every architecture on every backend of this machine: `crates/app/examples/conformance.rs`.

use anyhow::{Result, bail};

use crate::shell::{command, step};

const TABLE: &str = "docs/models.md";

/// Builds what the table comes from, so that [`run`] takes the time of its figures.
pub(crate) fn build() -> Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--quiet", "--package", "app", "--example", "conformance"]);
    step("build of conformance", &mut cargo)
}

/// Writes the table, or with `--check` says whether it is fresh; fails where a bound is broken.
pub(crate) fn run(flags: &[&str]) -> Result<()> {
    let flag = match flags {
        [] => "--write",
        ["--check"] => "--check",
        _ => bail!("usage: cargo xtask conformance [--check]"),
    };
    let mut cargo = command("cargo");
    cargo.args(["run", "--quiet", "--package", "app", "--example", "conformance", "--"]);
    step("architectures against transformers", cargo.args([flag, TABLE]))
}
