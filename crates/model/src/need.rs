//! How much memory a model takes, said before any of it is taken.

use gguf::GgufFile;
use tensor::{Backend, WeightSource};

use crate::arch::Role;
use crate::inventory::{self, Item, Kind};
use crate::workspace::Workspace;
use crate::{LoadOptions, Result, arch, options, spec};

/// Bytes of a model on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Matrices and vectors, in the backend's layout.
    pub weights_bytes: u64,
    /// Keys and values of all positions.
    pub kv_bytes: u64,
    /// Activations of one step.
    pub workspace_bytes: u64,
}

/// What [`crate::Model::load`] with the same arguments will allocate.
///
/// # Errors
/// What `load` would refuse.
pub fn memory_need(
    file: &GgufFile,
    options: &LoadOptions,
    backend: &dyn Backend,
) -> Result<MemoryNeed> {
    let spec = spec(file)?;
    let layout = options::kv_layout(&spec, options)?;
    let items = inventory::check(file, arch::find(file)?, &spec)?;
    let weights = items.iter().map(|item| match item.kind {
        Kind::Matrix { n, k } => backend.prepared_bytes(&source(file, item, (n, k))) as u64,
        Kind::Vector { len } => (len * size_of::<f32>()) as u64,
    });
    Ok(MemoryNeed {
        weights_bytes: weights.sum(),
        kv_bytes: layout.total_bytes() as u64,
        workspace_bytes: Workspace::bytes(&spec, options.rows_max),
    })
}

/// A matrix of the file, as backends take it.
pub(crate) fn source<'a>(
    file: &'a GgufFile,
    item: &Item<'a>,
    (n, k): (usize, usize),
) -> WeightSource<'a> {
    let tensor = item.tensor;
    WeightSource {
        name: &tensor.name,
        format: tensor.format,
        n,
        k,
        bytes: file.bytes(tensor),
        // Tied embeddings are the output head too; others are only looked up.
        precise: matches!(item.role, Role::Output | Role::TokenEmbedding),
    }
}
