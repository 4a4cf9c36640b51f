//! Factors of whole matrices, which files in NVFP4 keep beside the blocks: `blk.0.ffn_up.scale` is
//! that of `blk.0.ffn_up.weight`, of a stack one for each of its matrices. A product is multiplied
//! with it before a bias or an adapter is added. `blk.0.ffn_up.input_scale` says how activations
//! are rounded to 4 bits where they are; here they are not, and in llama.cpp no product reads it.
//!
//! Source: llama.cpp, `llama-model.cpp` (names) and `build_lora_mm` in `llama-graph.cpp`.

use gguf::GgufFile;

use crate::arch::Role;
use crate::inventory::{Item, Kind, find};
use crate::{Error, Result};

/// Ends of names beside a matrix, in place of `weight`.
const FACTOR: &str = "scale";
const NOT_READ: &str = "input_scale";

/// The name beside a matrix; none where its own does not end as all do.
fn beside(matrix: &str, end: &str) -> Option<String> {
    matrix.strip_suffix("weight").map(|begin| format!("{begin}{end}"))
}

/// Whether a tensor may have factors. Embeddings may not: rows are looked up in them, and where
/// they are the output too nothing says for which of both a factor is meant.
fn may_have(role: Role, kind: &Kind) -> bool {
    role != Role::TokenEmbedding && !kind.matrices().0.is_empty()
}

/// The factors of a tensor's matrices: none, one for all, or one for each of a stack.
///
/// # Errors
/// When there are not so many, or one is no number above 0.
pub(crate) fn read(file: &GgufFile, matrix: &str, (role, kind): (Role, &Kind)) -> Result<Vec<f32>> {
    let name = beside(matrix, FACTOR).filter(|_| may_have(role, kind));
    let Some(name) = name.filter(|name| file.tensor(name).is_some()) else {
        return Ok(Vec::new());
    };
    let len = match kind {
        Kind::Stack { count, .. } => *count,
        Kind::Matrix { .. }
        | Kind::Fused { .. }
        | Kind::Turns { .. }
        | Kind::Vector { .. }
        | Kind::Row { .. }
        | Kind::Table { .. } => 1,
    };
    let tensor = find(file, name, &Kind::Vector { len })?;
    let mut factors = vec![0.0; len];
    tensor.format.dequantize_row(&file.bytes(tensor), &mut factors);
    match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        None => Ok(factors),
        Some(factor) => Err(Error::Metadata {
            key: format!("a value of the tensor {}", tensor.name),
            found: factor.to_string(),
            wanted: "a number above 0".to_owned(),
        }),
    }
}

/// Names of what may be beside a tensor and is read or need not be.
pub(crate) fn known(item: &Item<'_>) -> impl Iterator<Item = String> {
    let may_have = may_have(item.role, &item.kind);
    let ends = [FACTOR, NOT_READ].into_iter().filter(move |_| may_have);
    ends.filter_map(|end| beside(&item.tensor.name, end))
}

/// Whether a tensor is a factor that none of the known ones may have.
pub(crate) fn is_one(name: &str, is_known: impl Fn(&str) -> bool) -> bool {
    let of = |end| name.strip_suffix(end).is_some_and(|of| is_known(&format!("{of}weight")));
    name.contains('.') && (of(NOT_READ) || of(FACTOR))
}
