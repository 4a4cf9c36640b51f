//! Running programs and finding the project.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

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

/// A package of Debian, and a file that it brings.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) brings: &'static str,
}

impl Package {
    pub(crate) fn is_there(self) -> bool {
        Path::new(self.brings).exists()
    }
}

/// Installs what is missing of a task's packages, or says what to install.
pub(crate) fn packages(task: &str, wanted: &[Package]) -> Result<()> {
    let missing =
        || wanted.iter().filter(|package| !package.is_there()).map(|package| package.name);
    let names: Vec<&str> = missing().collect();
    if names.is_empty() {
        return Ok(());
    }
    if is_root_of_debian() {
        step("look for packages", command("apt-get").args(["update", "-qq"]))?;
        let mut apt = command("apt-get");
        apt.args(["install", "-qq", "-y", "--no-remove", "--no-install-recommends"]).args(&names);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        step(&format!("install {}", names.join(", ")), &mut apt)?;
    }
    ensure!(
        missing().next().is_none(),
        "`{task}` needs packages of Debian 12; as root: apt-get update && \
         apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    Ok(())
}

/// Whether packages can be installed here.
pub(crate) fn is_root_of_debian() -> bool {
    let user = command("id").arg("-u").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
        && Path::new("/etc/debian_version").exists()
}
