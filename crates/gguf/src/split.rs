//! Names of the files of a split model: `name-00001-of-00003.gguf`.

use std::path::{Path, PathBuf};

use crate::limits::SPLITS_MAX;
use crate::{Error, Result};

/// Number of this file (from 1) and of all, when its name says that it is one of several.
pub(crate) fn position(path: &Path) -> Option<(u64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, of) = stem.rsplit_once("-of-")?;
    let (_, number) = rest.rsplit_once('-')?;
    if number.len() != 5 || of.len() != 5 {
        return None;
    }
    Some((number.parse().ok()?, of.parse().ok()?))
}

/// The files after the first one, in order.
pub(crate) fn others(first: &Path, count: u64) -> Result<Vec<PathBuf>> {
    if count > SPLITS_MAX {
        return Err(Error::Split(format!(
            "split into {count} files, and {SPLITS_MAX} are the most"
        )));
    }
    let (number, of) = position(first).ok_or_else(|| {
        let shown = first.display();
        Error::Split(format!(
            "{shown} is one of {count} files; keep the names they were published with \
             (NAME-00001-of-{count:05}.gguf) in one folder"
        ))
    })?;
    if number != 1 || of != count {
        let wanted = named(first, 1, count);
        return Err(Error::Split(format!(
            "{} is part {number} of a split model: open {} instead",
            first.display(),
            wanted.display()
        )));
    }
    Ok((2..=count).map(|number| named(first, number, count)).collect())
}

fn named(path: &Path, number: u64, of: u64) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.get(..name.len().saturating_sub("-00001-of-00001.gguf".len()));
    path.with_file_name(format!("{}-{number:05}-of-{of:05}.gguf", stem.unwrap_or_default()))
}
