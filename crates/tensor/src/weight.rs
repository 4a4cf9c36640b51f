//! A matrix as it lies in the file, and as a backend keeps it.

use std::any::Any;

use quant::FormatId;

/// A matrix `[n, k]` in a file: `n` rows of `k` weights, each row whole blocks of `format`.
#[derive(Clone, Copy)]
pub struct WeightSource<'a> {
    /// For error messages: the tensor's name.
    pub name: &'a str,
    /// Block format of `bytes`.
    pub format: FormatId,
    /// Rows: outputs.
    pub n: usize,
    /// Columns: inputs.
    pub k: usize,
    /// `n` rows, back to back.
    pub bytes: &'a [u8],
    /// Whether activations that meet it keep all the precision that the backend has: the output
    /// head, whose errors reach the logits as they are.
    pub precise: bool,
    /// What every weight is multiplied with: files may keep it apart from the blocks.
    pub factor: f32,
}

/// A backend's own copy of a matrix.
pub trait WeightStore: Any + Send + Sync {
    /// For downcasting by the backend that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A prepared matrix `[n, k]`.
pub struct Weight {
    /// Format it had in the file.
    pub format: FormatId,
    /// Rows: outputs.
    pub n: usize,
    /// Columns: inputs.
    pub k: usize,
    /// What every weight in `store` is to be multiplied with.
    pub factor: f32,
    /// Bytes held.
    pub held_bytes: usize,
    /// Memory, in the backend's layout.
    pub store: Box<dyn WeightStore>,
}
