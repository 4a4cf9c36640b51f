//! Folders of rows: every file in one is in its list.

use anyhow::Result;

use crate::shell::root;

/// `(folder of rows, file that lists them)`.
const ROWS: &[(&str, &str)] = &[
    ("crates/hob/src/commands", "crates/hob/src/commands/mod.rs"),
    ("crates/model/src/arch", "crates/model/src/arch/mod.rs"),
    ("crates/quant/src/formats", "crates/quant/src/formats/mod.rs"),
    ("crates/store/src/catalog", "crates/store/src/catalog/mod.rs"),
];

pub(crate) fn check() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (folder, list) in ROWS {
        let text = std::fs::read_to_string(root().join(list))?;
        let modules: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split("mod ").nth(1)?.strip_suffix(';'))
            .collect();
        if !modules.is_sorted() {
            findings.push(format!("{list}: the rows are not sorted"));
        }
        for entry in std::fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if name != "mod" && name != "tests" && !modules.contains(&name.as_str()) {
                findings.push(format!("{folder}/{name}.rs is not in {list}"));
            }
        }
        if modules.is_empty() {
            findings.push(format!("{list}: no rows found"));
        }
    }
    Ok(findings)
}
