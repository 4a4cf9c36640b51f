//! What this machine can do at most: `crates/kernels-cpu/examples/limits.rs`.

use anyhow::Result;

use crate::shell::{command, step};

/// Prints a table: every instruction set, on one thread and on all.
pub(crate) fn run() -> Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "kernels-cpu", "--example", "limits"]);
    step("limits of this machine", &mut cargo)
}
