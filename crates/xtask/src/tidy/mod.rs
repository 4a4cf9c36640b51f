//! The architecture and the habits as checks: they run in `cargo xtask tidy` and as a test.

mod files;
mod layers;
mod links;
mod lists;
mod shrinking;

use anyhow::{Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::shell::root;

/// `layers.toml`.
#[derive(Deserialize)]
pub(crate) struct Rules {
    crates: BTreeMap<String, CrateRule>,
    only: BTreeMap<String, Vec<String>>,
    #[serde(rename = "unsafe")]
    unsafe_code: UnsafeRule,
    limits: Limits,
    /// Lists of what fails, by the files that hold them.
    #[serde(default)]
    shrinking: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct CrateRule {
    floor: u32,
    uses: Vec<String>,
}

#[derive(Deserialize)]
struct UnsafeRule {
    files: Vec<String>,
    folders: Vec<String>,
}

#[derive(Deserialize)]
struct Limits {
    file_lines: usize,
    line_columns: usize,
    locked_packages: usize,
}

/// Fails with every finding, one a line.
pub(crate) fn run() -> Result<()> {
    let findings = findings()?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy has {} findings", findings.len());
    }
    println!("── tidy: clean");
    Ok(())
}

fn findings() -> Result<Vec<String>> {
    let rules: Rules = toml::from_str(&std::fs::read_to_string(root().join("layers.toml"))?)?;
    let mut findings = layers::check(&rules)?;
    findings.extend(files::check(&rules)?);
    findings.extend(links::check()?);
    findings.extend(lists::check()?);
    findings.extend(shrinking::check(&rules)?);
    Ok(findings)
}

/// Limits that are above those of the commit before.
fn raised(old: &Limits, new: &Limits) -> Vec<String> {
    let limits = [
        ("file_lines", old.file_lines, new.file_lines),
        ("line_columns", old.line_columns, new.line_columns),
        ("locked_packages", old.locked_packages, new.locked_packages),
    ];
    let raised = limits.iter().filter(|(_, old, new)| new > old);
    raised
        .map(|(name, old, new)| format!("layers.toml: {name} is {new} and was {old}: lower it"))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let findings = super::findings().expect("the rules can be read");
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
