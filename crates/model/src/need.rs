//! How much memory a model takes, said before any of it is taken.

use gguf::GgufFile;
use tensor::{Backend, WeightSource};

use crate::arch::Role;
use crate::inventory::{self, Item};
use crate::workspace::Workspace;
use crate::{LoadOptions, Result, arch, options, spec};

/// Bytes of a model on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Matrices and vectors, in the backend's layout.
    pub weights_bytes: u64,
    /// Keys and values of all positions.
    pub kv_bytes: u64,
    /// States of all sequences, in models whose layers keep one.
    pub state_bytes: u64,
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
    let layouts = options::kv_layouts(&spec, options)?;
    let items = inventory::check(file, arch::find(file)?, &spec)?;
    let weights = items.iter().map(|item| {
        let (rows, _) = item.kind.matrices();
        let prepared = |i| backend.prepared_bytes(&source(item, i)) as u64;
        let values = item.kind.values() * size_of::<f32>();
        (0..rows.len()).map(prepared).sum::<u64>() + values as u64
    });
    Ok(MemoryNeed {
        weights_bytes: weights.sum(),
        kv_bytes: layouts.total_bytes() as u64,
        state_bytes: options::state_layout(&spec, options)
            .map_or(0, |layout| layout.total_bytes() as u64),
        workspace_bytes: Workspace::bytes(&spec, options.rows_max),
    })
}

/// Matrix `i` of a tensor, as backends take it, without its bytes.
pub(crate) fn source<'a>(item: &Item<'a>, i: usize) -> WeightSource<'a> {
    let (rows, k) = item.kind.matrices();
    WeightSource {
        name: &item.tensor.name,
        format: item.tensor.format,
        n: rows[i],
        k,
        bytes: &[],
        // Tied embeddings are the output head too; others are only looked up.
        precise: matches!(item.role, Role::Output | Role::TokenEmbedding),
        // One for all of a tensor's matrices, or one for each.
        factor: item.factors.get(i).or(item.factors.first()).copied().unwrap_or(1.0),
    }
}
