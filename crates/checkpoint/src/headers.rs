//! Checkpoints of safetensors by their headers: eight bytes of length, then a list of tensors as
//! JSON. No weight is read. The format: <https://github.com/huggingface/safetensors>.
//!
//! The crate `safetensors` wants whole files; headers come by ranges here, and hostile ones are the
//! normal case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{shown, shown_message};
use crate::limits::{
    CONFIG_BYTES_MAX, DIMENSIONS_MAX, INDEX_BYTES_MAX, JSON_HEADER_BYTES_MAX, MODEL_FILES_MAX,
    TENSOR_NAME_LEN_MAX, TENSORS_MAX,
};
use crate::{Error, Result};

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeTensor {
    /// As the file names it.
    pub name: String,
    /// As the file names its type, e.g. `BF16`.
    pub dtype: &'static str,
    /// Dimensions, slowest first.
    pub shape: Vec<u64>,
    /// Where it begins, from the start of its file.
    pub offset: u64,
    /// Bytes, which are those of the shape and the type.
    pub bytes: u64,
}

/// `config.json` and the tensors of all files.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers<C> {
    /// What the caller wants of `config.json`.
    pub config: C,
    /// In the order of the files.
    pub tensors: Vec<SafeTensor>,
}

/// Name of the configuration in a checkpoint's folder.
pub const CONFIG: &str = "config.json";
/// Name of the list of tensors and files, where there are several files.
pub const INDEX: &str = "model.safetensors.index.json";
/// Name of the file, where there is one.
pub const SINGLE: &str = "model.safetensors";

/// How far a header could be read.
#[derive(Debug)]
pub enum Parsed {
    /// To its end.
    Whole(Vec<SafeTensor>),
    /// So many bytes are needed.
    Needs(u64),
}

/// Types and their bits.
const DTYPES: &[(&str, u64)] = &[
    ("BF16", 16),
    ("BOOL", 8),
    ("F16", 16),
    ("F32", 32),
    ("F4", 4),
    ("F64", 64),
    ("F8_E4M3", 8),
    ("F8_E5M2", 8),
    ("F8_E8M0", 8),
    ("I16", 16),
    ("I32", 32),
    ("I64", 64),
    ("I8", 8),
    ("U16", 16),
    ("U32", 32),
    ("U64", 64),
    ("U8", 8),
];

/// Bytes before the list.
const LENGTH_BYTES: u64 = 8;
/// Not a tensor: what its maker wrote about the file.
const NOTES: &str = "__metadata__";

/// The header at the beginning of a file, whose length may not be known.
///
/// # Errors
/// What is wrong with it.
pub fn parse(head: &[u8], file_bytes: Option<u64>) -> std::result::Result<Parsed, String> {
    let Some((length, rest)) = head.split_first_chunk::<8>() else {
        return Ok(Parsed::Needs(LENGTH_BYTES));
    };
    let length = u64::from_le_bytes(*length);
    if length > JSON_HEADER_BYTES_MAX {
        return Err(format!(
            "a header of {length} bytes: no safetensors file has more than {JSON_HEADER_BYTES_MAX}"
        ));
    }
    let needed = LENGTH_BYTES + length;
    if file_bytes.is_some_and(|bytes| needed > bytes) {
        return Err(format!("its header says {needed} bytes, and the file has fewer"));
    }
    // The bound above keeps it small.
    let Some(text) = rest.get(..length as usize) else { return Ok(Parsed::Needs(needed)) };
    if text.first() != Some(&b'{') {
        return Err("its header is no list of tensors".to_owned());
    }
    let list: List =
        serde_json::from_slice(text).map_err(|e| format!("its header: {}", shown_message(&e)))?;
    let end = place(&list.0)?;
    if end.checked_add(needed).is_none() {
        return Err(format!("its tensors take {end} bytes: no file has so many"));
    }
    if let Some(bytes) = file_bytes
        && end != bytes - needed
    {
        return Err(format!(
            "its tensors take {end} bytes, and {} are there: fetch it again",
            bytes - needed
        ));
    }
    let tensors = list.0.into_iter().map(|(name, entry)| {
        let bytes = entry.data_offsets[1] - entry.data_offsets[0];
        let offset = needed + entry.data_offsets[0];
        SafeTensor { name, dtype: entry.dtype.0, shape: entry.shape, offset, bytes }
    });
    Ok(Parsed::Whole(tensors.collect()))
}

