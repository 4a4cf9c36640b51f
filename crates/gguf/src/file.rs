//! A model on disk: one file, several that belong together, or another form seen as one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::{Error, Header, MappedFile, Metadata, Result, TensorInfo, parse, split};

/// An open model: what its metadata and tensors are, and where their bytes come from.
pub struct GgufFile {
    metadata: Metadata,
    /// None where it is no GGUF file.
    version: Option<u32>,
    tensors: Vec<TensorInfo>,
    paths: Vec<PathBuf>,
    size_bytes: u64,
    data: Box<dyn TensorData>,
}

/// Where the bytes of tensors come from.
pub trait TensorData: Send + Sync {
    /// A tensor's data, `size_bytes` long: borrowed where it lies in a file as it is, made anew at
    /// each call elsewhere.
    fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]>;

    /// Hears that a tensor's data will not be read again soon.
    fn release_pages(&self, tensor: &TensorInfo);
}

/// Files mapped into memory: offsets are those of the files.
struct Shards(Vec<MappedFile>);

impl TensorData for Shards {
    fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        let (start, len) = range(tensor);
        Cow::Borrowed(&self.0[tensor.shard].bytes()[start..start + len])
    }

    fn release_pages(&self, tensor: &TensorInfo) {
        let (start, len) = range(tensor);
        self.0[tensor.shard].release(start, len);
    }
}

impl GgufFile {
    /// Opens a file, and the others of a split model with its first.
    ///
    /// # Errors
    /// With the file's name: what is wrong with it.
    pub fn open(path: &Path) -> Result<GgufFile> {
        let (map, header) = open_one(path)?;
        let count = header.metadata.u64("split.count")?.unwrap_or(1);
        let is_part = split::position(path).is_some_and(|(number, of)| number != 1 && of > 1);
        let others =
            if count > 1 || is_part { split::others(path, count.max(1))? } else { Vec::new() };
        let Header { version, metadata, mut tensors, .. } = header;
        let mut names: HashSet<String> = tensors.iter().map(|it| it.name.clone()).collect();
        let (mut shards, mut paths) = (vec![map], vec![path.to_owned()]);
        for other in others {
            let (map, header) = open_one(&other)?;
            for tensor in header.tensors {
                if !names.insert(tensor.name.clone()) {
                    let (name, path) = (tensor.name, other.display());
                    return Err(Error::Split(format!(
                        "{path}: tensor {name} is in an earlier part too"
                    )));
                }
                tensors.push(TensorInfo { shard: shards.len(), ..tensor });
            }
            shards.push(map);
            paths.push(other);
        }
        let size_bytes = shards.iter().map(|shard| shard.bytes().len() as u64).sum();
        let (version, data) = (Some(version), Box::new(Shards(shards)));
        let file = GgufFile { metadata, version, tensors, paths, size_bytes, data };
        file.check_split(path)?;
        Ok(file)
    }

    /// A model of another form, seen as a GGUF file: `shard` and `offset` of its tensors are what
    /// `data` understands by them.
    #[must_use]
    pub fn assembled(
        metadata: Metadata,
        tensors: Vec<TensorInfo>,
        (paths, size_bytes): (Vec<PathBuf>, u64),
        data: Box<dyn TensorData>,
    ) -> GgufFile {
        GgufFile { metadata, version: None, tensors, paths, size_bytes, data }
    }

    /// The same tensors with other metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> GgufFile {
        GgufFile { metadata, ..self }
    }

    fn check_split(&self, path: &Path) -> Result<()> {
        let wanted = self.metadata.u64("split.tensors.count")?;
        match wanted {
            Some(wanted) if wanted != self.tensors.len() as u64 => Err(Error::Split(format!(
                "{}: its parts hold {} tensors and {wanted} are wanted; fetch them again",
                path.display(),
                self.tensors.len()
            ))),
            _ => Ok(()),
        }
    }

    /// Key-value pairs of the first file.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, in the order of the files.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// A tensor by name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// A tensor's data; of another form it may be made anew at each call.
    ///
    /// # Panics
    /// When the tensor is not one of this file's.
    #[must_use]
    pub fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        self.data.bytes(tensor)
    }

    /// Tells the system that a tensor's data will not be read again soon.
    pub fn release_pages(&self, tensor: &TensorInfo) {
        self.data.release_pages(tensor);
    }

    /// GGUF version; none where it is no GGUF file.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// Bytes of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Every file.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

fn open_one(path: &Path) -> Result<(MappedFile, Header)> {
    let map = MappedFile::open(path)?;
    let bytes = map.bytes();
    let header = parse(bytes, bytes.len() as u64);
    let at = |fault| Error::File { path: path.to_owned(), fault: Box::new(fault) };
    let header = header.map_err(at)?;
    Ok((map, header))
}

fn range(tensor: &TensorInfo) -> (usize, usize) {
    let checked = "checked against the file's length when parsed";
    let start = usize::try_from(tensor.offset).expect(checked);
    (start, usize::try_from(tensor.size_bytes).expect(checked))
}
