//! Instructions of the hot kernels against a list: time is noisy, these are the same every time.
//!
//! The emulation of callgrind knows AVX2 and not AVX-512, so it is the AVX2 variant that is
//! counted; what all variants share shows there too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{Package, cache, command, packages, root, step};

const VALGRIND: Package = Package { name: "valgrind", brings: "/usr/bin/valgrind" };
/// What a count may move by, and by what another compiler may move it.
const TOLERANCE: f64 = 0.02;
const TOLERANCE_OF_COMPILERS: f64 = 0.2;
const HEAD: &str = "# Instructions of one run of each kernel of kernels-cpu's example `counts`, AVX2.\n\
                    # `cargo xtask counts` compares; `cargo xtask counts --accept` writes this.\n";

/// Compares, or writes the list anew.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let accept = match args {
        [] => false,
        ["--accept"] => true,
        _ => bail!("usage: cargo xtask counts [--accept]"),
    };
    if !has_avx2() {
        println!("── counts: the list is of processors with AVX2");
        return Ok(());
    }
    packages("cargo xtask counts", &[VALGRIND])?;
    let mut cargo = command("cargo");
    cargo.args(["build", "--release", "--package", "kernels-cpu", "--example", "counts"]);
    // What optimises across crates takes a minute, and these kernels are in one crate.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_TARGET_DIR", folder());
    step("build the kernels", &mut cargo)?;
    let listed = std::fs::read_to_string(list())?;
    let compiler = compiler()?;
    let is_same = listed.lines().any(|line| line == compiler);
    let tolerance = if is_same { TOLERANCE } else { TOLERANCE_OF_COMPILERS };
    if !is_same {
        println!("── counts: another compiler than the list's, {compiler}");
    }
    let (mut new, mut findings) = (format!("{HEAD}{compiler}\n"), Vec::new());
    for name in kernels()? {
        let count = instructions(&name, 2)?.saturating_sub(instructions(&name, 1)?);
        ensure!(count > 0, "{name}: no instructions");
        let before = listed.lines().find_map(|line| line.strip_suffix(&format!(" {name}")));
        let before = before.map(|text| text.trim().parse()).transpose()?;
        let finding = judge(count, before, tolerance);
        println!("   {count:>10} {name}{}", finding.as_deref().unwrap_or_default());
        findings.extend(finding.map(|finding| format!("{name}{finding}")));
        writeln!(new, "{count:>10} {name}")?;
    }
    if accept {
        std::fs::write(list(), new)?;
        return Ok(());
    }
    ensure!(
        findings.is_empty(),
        "{}\nif it is meant, `cargo xtask counts --accept`, and say why in the commit",
        findings.join("\n")
    );
    Ok(())
}

/// What is to be said of a count, if anything.
fn judge(count: u64, before: Option<u64>, tolerance: f64) -> Option<String> {
    let Some(before) = before else { return Some(": not in the list".to_owned()) };
    let change = count as f64 / before as f64 - 1.0;
    let percent = format!("{:+.1} % from {before}", change * 100.0);
    (change.abs() > tolerance).then(|| {
        if change > 0.0 {
            format!(": {percent}")
        } else {
            format!(": {percent}; the list should keep what was won")
        }
    })
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// As a comment of the list.
fn compiler() -> Result<String> {
    let output = command("rustc").arg("--version").output()?;
    Ok(format!("# {}", String::from_utf8(output.stdout)?.trim()))
}

fn folder() -> PathBuf {
    cache().join("counts")
}

fn list() -> PathBuf {
    root().join("crates/kernels-cpu/counts.txt")
}

fn program() -> PathBuf {
    folder().join("release/examples/counts")
}

fn kernels() -> Result<Vec<String>> {
    let output = command(program()).arg("--list").output()?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Of the whole program that runs the kernel so many times.
fn instructions(kernel: &str, times: u32) -> Result<u64> {
    let out = folder().join("callgrind.out");
    let mut valgrind = command("valgrind");
    valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())]);
    valgrind.arg(program()).args([kernel, &times.to_string()]);
    let output = valgrind.output().context("cannot start valgrind")?;
    ensure!(output.status.success(), "{kernel}: {}", String::from_utf8_lossy(&output.stderr));
    read_total(&out)
}

fn read_total(file: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("callgrind wrote no totals")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn two_percent_are_let_pass_both_ways() {
        assert_eq!(judge(1019, Some(1000), 0.02), None);
        assert_eq!(judge(981, Some(1000), 0.02), None);
        assert_eq!(judge(1030, Some(1000), 0.02), Some(": +3.0 % from 1000".to_owned()));
        assert!(judge(970, Some(1000), 0.02).is_some_and(|text| text.contains("won")));
        assert_eq!(judge(5, None, 0.02), Some(": not in the list".to_owned()));
    }
}
