//! Taking a checked file's tensors into a backend, in order of use.

use std::collections::HashMap;

use gguf::GgufFile;
use tensor::{Backend, Tensor, Weight};

use crate::arch::{Architecture, Role};
use crate::blocks::{FeedForwardWeights, MixerWeights};
use crate::inventory::{Item, Kind};
use crate::need::source;
use crate::{Error, ModelSpec, Result};

/// A model's matrices and vectors.
pub(crate) struct Weights {
    /// `[vocab, d]`; the output matrix too where there is no other.
    pub(crate) token_embedding: Weight,
    /// One for each layer of the spec.
    pub(crate) layers: Vec<LayerWeights>,
    /// `[1, d]`.
    pub(crate) output_norm: Tensor,
    /// `[vocab, d]`.
    pub(crate) output: Option<Weight>,
}

/// A layer's.
pub(crate) struct LayerWeights {
    /// `[1, d]`.
    pub(crate) mixer_norm: Tensor,
    pub(crate) mixer: MixerWeights,
    /// `[1, d]`.
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) feed_forward: FeedForwardWeights,
}

impl Weights {
    pub(crate) fn load(loader: &mut Loader<'_>, spec: &ModelSpec) -> Result<Weights> {
        let token_embedding = loader.matrix(Role::TokenEmbedding, 0)?;
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (layer, parts) in spec.layers.iter().enumerate() {
            layers.push(LayerWeights {
                mixer_norm: loader.vector(Role::AttentionNorm, layer)?,
                mixer: MixerWeights::load(loader, parts.mixer, layer)?,
                feed_forward_norm: loader.vector(Role::FeedForwardNorm, layer)?,
                feed_forward: FeedForwardWeights::load(loader, parts.feed_forward, layer)?,
            });
        }
        let output_norm = loader.vector(Role::OutputNorm, 0)?;
        let output = if spec.tied { None } else { Some(loader.matrix(Role::Output, 0)?) };
        Ok(Weights { token_embedding, layers, output_norm, output })
    }
}

/// Takes tensors by role and tells how far it has come.
pub(crate) struct Loader<'a> {
    file: &'a GgufFile,
    architecture: &'a dyn Architecture,
    backend: &'a dyn Backend,
    /// All tensors of the model, checked, by name.
    items: HashMap<&'a str, &'a Item<'a>>,
    done_bytes: u64,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        file: &'a GgufFile,
        architecture: &'a dyn Architecture,
        backend: &'a dyn Backend,
        items: &'a [Item<'a>],
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Loader<'a> {
        let total_bytes = items.iter().map(|item| item.tensor.size_bytes).sum();
        let items = items.iter().map(|item| (&*item.tensor.name, item)).collect();
        Loader { file, architecture, backend, items, done_bytes: 0, total_bytes, progress }
    }

    /// A matrix, in the backend's layout.
    pub(crate) fn matrix(&mut self, role: Role, layer: usize) -> Result<Weight> {
        let item = self.item(role, layer)?;
        let Kind::Matrix { n, k } = item.kind else { return Err(missing(item)) };
        let weight = self.backend.prepare(&source(self.file, item, (n, k)))?;
        self.done(item);
        Ok(weight)
    }

    /// A vector, as an activation `[1, len]`.
    pub(crate) fn vector(&mut self, role: Role, layer: usize) -> Result<Tensor> {
        let item = self.item(role, layer)?;
        let Kind::Vector { len } = item.kind else { return Err(missing(item)) };
        let mut values = vec![0.0; len];
        item.tensor.format.dequantize_row(self.file.bytes(item.tensor), &mut values);
        let mut tensor = self.backend.alloc(1, len)?;
        self.backend.upload(&mut tensor, &values)?;
        self.done(item);
        Ok(tensor)
    }

    fn item(&self, role: Role, layer: usize) -> Result<&'a Item<'a>> {
        let name = self.architecture.tensor_name(role, layer);
        let found = self.items.get(&*name).copied();
        found.ok_or_else(|| Error::TensorMissing { name, wanted: Vec::new() })
    }

    fn done(&mut self, item: &Item<'_>) {
        // The backend has its own copy; the file's pages would only be in the way.
        self.file.release_pages(item.tensor);
        self.done_bytes += item.tensor.size_bytes;
        (self.progress)(self.done_bytes, self.total_bytes);
    }
}

fn missing(item: &Item<'_>) -> Error {
    Error::TensorMissing { name: item.tensor.name.clone(), wanted: item.tensor.shape.clone() }
}
