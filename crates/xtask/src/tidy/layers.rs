//! Who uses whom, against `layers.toml`.

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Rules;
use crate::shell::root;

pub(crate) fn check(rules: &Rules) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().current_dir(root()).other_options(offline()).exec()?;
    let mut findings = Vec::new();
    let locked = metadata.packages.len();
    if locked > rules.limits.locked_packages {
        let max = rules.limits.locked_packages;
        findings.push(format!("Cargo.lock has {locked} packages, and {max} are the most"));
    }
    for package in metadata.workspace_packages() {
        let name = package.name.to_string();
        let Some(rule) = rules.crates.get(&name) else {
            findings.push(format!("crate {name} has no line in layers.toml"));
            continue;
        };
        if !package.features.is_empty() {
            findings.push(format!("crate {name} has Cargo features; the house has none"));
        }
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Normal {
                continue;
            }
            let used = &dependency.name;
            if let Some(lower) = rules.crates.get(used) {
                if !rule.uses.contains(used) {
                    findings.push(format!("{name} uses {used}, which layers.toml does not allow"));
                }
                if lower.floor >= rule.floor {
                    findings.push(format!("{name} uses {used}, which is not on a lower floor"));
                }
            }
            if rules.only.get(used).is_some_and(|allowed| !allowed.contains(&name)) {
                findings.push(format!("{name} uses {used}: only {:?} may", rules.only[used]));
            }
        }
    }
    Ok(findings)
}

/// Tidy looks at what is there and fetches nothing.
fn offline() -> Vec<String> {
    vec!["--locked".to_owned()]
}
