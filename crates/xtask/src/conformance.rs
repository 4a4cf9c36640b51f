//! Every architecture on every backend of this machine: `crates/app/examples/conformance.rs`.

use anyhow::{Result, bail};

use crate::shell::{command, step};

const TABLE: &str = "docs/models.md";

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
