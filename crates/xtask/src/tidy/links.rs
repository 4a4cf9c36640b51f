//! Relative links in Markdown lead somewhere.

use std::path::Path;

use anyhow::Result;

use crate::shell::root;

pub(crate) fn check() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in [".", "docs", "docs/adr", "tools/quality"] {
        let folder = root().join(folder);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                check_file(&path, &mut findings)?;
            }
        }
    }
    Ok(findings)
}

fn check_file(path: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let folder = path.parent().unwrap_or(path);
    for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = target.split('#').next().unwrap_or_default();
        if file.is_empty() || file.contains("://") || folder.join(file).exists() {
            continue;
        }
        findings.push(format!("{}: link to {file} leads nowhere", path.display()));
    }
    Ok(())
}
