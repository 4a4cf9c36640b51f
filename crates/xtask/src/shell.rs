//! Running programs and finding the project.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("xtask lies two folders below the root").to_owned()
}

/// Where `setup` puts what tests need.
pub(crate) fn cache() -> PathBuf {
    root().join(".cache")
}

/// A program to be run in the project's root.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "xtask is a tool that starts programs")]
    let mut command = Command::new(program);
    command.current_dir(root());
    // Cargo tells a program that it runs about its package. Build scripts that look at these
    // variables would run again, and what hangs on them be built again, each time that a build
    // from here follows one by hand.
    for (name, _) in std::env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a step with its name and time, and fails when it fails.
pub(crate) fn step(title: &str, command: &mut Command) -> Result<()> {
    println!("── {title}");
    let started = Instant::now();
    let status = command.status().with_context(|| format!("{title}: cannot start {command:?}"))?;
    println!("── {title}: {:.1} s", started.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{title} failed: {command:?}");
    }
    Ok(())
}
