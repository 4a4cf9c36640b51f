//! Model files that other programs keep on this machine, found by size and then by hash.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::blobs::{Hashed, hash_file};
use crate::gather::{Attempt, Watch};
use crate::limits::{MODEL_FILES_MAX, SEARCH_DEPTH_MAX, SEARCH_ENTRIES_MAX};
use crate::{Error, Places, PullEvent, Result};

/// A folder to search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whose it is.
    pub(crate) program: &'static str,
    pub(crate) dir: PathBuf,
}

/// The folders that exist, in the order they are searched.
pub(crate) fn places(places: &Places) -> Vec<Place> {
    let home = |tail: &str| places.user_home.as_ref().map(|home| home.join(tail));
    let hugging_face = places.hugging_face_cache.clone();
    let all = [
        ("Hugging Face", hugging_face.or_else(|| home(".cache/huggingface/hub"))),
        ("LM Studio", home(".lmstudio/models")),
        ("LM Studio", home(".cache/lm-studio/models")),
        ("Ollama", places.ollama_models.clone().or_else(|| home(".ollama/models"))),
    ];
    let named = all.into_iter().filter_map(|(program, dir)| Some(Place { program, dir: dir? }));
    named.filter(|place| place.dir.is_dir()).collect()
}

/// For people: where was searched.
pub(crate) fn described(places: &[Place]) -> String {
    if places.is_empty() {
        return "no folder of Hugging Face, LM Studio or Ollama is here".to_owned();
    }
    let shown: Vec<String> =
        places.iter().map(|place| format!("{} ({})", place.program, place.dir.display())).collect();
    shown.join(", ")
}

/// A file with these very bytes, and whose it is.
pub(crate) fn find_same(
    places: &[Place],
    want: &Hashed,
    watch: &mut Watch<'_>,
) -> Attempt<Option<(PathBuf, &'static str)>> {
    for place in places {
        // Ollama names its files by their hash, so that one look is enough.
        let by_hash = place.dir.join("blobs").join(format!("sha256-{}", want.sha256));
        let mut candidates = BTreeSet::from([by_hash]);
        candidates.extend(files_of_size(&place.dir, want.bytes, watch)?);
        let mut seen = BTreeSet::new();
        for path in candidates {
            let Ok(real) = path.canonicalize() else { continue };
            let is_size = real.metadata().is_ok_and(|meta| meta.len() == want.bytes);
            if !is_size || !seen.insert(real.clone()) {
                continue;
            }
            (watch.tell)(PullEvent::Verifying { total_bytes: want.bytes });
            match hash_file(&real, watch.cancelled) {
                Ok(found) if found == *want => return Ok(Some((path, place.program))),
                Ok(found) => tracing::debug!(?path, found.sha256, "same size, other bytes"),
                Err(Error::Cancelled) => return Err(Error::Cancelled.into()),
                Err(error) => tracing::debug!(%error, "passed over"),
            }
        }
    }
    Ok(None)
}

/// A file and its bytes' hash.
pub(crate) struct Found {
    /// Its own name.
    pub(crate) name: String,
    /// Where its bytes are: Hugging Face's names are links to its blobs.
    pub(crate) real: PathBuf,
    pub(crate) hashed: Hashed,
}

/// Hashes a file.
pub(crate) fn hashed(path: &Path, cancelled: &AtomicBool) -> Result<Found> {
    let real = path.canonicalize().map_err(|error| Error::io("reading", path, error))?;
    let hashed = hash_file(&real, cancelled)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Found { name, real, hashed })
}

/// The GGUF files that Hugging Face's or LM Studio's folder has of a hub's repository.
pub(crate) fn files_of_repository(places: &[Place], repository: &str) -> Vec<PathBuf> {
    let (owner, name) = repository.split_once('/').unwrap_or(("", repository));
    let mut found = Vec::new();
    for place in places {
        let snapshots = place.dir.join(format!("models--{owner}--{name}")).join("snapshots");
        let mut folders = vec![place.dir.join(owner).join(name)];
        folders
            .extend(std::fs::read_dir(snapshots).into_iter().flatten().flatten().map(|e| e.path()));
        for folder in folders {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
            found.extend(files.filter(|path| is_gguf_name(path)).take(MODEL_FILES_MAX));
        }
    }
    found.sort();
    found
}

/// The file and, where its name says `-00001-of-0000N`, all N of them in order.
pub(crate) fn with_siblings(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(split) = name.as_deref().and_then(SplitName::parse) else {
        return Ok(vec![path.to_owned()]);
    };
    let paths: Vec<PathBuf> = split.names().map(|name| path.with_file_name(name)).collect();
    match paths.iter().find(|path| !path.is_file()) {
        Some(missing) => {
            let why = "this part of the split model is missing: put all parts in one folder";
            Err(Error::NoFile { path: missing.clone(), why })
        }
        None => Ok(paths),
    }
}

/// That the file begins as GGUF files do.
pub(crate) fn check_is_gguf(path: &Path) -> Result<()> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| Error::io("reading", path, error))?;
    let read = file.take(4).read_to_end(&mut head);
    read.map_err(|error| Error::io("reading", path, error))?;
    if head == b"GGUF" {
        return Ok(());
    }
    let why = match head.as_slice() {
        b"" => "the file is empty: fetch it again",
        b"vers" => "a Git LFS pointer stands in place of the file: fetch the file itself",
        [b'<', ..] => "a web page was saved in place of the model: fetch it again",
        _ => "it is no GGUF file: convert the model to GGUF or fetch it in that form",
    };
    Err(Error::NotAModel { path: path.to_owned(), why: why.to_owned() })
}

/// A name of the form `STEM-00001-of-00003.gguf`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SplitName<'a> {
    pub(crate) stem: &'a str,
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl<'a> SplitName<'a> {
    pub(crate) fn parse(name: &'a str) -> Option<SplitName<'a>> {
        let (rest, of) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, index) = rest.rsplit_once('-')?;
        let number = |text: &str| (text.len() == 5).then(|| text.parse::<usize>().ok()).flatten();
        let (index, of) = (number(index)?, number(of)?);
        let is_sound = (1..=of).contains(&index) && of <= MODEL_FILES_MAX;
        is_sound.then_some(SplitName { stem, index, of })
    }

    /// The names of all parts.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let (stem, of) = (self.stem, self.of);
        (1..=of).map(move |index| format!("{stem}-{index:05}-of-{of:05}.gguf"))
    }
}

fn is_gguf_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Links to files are followed, links to folders are not: there may be circles.
fn files_of_size(dir: &Path, bytes: u64, watch: &Watch<'_>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = folders.pop() {
        watch.check()?;
        // A folder that may not be read is as good as an empty one.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > SEARCH_ENTRIES_MAX {
                tracing::warn!(?dir, "only a part of this folder was searched: it is too big");
                return Ok(found);
            }
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < SEARCH_DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == bytes) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::SplitName;

    #[test]
    fn split_names() {
        let split = SplitName::parse("m-x-00002-of-00003.gguf").unwrap();
        assert_eq!(split, SplitName { stem: "m-x", index: 2, of: 3 });
        let names: Vec<String> = split.names().collect();
        assert_eq!(names[0], "m-x-00001-of-00003.gguf");
        assert_eq!(names.len(), 3);
        let none = [
            "m.gguf",
            "m-00004-of-00003.gguf",
            "m-1-of-3.gguf",
            "m-00000-of-00003.gguf",
            "m-00001-of-00003.bin",
            "m-00001-of-99999.gguf",
        ];
        for name in none {
            assert_eq!(SplitName::parse(name), None, "{name}");
        }
    }
}
