//! What loads really took here beside what was promised, in hob's folder: a promise that is not
//! held against what came of it is worth nothing.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, clock};

/// One load, as it was promised and as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRow {
    /// Name of the model, as it was asked for.
    pub model: String,
    /// Bytes of its file, so that another of the same name is not taken for it.
    pub file_bytes: u64,
    /// What was loaded: everything with the context full, or the weights alone.
    pub what: Loaded,
    /// Positions of each conversation.
    pub context: u64,
    /// Conversations at once.
    pub users: u64,
    /// How keys and values were kept.
    #[serde(default = "kv_usual")]
    pub kv: String,
    /// What the plan said.
    pub promised_bytes: u64,
    /// What the system said.
    pub measured_bytes: u64,
    /// When, seconds since 1970.
    pub loaded_unix_s: u64,
}

/// How much of a model was there when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loaded {
    /// Weights and tokenizer: caches and activations are taken when they are first used.
    Weights,
    /// Everything, with the context full.
    Everything,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    load: Vec<LoadRow>,
}

/// The file in hob's folder.
const FILE: &str = "loads.toml";
/// Loads that are kept; the oldest go.
const ROWS_MAX: usize = 200;

impl LoadRow {
    /// The day, e.g. `2026-11-21`.
    #[must_use]
    pub fn date(&self) -> String {
        clock::date(self.loaded_unix_s)
    }

    /// Whether two are of the same thing, so that the newer says enough.
    fn is_like(&self, other: &LoadRow) -> bool {
        let key = |row: &LoadRow| (row.what, row.context, row.users, row.file_bytes);
        self.model == other.model && key(self) == key(other) && self.kv == other.kv
    }
}

/// How keys and values are kept unless asked otherwise.
pub(super) fn kv_usual() -> String {
    "f16".to_owned()
}

/// Every load, oldest first.
pub(super) fn read(home: &Path) -> Result<Vec<LoadRow>> {
    let path = home.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(&path, &error.to_string())),
    };
    let file: File = toml::from_str(&text).map_err(|error| fault(&path, error.message()))?;
    Ok(file.load)
}

/// Adds one, in place of an older one of the same; nothing where hob has no folder yet, which a
/// mere note does not make.
pub(super) fn note(home: &Path, row: LoadRow) -> Result<()> {
    if !home.is_dir() {
        return Ok(());
    }
    let path = home.join(FILE);
    let mut load = read(home)?;
    load.retain(|known| !known.is_like(&row));
    load.push(row);
    let surplus = load.len().saturating_sub(ROWS_MAX);
    load.drain(..surplus);
    let text = toml::to_string(&File { load }).expect("numbers and words");
    // Another hob may read it at any time.
    let whole = home.join(format!("{FILE}.{}", std::process::id()));
    let written = std::fs::write(&whole, text).and_then(|()| std::fs::rename(&whole, &path));
    written.map_err(|error| fault(&path, &error.to_string()))
}

fn fault(path: &Path, what: &str) -> Error {
    let message =
        format!("{}: {what}; remove it, and `hob fit --verify` begins anew", path.display());
    Error::new(ErrorKind::Machine, message)
}

#[cfg(test)]
mod tests {
    use super::{LoadRow, Loaded, ROWS_MAX, note, read};

    fn row(model: &str, context: u64, measured_bytes: u64) -> LoadRow {
        LoadRow {
            model: model.to_owned(),
            file_bytes: 1000,
            what: Loaded::Everything,
            context,
            users: 1,
            kv: super::kv_usual(),
            promised_bytes: 2000,
            measured_bytes,
            loaded_unix_s: 7,
        }
    }

    #[test]
    fn a_newer_load_of_the_same_replaces_the_older() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()).unwrap(), []);
        for new in [row("a", 8, 1900), row("b", 8, 1800), row("a", 16, 1950), row("a", 8, 1990)] {
            note(home.path(), new).unwrap();
        }
        let expected = [row("b", 8, 1800), row("a", 16, 1950), row("a", 8, 1990)];
        assert_eq!(read(home.path()).unwrap(), expected);
        let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left behind");
    }

    #[test]
    fn the_oldest_go() {
        let home = tempfile::tempdir().unwrap();
        for context in 0..ROWS_MAX as u64 + 3 {
            note(home.path(), row("a", context, 1)).unwrap();
        }
        let rows = read(home.path()).unwrap();
        assert_eq!((rows.len(), rows[0].context), (ROWS_MAX, 3));
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("loads.toml"), "load = 3").unwrap();
        let error = read(home.path()).unwrap_err().to_string();
        assert!(error.contains("loads.toml") && error.contains("remove it"), "{error}");
    }
}
