//! A model on disk: one file, or several that belong together.

use std::path::{Path, PathBuf};

use crate::mmap::Map;
use crate::{Error, Header, Metadata, Result, TensorInfo, parse, split};

/// An open model. Its bytes are mapped, not read.
pub struct GgufFile {
    metadata: Metadata,
    version: u32,
    alignment: u64,
    tensors: Vec<TensorInfo>,
    shards: Vec<Map>,
    paths: Vec<PathBuf>,
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
        let Header { version, metadata, tensors, alignment, .. } = header;
        let mut file = GgufFile {
            metadata,
            version,
            alignment,
            tensors,
            shards: vec![map],
            paths: vec![path.to_owned()],
        };
        for other in others {
            file.add(&other)?;
        }
        file.check_split(path)?;
        Ok(file)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let (map, header) = open_one(path)?;
        let shard = self.shards.len();
        for mut tensor in header.tensors {
            if self.tensor(&tensor.name).is_some() {
                let (name, path) = (tensor.name, path.display());
                return Err(Error::Split(format!(
                    "{path}: tensor {name} is in an earlier part too"
                )));
            }
            tensor.shard = shard;
            self.tensors.push(tensor);
        }
        self.shards.push(map);
        self.paths.push(path.to_owned());
        Ok(())
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

    /// A tensor's data.
    ///
    /// # Panics
    /// When the tensor is not one of this file's.
    #[must_use]
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        let (start, len) = range(tensor);
        &self.shards[tensor.shard].bytes()[start..start + len]
    }

    /// Tells the system that a tensor's data will not be read again soon.
    pub fn release_pages(&self, tensor: &TensorInfo) {
        let (start, len) = range(tensor);
        self.shards[tensor.shard].release(start, len);
    }

    /// GGUF version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Tensors begin at multiples of this many bytes.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Bytes of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes().len() as u64).sum()
    }

    /// Every file.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

fn open_one(path: &Path) -> Result<(Map, Header)> {
    let map = Map::open(path)?;
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
