//! How the bytes of a tensor come about, and the model's data made of all of them.

use std::borrow::Cow;

use gguf::{TensorData, TensorInfo};
use quant::FormatId;

use crate::mxfp4;
use crate::sources::Sources;
use crate::views::View;

/// Bytes of a tensor.
pub(crate) enum Recipe {
    /// Those of a source.
    Plain(usize),
    /// Elements of sources one after the other, in the sources' format.
    Gathered { pieces: Vec<(usize, View)>, format: FormatId, then: Then },
    /// Blocks of MXFP4: every `step`th row of `row` blocks from `first` on.
    Blocks { blocks: usize, scales: usize, pick: (usize, usize), row: usize },
    /// Known from the configuration.
    Values(Vec<f32>),
}

/// What becomes of elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    Keep,
    /// F32.
    Widen,
    /// F32, so many times as much.
    Times(f32),
    /// F32, one more.
    PlusOne,
    /// F32, `-exp(x)`.
    MinusExp,
}

/// All recipes over the open files: a tensor's `offset` is the number of its own.
pub(crate) struct Made {
    pub(crate) sources: Sources,
    pub(crate) recipes: Vec<Recipe>,
}

impl Made {
    fn recipe(&self, tensor: &TensorInfo) -> &Recipe {
        &self.recipes[tensor.offset as usize]
    }
}

impl TensorData for Made {
    fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        match self.recipe(tensor) {
            Recipe::Plain(source) => self.sources.bytes(*source),
            Recipe::Gathered { pieces, format, then } => {
                let mut out = Vec::with_capacity(tensor.size_bytes as usize);
                for (source, view) in pieces {
                    view.gather(&self.sources.bytes(*source), format.block_bytes(), &mut out);
                }
                Cow::Owned(finished(out, *format, *then))
            }
            Recipe::Blocks { blocks, scales, pick, row } => {
                let (blocks, scales) = (self.sources.stored(*blocks), self.sources.stored(*scales));
                Cow::Owned(mxfp4::repack(blocks, scales, *pick, *row))
            }
            Recipe::Values(values) => {
                Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        }
    }

    fn release_pages(&self, tensor: &TensorInfo) {
        match self.recipe(tensor) {
            Recipe::Plain(source) => self.sources.release(*source),
            Recipe::Gathered { pieces, .. } => {
                pieces.iter().for_each(|(source, _)| self.sources.release(*source));
            }
            Recipe::Blocks { blocks, scales, .. } => {
                [*blocks, *scales].iter().for_each(|source| self.sources.release(*source));
            }
            Recipe::Values(_) => {}
        }
    }
}

fn finished(bytes: Vec<u8>, format: FormatId, then: Then) -> Vec<u8> {
    if then == Then::Keep {
        return bytes;
    }
    let mut values = vec![0.0; bytes.len() / format.block_bytes()];
    format.dequantize_row(&bytes, &mut values);
    let change = |value: f32| match then {
        Then::Keep | Then::Widen => value,
        Then::Times(factor) => value * factor,
        Then::PlusOne => value + 1.0,
        Then::MinusExp => -value.exp(),
    };
    values.into_iter().flat_map(|value| change(value).to_le_bytes()).collect()
}