/// That tensors take the bytes of their shapes, one after the other without a gap; where they end.
fn place(list: &[(String, Entry)]) -> std::result::Result<u64, String> {
    for (name, entry) in list {
        let [begin, end] = entry.data_offsets;
        let values = entry.shape.iter().try_fold(1_u64, |all, it| all.checked_mul(*it));
        let bits = values.and_then(|values| values.checked_mul(entry.dtype.1));
        if entry.shape.len() > DIMENSIONS_MAX {
            let name = shown(name);
            return Err(format!("tensor {name} has more than {DIMENSIONS_MAX} dimensions"));
        }
        // With none of 0 every product of dimensions is below that of all, which is checked here.
        if entry.shape.contains(&0) {
            return Err(format!("tensor {} of {:?} holds nothing", shown(name), entry.shape));
        }
        let len = end.checked_sub(begin).and_then(|len| len.checked_mul(8));
        if bits.is_none() || len.is_none() || bits != len {
            let (name, shape) = (shown(name), &entry.shape);
            return Err(format!(
                "tensor {name} of {shape:?} as {} does not take the bytes {begin} to {end}",
                entry.dtype.0
            ));
        }
    }
    let mut order: Vec<&(String, Entry)> = list.iter().collect();
    order.sort_by_key(|(_, entry)| entry.data_offsets);
    order.iter().try_fold(0, |at, (name, entry)| match entry.data_offsets {
        [begin, end] if begin == at => Ok(end),
        [begin, _] => Err(format!("tensor {} begins at {begin}, and {at} is next", shown(name))),
    })
}

/// The tensors of a header, in order, with no name twice.
struct List(Vec<(String, Entry)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

struct Dtype(&'static str, u64);

impl<'de> Deserialize<'de> for Dtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Dtype, D::Error> {
        let name = String::deserialize(deserializer)?;
        let row = DTYPES.iter().find(|row| row.0 == name);
        let unknown = || format!("a type \"{}\" that hob does not know", shown(&name));
        row.map(|row| Dtype(row.0, row.1)).ok_or_else(|| D::Error::custom(unknown()))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<List, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by their names")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<List, A::Error> {
                let mut found = BTreeSet::new();
                let mut list = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == NOTES {
                        map.next_value::<BTreeMap<String, String>>()?;
                        continue;
                    }
                    check_name(&name).map_err(A::Error::custom)?;
                    if list.len() >= TENSORS_MAX {
                        let why = format!("more than {TENSORS_MAX} tensors");
                        return Err(A::Error::custom(why));
                    }
                    if !found.insert(name.clone()) {
                        let why = format!("two tensors named {}", shown(&name));
                        return Err(A::Error::custom(why));
                    }
                    list.push((name, map.next_value()?));
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Refuses a name of a tensor that no maker would give.
fn check_name(name: &str) -> std::result::Result<(), String> {
    if name.len() > TENSOR_NAME_LEN_MAX {
        return Err(format!("a name too long, of {} bytes: {}", name.len(), shown(name)));
    }
    match name.contains(char::is_control) {
        true => Err(format!("a name with control characters: {}", shown(name))),
        false => Ok(()),
    }
}

/// Which file has which tensor, by `model.safetensors.index.json`.
#[derive(Debug, Deserialize)]
pub struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, such as a name of a file elsewhere.
    pub fn parse(text: &[u8]) -> std::result::Result<Index, String> {
        let index: Index =
            serde_json::from_slice(text).map_err(|e| format!("{INDEX}: {}", shown_message(&e)))?;
        let names = index.weight_map.keys();
        let mut checked = names.map(|name| check_name(name));
        checked.try_for_each(|it| it).map_err(|why| format!("{INDEX}: {why}"))?;
        if let Some(name) = index.weight_map.values().find(|name| !is_shard_name(name)) {
            let name = shown(name);
            return Err(format!("{INDEX} names the file \"{name}\", which is none beside it"));
        }
        if index.files().len() > MODEL_FILES_MAX {
            return Err(format!("{INDEX} names more than {MODEL_FILES_MAX} files"));
        }
        Ok(index)
    }

    /// Files, each once, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// That the files have what the index promises.
    ///
    /// # Errors
    /// Which tensor is missing, or in two files.
    pub fn check(&self, tensors: &[SafeTensor]) -> std::result::Result<(), String> {
        let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two files have the tensor {}", shown(twice[0])));
        }
        let missing = self.weight_map.keys().find(|name| names.binary_search(&&***name).is_err());
        let why = |name: &String| format!("tensor {} is in none of its files", shown(name));
        missing.map_or(Ok(()), |name| Err(why(name)))
    }
}

fn is_file_name(name: &str) -> bool {
    // The colon would name a drive, or a stream of another file.
    let is_odd = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    !name.is_empty() && name != "." && name != ".." && name.len() <= 255 && !name.contains(is_odd)
}

fn is_shard_name(name: &str) -> bool {
    is_file_name(name) && is_safetensors_name(name)
}

fn is_safetensors_name(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".safetensors")
}

/// Whether a path means a checkpoint: a file of it, or the folder.
#[must_use]
pub fn is_checkpoint(path: &Path) -> bool {
    let is_file = path.to_str().is_some_and(is_safetensors_name) && path.is_file();
    is_file || (path.is_dir() && path.join(CONFIG).is_file())
}

