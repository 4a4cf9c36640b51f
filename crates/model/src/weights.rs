//! Taking a checked file's tensors into a backend, in order of use.

use std::collections::HashMap;

use gguf::GgufFile;
use tensor::{Backend, Tensor, Weight, WeightSource};

use crate::arch::{Architecture, Role};
use crate::blocks::{FeedForwardWeights, MixerWeights};
use crate::inventory::{Item, Kind};
use crate::need::source;
use crate::spec::Norms;
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
    pub(crate) mixer: MixerWeights,
    pub(crate) mixer_norms: BlockNorms,
    pub(crate) feed_forward: FeedForwardWeights,
    pub(crate) feed_forward_norms: BlockNorms,
}

/// Norms on the two sides of a block, `[1, d]`.
pub(crate) struct BlockNorms {
    pub(crate) before: Option<Tensor>,
    pub(crate) after: Option<Tensor>,
}

impl Weights {
    pub(crate) fn load(loader: &mut Loader<'_>, spec: &ModelSpec) -> Result<Weights> {
        let token_embedding = loader.matrix(Role::TokenEmbedding, 0)?;
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (layer, parts) in spec.layers.iter().enumerate() {
            let mixer_norms = (Role::AttentionNorm, Role::AttentionPostNorm);
            let feed_forward_norms = (Role::FeedForwardNorm, Role::FeedForwardPostNorm);
            layers.push(LayerWeights {
                mixer: MixerWeights::load(loader, parts.mixer, layer)?,
                mixer_norms: BlockNorms::load(loader, parts.norms, (mixer_norms, layer))?,
                feed_forward: FeedForwardWeights::load(loader, parts.feed_forward, layer)?,
                feed_forward_norms: BlockNorms::load(
                    loader,
                    parts.norms,
                    (feed_forward_norms, layer),
                )?,
            });
        }
        let output_norm = loader.vector(Role::OutputNorm, 0)?;
        let output = if spec.tied { None } else { Some(loader.matrix(Role::Output, 0)?) };
        Ok(Weights { token_embedding, layers, output_norm, output })
    }
}

impl BlockNorms {
    fn load(
        loader: &mut Loader<'_>,
        norms: Norms,
        ((before, after), layer): ((Role, Role), usize),
    ) -> Result<BlockNorms> {
        let mut norm = |role, wanted: bool| {
            if wanted { loader.vector(role, layer).map(Some) } else { Ok(None) }
        };
        Ok(BlockNorms {
            before: norm(before, norms != Norms::After)?,
            after: norm(after, norms != Norms::Before)?,
        })
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
        let mut matrices = self.matrices(role, layer)?;
        let only = matrices.pop().filter(|_| matrices.is_empty());
        only.ok_or_else(|| self.missing(role, layer))
    }

    /// The matrices of a tensor that has several.
    pub(crate) fn matrices(&mut self, role: Role, layer: usize) -> Result<Vec<Weight>> {
        let item = self.item(role, layer)?;
        let (rows, _) = item.kind.matrices();
        let mut gathered = Vec::new();
        let mut prepare = |i| {
            let source = source(self.file, item, i);
            let Kind::Turns { parts, each, .. } = item.kind else {
                return Ok(self.backend.prepare(&source)?);
            };
            let turn = self.file.bytes(item.tensor).len() / (source.n / each);
            gathered.clear();
            for rows in self.file.bytes(item.tensor).chunks_exact(turn) {
                let part = turn / parts;
                gathered.extend_from_slice(&rows[i * part..][..part]);
            }
            Ok(self.backend.prepare(&WeightSource { bytes: &gathered, ..source })?)
        };
        let matrices: Result<Vec<Weight>> = (0..rows.len()).map(&mut prepare).collect();
        self.done(item);
        matrices
    }

    /// A vector, as an activation `[1, len]`.
    pub(crate) fn vector(&mut self, role: Role, layer: usize) -> Result<Tensor> {
        let values = self.values(role, layer)?;
        self.upload(&values, values.len())
    }

    /// A table, as an activation `[rows, cols]`.
    pub(crate) fn table(&mut self, role: Role, layer: usize) -> Result<Tensor> {
        let cols = match self.item(role, layer)?.kind {
            Kind::Table { cols, .. } => cols,
            Kind::Matrix { .. }
            | Kind::Stack { .. }
            | Kind::Fused { .. }
            | Kind::Turns { .. }
            | Kind::Row { .. }
            | Kind::Vector { .. } => return Err(self.missing(role, layer)),
        };
        let values = self.values(role, layer)?;
        self.upload(&values, cols)
    }

    /// The values of a vector or table.
    pub(crate) fn values(&mut self, role: Role, layer: usize) -> Result<Vec<f32>> {
        let item = self.item(role, layer)?;
        let mut values = vec![0.0; item.kind.values()];
        item.tensor.format.dequantize_row(self.file.bytes(item.tensor), &mut values);
        self.done(item);
        Ok(values)
    }

    fn upload(&self, values: &[f32], cols: usize) -> Result<Tensor> {
        let mut tensor = self.backend.alloc(values.len() / cols.max(1), cols)?;
        self.backend.upload(&mut tensor, values)?;
        Ok(tensor)
    }

    fn item(&self, role: Role, layer: usize) -> Result<&'a Item<'a>> {
        let name = self.architecture.tensor_name(role, layer);
        let found = self.items.get(&*name).copied();
        found.ok_or_else(|| Error::TensorMissing { name, wanted: Vec::new() })
    }

    fn missing(&self, role: Role, layer: usize) -> Error {
        let name = self.architecture.tensor_name(role, layer);
        Error::TensorMissing { name, wanted: Vec::new() }
    }

    fn done(&mut self, item: &Item<'_>) {
        // The backend has its own copy; the file's pages would only be in the way.
        self.file.release_pages(item.tensor);
        self.done_bytes += item.tensor.size_bytes;
        (self.progress)(self.done_bytes, self.total_bytes);
    }
}
