//! Sizes, openings and leftovers of every source file.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Rules;
use crate::shell::root;

/// Written so that this file does not find itself.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "finish it before it lands"),
    (concat!("cfg(fea", "ture"), "the house has no Cargo features"),
    (concat!("#[ign", "ore"), "assert the wrong behaviour instead, and say so"),
    (concat!("to", "do!("), "finish it before it lands"),
];

pub(crate) fn check(rules: &Rules) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in rust_files(&root().join("crates"))? {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let shown = shown.replace('\\', "/");
        check_file(rules, &shown, &text, &mut findings);
    }
    Ok(findings)
}

fn check_file(rules: &Rules, shown: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{shown}: does not open with `//!`"));
    }
    let lines = text.lines().count();
    if lines > rules.limits.file_lines {
        let max = rules.limits.file_lines;
        findings.push(format!("{shown}: {lines} lines, and {max} are the most"));
    }
    let mut is_snapshot = false;
    for (number, line) in text.lines().enumerate() {
        let at = format!("{shown}:{}", number + 1);
        // A snapshot of a screen is as wide as the screen.
        is_snapshot = if is_snapshot { !line.trim_start().starts_with('"') } else { opens(line) };
        let columns = line.chars().count();
        // A line without a space to break at (a hash, a URL, a fixture) may be long.
        if columns > rules.limits.line_columns && !is_snapshot && is_prose(line) {
            findings.push(format!("{at}: {columns} columns"));
        }
        for (leftover, advice) in LEFTOVERS {
            if line.contains(leftover) {
                findings.push(format!("{at}: `{leftover}` was left: {advice}"));
            }
        }
        let code = line.split("//").next().unwrap_or_default();
        let words = [concat!("unsa", "fe {"), concat!("unsa", "fe fn"), concat!("unsa", "fe impl")];
        if words.iter().any(|word| code.contains(word)) && !may_be_unsafe(rules, shown) {
            findings.push(format!("{at}: unsafe code outside the files that layers.toml names"));
        }
    }
    let arch = shown.starts_with("crates/model/src/arch/");
    let product = shown.starts_with("crates/model/src/") && !arch;
    if product && text.contains("\"general.architecture\"") && !shown.ends_with("arch.rs") {
        findings.push(format!("{shown}: architecture names belong in model/src/arch"));
    }
}

/// Whether an inline snapshot begins below this line.
fn opens(line: &str) -> bool {
    [r#"@""#, r#"@r""#, r##"@r#""##].iter().any(|quote| line.ends_with(quote))
}

/// Whether a line could be broken: not a string, a hash, or a row of a table in a snapshot.
fn is_prose(line: &str) -> bool {
    let inside_a_string = line.contains('"') || line.ends_with('\\');
    line.trim().contains(' ') && !inside_a_string && !line.trim_start().starts_with('|')
}

fn may_be_unsafe(rules: &Rules, shown: &str) -> bool {
    rules.unsafe_code.files.iter().any(|file| file == shown)
        || rules.unsafe_code.folders.iter().any(|folder| shown.starts_with(folder.as_str()))
}

/// Every Rust file below a folder, without what was built.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