/// The files of a checkpoint.
pub(crate) struct Files {
    /// Where they lie.
    pub(crate) folder: PathBuf,
    /// Those with tensors, in order.
    pub(crate) parts: Vec<PathBuf>,
    /// What each has, where that is said.
    pub(crate) index: Option<Index>,
}

impl Files {
    /// Of a folder, or of any file in it.
    pub(crate) fn find(path: &Path) -> Result<Files> {
        let (folder, named) = match path.is_dir() {
            true => (path, None),
            false => (path.parent().unwrap_or(Path::new("")), path.file_name()),
        };
        let folder = folder.to_owned();
        if !folder.join(CONFIG).is_file() {
            let why = "config.json is missing beside it: it says what the layers are";
            return Err(Error::at(path, why));
        }
        let index_path = folder.join(INDEX);
        if index_path.is_file() {
            let text = small_file(&index_path, INDEX_BYTES_MAX)?;
            let index = Index::parse(&text).map_err(|why| Error::at(path, why))?;
            let is_part = |name: &std::ffi::OsStr| index.files().iter().any(|file| name == *file);
            if named.is_none() && folder.join(SINGLE).is_file() && !is_part(SINGLE.as_ref()) {
                let why = format!("{SINGLE} and {INDEX} of other files are in it: name one file");
                return Err(Error::at(path, why));
            }
            if named.is_none_or(is_part) {
                let parts = index.files().iter().map(|file| folder.join(file)).collect();
                return Ok(Files { folder, parts, index: Some(index) });
            }
        }
        let part = match named {
            Some(name) => folder.join(name),
            None => only_file(&folder)?,
        };
        Ok(Files { folder, parts: vec![part], index: None })
    }
}

/// Reads the headers of a checkpoint on disk: its folder, or any file of it.
///
/// # Errors
/// When a file is missing, damaged or forged.
pub fn open_headers<C: DeserializeOwned>(path: &Path) -> Result<Headers<C>> {
    let files = Files::find(path)?;
    let config_path = files.folder.join(CONFIG);
    let config = parse_config(&small_file(&config_path, CONFIG_BYTES_MAX)?)
        .map_err(|why| Error::at(&config_path, why))?;
    let mut tensors = Vec::new();
    for part in &files.parts {
        tensors.extend(file_header(part)?);
    }
    if let Some(index) = &files.index {
        index.check(&tensors).map_err(|why| Error::at(path, why))?;
    }
    Ok(Headers { config, tensors })
}

/// What a caller wants of a `config.json`.
///
/// # Errors
/// Where it is not what the caller understands.
pub fn parse_config<C: DeserializeOwned>(text: &[u8]) -> std::result::Result<C, String> {
    serde_json::from_slice(text).map_err(|error| format!("{CONFIG}: {}", shown_message(&error)))
}

/// The usual file, or the only one.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let usual = folder.join(SINGLE);
    if usual.is_file() {
        return Ok(usual);
    }
    let reading = |error| Error::io(folder, error);
    let mut only = None;
    for entry in std::fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        if !path.to_str().is_some_and(is_safetensors_name) {
            continue;
        }
        if only.replace(path).is_some() {
            let why = format!("it has several safetensors files and no {INDEX}: name one of them");
            return Err(Error::at(folder, why));
        }
    }
    only.ok_or_else(|| Error::at(folder, "no safetensors file is in it"))
}

/// The length of a file with tensors.
pub(crate) fn length(path: &Path) -> Result<u64> {
    if !path.is_file() {
        let why = "there is no such file: put all parts of the model in one folder";
        return Err(Error::at(path, why));
    }
    let bytes = std::fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
    if bytes < LENGTH_BYTES {
        let why =
            format!("it has {bytes} bytes, and a header takes {LENGTH_BYTES}: fetch it again");
        return Err(Error::at(path, why));
    }
    Ok(bytes)
}

/// A whole file that is short.
pub(crate) fn small_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let read = file.take(most + 1).read_to_end(&mut text);
    read.map_err(|error| Error::io(path, error))?;
    if text.len() as u64 > most {
        let why = format!("it is longer than {most} bytes");
        return Err(Error::at(path, why));
    }
    Ok(text)
}

/// The tensors of one file on disk.
///
/// # Errors
/// When it is missing, damaged or forged.
pub fn file_header(path: &Path) -> Result<Vec<SafeTensor>> {
    let file_bytes = length(path)?;
    let reading = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(reading)?;
    let mut head = Vec::new();
    let mut wanted = LENGTH_BYTES;
    loop {
        let more = wanted.saturating_sub(head.len() as u64);
        file.by_ref().take(more).read_to_end(&mut head).map_err(reading)?;
        let fault = |why| Error::at(path, why);
        match parse(&head, Some(file_bytes)).map_err(fault)? {
            Parsed::Whole(tensors) => return Ok(tensors),
            Parsed::Needs(needed) if needed > wanted => wanted = needed,
            Parsed::Needs(_) => return Err(fault("it ends within its header".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
