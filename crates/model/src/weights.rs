//! Taking a checked file's tensors into a backend, in order of use.

use std::collections::HashMap;

use gguf::GgufFile;
use tensor::{Backend, Tensor, Weight, WeightSource};

use crate::arch::{Architecture, Role};
use crate::blocks::{FeedForwardWeights, MixerWeights};
use crate::inventory::{Item, Kind};
use crate::need::source;
use crate::spec::{Classifier, Entry, Norms};
use crate::{Error, ModelSpec, Result};

/// A model's matrices and vectors.
pub(crate) struct Weights {
    /// `[vocab, d]`; the output matrix too where there is no other.
    pub(crate) token_embedding: Weight,
    pub(crate) entry: EntryWeights,
    /// One for each layer of the spec.
    pub(crate) layers: Vec<LayerWeights>,
    /// `[1, d]`.
    pub(crate) output_norm: Option<Tensor>,
    /// `[vocab, d]`.
    pub(crate) output: Option<Weight>,
    pub(crate) classifier: Option<ClassifierWeights>,
}

/// What is added to embeddings.
pub(crate) struct EntryWeights {
    /// `[context, d]`.
    pub(crate) positions: Option<Tensor>,
    /// `[types, d]`.
    pub(crate) types: Option<Tensor>,
    /// Scale and bias, `[1, d]`.
    pub(crate) norm: Option<(Tensor, Tensor)>,
}

/// Of the head that makes scores, each matrix with its bias.
pub(crate) struct ClassifierWeights {
    /// `[d, d]`.
    pub(crate) dense: Option<(Weight, Option<Tensor>)>,
    /// `[labels, d]`.
    pub(crate) output: (Weight, Option<Tensor>),
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
    /// Of the sum: scale and bias.
    pub(crate) sum: Option<(Tensor, Tensor)>,
}

impl Weights {
    pub(crate) fn load(loader: &mut Loader<'_>, spec: &ModelSpec) -> Result<Weights> {
        let token_embedding = loader.matrix(Role::TokenEmbedding, 0)?;
        let entry = EntryWeights::load(loader, &spec.entry)?;
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (layer, parts) in spec.layers.iter().enumerate() {
            let mixer_norms =
                [Role::AttentionNorm, Role::AttentionPostNorm, Role::AttentionPostNormBias];
            let feed_forward_norms =
                [Role::FeedForwardNorm, Role::FeedForwardPostNorm, Role::FeedForwardPostNormBias];
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
        let output_norm = match spec.has_output_norm() {
            true => Some(loader.vector(Role::OutputNorm, 0)?),
            false => None,
        };
        let output = match spec.has_output_matrix() {
            true => Some(loader.matrix(Role::Output, 0)?),
            false => None,
        };
        let classifier = match &spec.classifier {
            Some(classifier) => Some(ClassifierWeights::load(loader, classifier)?),
            None => None,
        };
        Ok(Weights { token_embedding, entry, layers, output_norm, output, classifier })
    }
}

impl EntryWeights {
    fn load(loader: &mut Loader<'_>, of: &Entry) -> Result<EntryWeights> {
        let mut table = |role, wanted: bool| {
            if wanted { loader.table(role, 0).map(Some) } else { Ok(None) }
        };
        let positions = table(Role::PositionEmbedding, of.positions)?;
        let types = table(Role::TokenTypes, of.types.is_some())?;
        let norm = match of.normed {
            true => {
                let scale = loader.vector(Role::EmbeddingNorm, 0)?;
                Some((scale, loader.vector(Role::EmbeddingNormBias, 0)?))
            }
            false => None,
        };
        Ok(EntryWeights { positions, types, norm })
    }
}

impl ClassifierWeights {
    fn load(loader: &mut Loader<'_>, of: &Classifier) -> Result<ClassifierWeights> {
        let mut layer = |weight, bias| -> Result<(Weight, Option<Tensor>)> {
            let weight = loader.matrix(weight, 0)?;
            let bias = if of.biases { Some(loader.vector(bias, 0)?) } else { None };
            Ok((weight, bias))
        };
        let dense = match of.dense {
            true => Some(layer(Role::Classifier, Role::ClassifierBias)?),
            false => None,
        };
        let output = layer(Role::ClassifierOutput, Role::ClassifierOutputBias)?;
        Ok(ClassifierWeights { dense, output })
    }
}

impl BlockNorms {
    fn load(
        loader: &mut Loader<'_>,
        norms: Norms,
        ([before, after, bias], layer): ([Role; 3], usize),
    ) -> Result<BlockNorms> {
        let mut norm = |role, wanted: bool| {
            if wanted { loader.vector(role, layer).map(Some) } else { Ok(None) }
        };
        let (is_before, is_after) = match norms {
            Norms::Before => (true, false),
            Norms::After => (false, true),
            Norms::Around => (true, true),
            Norms::Sum => (false, false),
        };
        let is_sum = norms == Norms::Sum;
        Ok(BlockNorms {
            before: norm(before, is_before)?,
            after: norm(after, is_after)?,
            sum: norm(after, is_sum)?.zip(norm(bias, is_sum)?),
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
        let (rows, k) = item.kind.matrices();
        let row_bytes = item.tensor.format.row_bytes(k).expect("checked when it was opened");
        // Once for all: of other forms than GGUF it is made here.
        let bytes = self.file.bytes(item.tensor);
        let (mut gathered, mut first) = (Vec::new(), 0);
        let mut prepare = |i: usize| {
            let source = source(item, i);
            let Kind::Turns { parts, each, .. } = item.kind else {
                let len = rows[i] * row_bytes;
                let bytes = &bytes[first..][..len];
                first += len;
                return Ok(self.backend.prepare(&WeightSource { bytes, ..source })?);
            };
            let turn = bytes.len() / (source.n / each);
            gathered.clear();
            for rows in bytes.chunks_exact(turn) {
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
        item.tensor.format.dequantize_row(&self.file.bytes(item.tensor), &mut values);
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
