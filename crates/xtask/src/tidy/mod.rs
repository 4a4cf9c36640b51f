//! The architecture and the habits as checks: they run in `cargo xtask tidy` and as a test.

mod files;
mod layers;
mod links;
mod lists;

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
    Ok(findings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let findings = super::findings().expect("the rules can be read");
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
