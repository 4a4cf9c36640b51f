//! Every tensor that a spec needs, with its shape: what files are checked against, what memory is
//! counted from.

use std::collections::HashSet;

use gguf::{GgufFile, TensorInfo};

use crate::arch::{Architecture, ROPE_FACTORS, Role};
use crate::spec::{
    AttentionSpec, Classifier, DeltaNetSpec, DenseForm, DenseSpec, Entry, ExpertsSpec, FeedForward,
    LatentSpec, Mixer, ModelSpec, Norms, QueryKeyNorms,
};
use crate::{Error, Result, factors};

/// A tensor that a model has.
pub(crate) struct Item<'a> {
    /// Where it lies in the file.
    pub(crate) tensor: &'a TensorInfo,
    pub(crate) role: Role,
    /// Matrices are prepared by the backend, vectors and tables become activations.
    pub(crate) kind: Kind,
    /// Of its matrices, where the file keeps them apart: one for all of them, or one for
    /// each of a stack.
    pub(crate) factors: Vec<f32>,
}

/// Shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[n, k]`.
    Matrix { n: usize, k: usize },
    /// `count` matrices `[n, k]`.
    Stack { count: usize, n: usize, k: usize },
    /// Matrices of `k` columns and so many rows each, one below the other.
    Fused { n: Vec<usize>, k: usize },
    /// `parts` matrices of `k` columns that take turns of `each` rows.
    Turns { parts: usize, each: usize, turns: usize, k: usize },
    /// `[len]`.
    Vector { len: usize },
    /// One row `[1, k]` to multiply with, which files write as a vector.
    Row { k: usize },
    /// `[rows, cols]`, not multiplied with.
    Table { rows: usize, cols: usize },
}

impl Kind {
    /// As GGUF writes it: fastest dimension first.
    fn shape(&self) -> Vec<u64> {
        let shape: &[usize] = match self {
            Kind::Matrix { n, k } => &[*k, *n],
            Kind::Stack { count, n, k } => &[*k, *n, *count],
            Kind::Fused { n, k } => &[*k, n.iter().sum()],
            Kind::Turns { parts, each, turns, k } => &[*k, parts * each * turns],
            Kind::Vector { len } | Kind::Row { k: len } => &[*len],
            Kind::Table { rows, cols } => &[*cols, *rows],
        };
        shape.iter().map(|dimension| *dimension as u64).collect()
    }

    /// `(rows of each, columns)` of the matrices in it; none in what is not multiplied with.
    pub(crate) fn matrices(&self) -> (Vec<usize>, usize) {
        match self {
            Kind::Matrix { n, k } => (vec![*n], *k),
            Kind::Row { k } => (vec![1], *k),
            Kind::Stack { count, n, k } => (vec![*n; *count], *k),
            Kind::Fused { n, k } => (n.clone(), *k),
            Kind::Turns { parts, each, turns, k } => (vec![each * turns; *parts], *k),
            Kind::Vector { .. } | Kind::Table { .. } => (Vec::new(), 0),
        }
    }

    /// Values of what is not multiplied with.
    pub(crate) fn values(&self) -> usize {
        match self {
            Kind::Vector { len } => *len,
            Kind::Table { rows, cols } => rows * cols,
            Kind::Matrix { .. }
            | Kind::Stack { .. }
            | Kind::Fused { .. }
            | Kind::Turns { .. }
            | Kind::Row { .. } => 0,
        }
    }
}

/// The tensors of the model, in order of use.
///
/// # Errors
/// [`Error::TensorMissing`], [`Error::TensorShape`], [`Error::TensorFactor`],
/// [`Error::TensorUnknown`].
pub(crate) fn check<'a>(
    file: &'a GgufFile,
    architecture: &dyn Architecture,
    spec: &ModelSpec,
) -> Result<Vec<Item<'a>>> {
    let mut items = Vec::new();
    for (role, layer, kind) in wanted(spec) {
        let name = architecture.tensor_name(role, layer);
        let tensor = find(file, name, &kind)?;
        let factors = factors::read(file, &tensor.name, (role, &kind))?;
        items.push(Item { tensor, role, kind, factors });
    }
    let mut known: HashSet<&str> = items.iter().map(|item| &*item.tensor.name).collect();
    let beside: Vec<String> = items.iter().flat_map(factors::known).collect();
    known.extend(beside.iter().map(String::as_str));
    known.extend(ROPE_FACTORS);
    // A model for retrieval may have kept the output matrix of the one it was made of.
    let output = architecture.tensor_name(Role::Output, 0);
    known.extend(spec.pooling.map(|_| &*output));
    let unused = (0..spec.unused_layers).map(|layer| format!("blk.{}.", spec.layers.len() + layer));
    let unused: Vec<String> = unused.collect();
    let is_known =
        |name: &str| known.contains(name) || unused.iter().any(|prefix| name.starts_with(prefix));
    match file.tensors().iter().find(|tensor| !is_known(&tensor.name)) {
        None => Ok(items),
        Some(tensor) if factors::is_one(&tensor.name, |name| known.contains(name)) => {
            Err(Error::TensorFactor { name: tensor.name.clone() })
        }
        Some(tensor) => Err(Error::TensorUnknown {
            name: tensor.name.clone(),
            architecture: spec.architecture.clone(),
        }),
    }
}

pub(crate) fn find<'a>(file: &'a GgufFile, name: String, kind: &Kind) -> Result<&'a TensorInfo> {
    let wanted = kind.shape();
    let Some(tensor) = file.tensor(&name) else {
        return Err(Error::TensorMissing { name, wanted });
    };
    // Some write a single row as a vector, and some a vector as a single row.
    let squeezed = |shape: &[u64]| -> Vec<u64> {
        let len = shape.iter().rposition(|dimension| *dimension != 1).map_or(1, |last| last + 1);
        shape.iter().copied().take(len).collect()
    };
    if squeezed(&tensor.shape) != squeezed(&wanted) {
        return Err(Error::TensorShape { name, found: tensor.shape.clone(), wanted });
    }
    Ok(tensor)
}

/// `(role, layer, shape)` of all tensors but factors of ropes.
pub(crate) fn wanted(spec: &ModelSpec) -> Vec<(Role, usize, Kind)> {
    let d = spec.d;
    let mut wanted = vec![(Role::TokenEmbedding, 0, Kind::Matrix { n: spec.vocab, k: d })];
    of_entry(spec, &spec.entry, &mut wanted);
    for (layer, parts) in spec.layers.iter().enumerate() {
        let (before, after) = match parts.norms {
            Norms::Before => (true, false),
            Norms::After => (false, true),
            Norms::Around => (true, true),
            Norms::Sum => (false, true),
        };
        let mut add = |role: Role, kind: Kind| wanted.push((role, layer, kind));
        let norm = || Kind::Vector { len: d };
        let bias = parts.norms == Norms::Sum;
        if before {
            add(Role::AttentionNorm, norm());
        }
        match parts.mixer {
            Mixer::Attention(attention) => of_attention(d, &attention, &mut add),
            Mixer::DeltaNet(net) => of_delta_net(d, &net, &mut add),
            Mixer::Latent(latent) => of_latent(d, &latent, &mut add),
        }
        if after {
            add(Role::AttentionPostNorm, norm());
        }
        if bias {
            add(Role::AttentionPostNormBias, norm());
        }
        if before {
            add(Role::FeedForwardNorm, norm());
        }
        match parts.feed_forward {
            FeedForward::Dense(dense) => of_dense(d, &dense, &mut add),
            FeedForward::Experts(experts) => of_experts(d, &experts, &mut add),
        }
        if after {
            add(Role::FeedForwardPostNorm, norm());
        }
        if bias {
            add(Role::FeedForwardPostNormBias, norm());
        }
    }
    if spec.has_output_norm() {
        wanted.push((Role::OutputNorm, 0, Kind::Vector { len: d }));
    }
    if spec.has_output_matrix() {
        wanted.push((Role::Output, 0, Kind::Matrix { n: spec.vocab, k: d }));
    }
    if let Some(classifier) = &spec.classifier {
        of_classifier(d, classifier, &mut wanted);
    }
    wanted
}

fn of_entry(spec: &ModelSpec, of: &Entry, wanted: &mut Vec<(Role, usize, Kind)>) {
    let d = spec.d;
    if of.positions {
        let rows = spec.context_len as usize;
        wanted.push((Role::PositionEmbedding, 0, Kind::Table { rows, cols: d }));
    }
    if let Some(rows) = of.types {
        wanted.push((Role::TokenTypes, 0, Kind::Table { rows, cols: d }));
    }
    if of.normed {
        for role in [Role::EmbeddingNorm, Role::EmbeddingNormBias] {
            wanted.push((role, 0, Kind::Vector { len: d }));
        }
    }
}

fn of_classifier(d: usize, of: &Classifier, wanted: &mut Vec<(Role, usize, Kind)>) {
    let n = of.labels;
    let dense = [
        (Role::Classifier, Kind::Matrix { n: d, k: d }),
        (Role::ClassifierBias, Kind::Vector { len: d }),
    ];
    let output = [
        (Role::ClassifierOutput, Kind::Matrix { n, k: d }),
        (Role::ClassifierOutputBias, Kind::Vector { len: n }),
    ];
    let parts = dense.into_iter().filter(|_| of.dense).chain(output);
    let is_wanted = |kind: &Kind| of.biases || !matches!(kind, Kind::Vector { .. });
    wanted.extend(parts.filter(|(_, kind)| is_wanted(kind)).map(|(role, kind)| (role, 0, kind)));
}

fn of_attention(d: usize, of: &AttentionSpec, add: &mut impl FnMut(Role, Kind)) {
    let gates = if of.gated { 2 } else { 1 };
    let q = of.n_heads * of.head_dim_k * gates;
    let k = of.n_kv_heads * of.head_dim_k;
    let v = of.n_kv_heads * of.head_dim_v;
    if of.fused {
        add(Role::QueryKeyValue, Kind::Fused { n: vec![q, k, v], k: d });
    } else {
        for (role, n) in [(Role::Query, q), (Role::Key, k), (Role::Value, v)] {
            add(role, Kind::Matrix { n, k: d });
        }
    }
    if of.input_biases {
        for (role, len) in [(Role::QueryBias, q), (Role::KeyBias, k), (Role::ValueBias, v)] {
            add(role, Kind::Vector { len });
        }
    }
    let norms = match of.query_key_norms {
        QueryKeyNorms::None => None,
        QueryKeyNorms::EachHead => Some((of.head_dim_k, of.head_dim_k)),
        QueryKeyNorms::AllHeads => Some((q / gates, k)),
    };
    if let Some((q, k)) = norms {
        add(Role::QueryNorm, Kind::Vector { len: q });
        add(Role::KeyNorm, Kind::Vector { len: k });
    }
    if of.sinks {
        add(Role::Sinks, Kind::Vector { len: of.n_heads });
    }
    add(Role::AttentionOutput, Kind::Matrix { n: d, k: of.n_heads * of.head_dim_v });
    if of.output_bias {
        add(Role::AttentionOutputBias, Kind::Vector { len: d });
    }
}

fn of_delta_net(d: usize, of: &DeltaNetSpec, add: &mut impl FnMut(Role, Kind)) {
    let (channels, values) = (of.channels(), of.n_v_heads * of.head_dim_v);
    add(Role::QueryKeyValue, Kind::Matrix { n: channels, k: d });
    add(Role::StateGate, Kind::Matrix { n: values, k: d });
    if of.rates_in_turns {
        let each = of.n_v_heads / of.n_k_heads;
        add(Role::StateRates, Kind::Turns { parts: 2, each, turns: of.n_k_heads, k: d });
    } else {
        add(Role::StateIntake, Kind::Matrix { n: of.n_v_heads, k: d });
        add(Role::StateStep, Kind::Matrix { n: of.n_v_heads, k: d });
    }
    add(Role::StateConv, Kind::Table { rows: channels, cols: of.kernel });
    add(Role::StateStepBias, Kind::Vector { len: of.n_v_heads });
    add(Role::StateDecay, Kind::Vector { len: of.n_v_heads });
    add(Role::StateNorm, Kind::Vector { len: of.head_dim_v });
    add(Role::StateOutput, Kind::Matrix { n: d, k: values });
}

fn of_latent(d: usize, of: &LatentSpec, add: &mut impl FnMut(Role, Kind)) {
    let LatentSpec { n_heads, kv_rank, still_dim, turned_dim, head_dim_v, .. } = *of;
    let q = n_heads * (still_dim + turned_dim);
    match of.query_rank {
        None => add(Role::Query, Kind::Matrix { n: q, k: d }),
        Some(rank) => {
            add(Role::QueryDown, Kind::Matrix { n: rank, k: d });
            add(Role::QueryDownNorm, Kind::Vector { len: rank });
            add(Role::QueryUp, Kind::Matrix { n: q, k: rank });
        }
    }
    add(Role::LatentDown, Kind::Matrix { n: kv_rank + turned_dim, k: d });
    add(Role::LatentNorm, Kind::Vector { len: kv_rank });
    add(Role::KeyUp, Kind::Stack { count: n_heads, n: kv_rank, k: still_dim });
    add(Role::ValueUp, Kind::Stack { count: n_heads, n: head_dim_v, k: kv_rank });
    add(Role::AttentionOutput, Kind::Matrix { n: d, k: n_heads * head_dim_v });
}

fn of_dense(d: usize, of: &DenseSpec, add: &mut impl FnMut(Role, Kind)) {
    let wide = || Kind::Matrix { n: of.ffn, k: d };
    match of.form {
        DenseForm::Gated => {
            add(Role::Gate, wide());
            add(Role::Up, wide());
        }
        DenseForm::Fused => add(Role::GateUp, Kind::Fused { n: vec![of.ffn; 2], k: d }),
        DenseForm::Plain => {
            add(Role::Up, wide());
            add(Role::UpBias, Kind::Vector { len: of.ffn });
        }
    }
    add(Role::Down, Kind::Matrix { n: d, k: of.ffn });
    if of.form == DenseForm::Plain {
        add(Role::DownBias, Kind::Vector { len: d });
    }
}

fn of_experts(d: usize, of: &ExpertsSpec, add: &mut impl FnMut(Role, Kind)) {
    let (count, ffn) = (of.count, of.ffn);
    add(Role::Router, Kind::Matrix { n: count, k: d });
    if of.selection_bias {
        add(Role::SelectionBias, Kind::Vector { len: count });
    }
    let wide = || Kind::Stack { count, n: ffn, k: d };
    add(Role::ExpertGates, wide());
    add(Role::ExpertUps, wide());
    add(Role::ExpertDowns, Kind::Stack { count, n: d, k: ffn });
    if of.biases {
        add(Role::RouterBias, Kind::Vector { len: count });
        add(Role::ExpertGateBiases, Kind::Table { rows: count, cols: ffn });
        add(Role::ExpertUpBiases, Kind::Table { rows: count, cols: ffn });
        add(Role::ExpertDownBiases, Kind::Table { rows: count, cols: d });
    }
    if let Some(ffn) = of.shared_ffn {
        add(Role::SharedGate, Kind::Matrix { n: ffn, k: d });
        add(Role::SharedUp, Kind::Matrix { n: ffn, k: d });
        add(Role::SharedDown, Kind::Matrix { n: d, k: ffn });
        if of.shared_gate {
            add(Role::SharedScore, Kind::Row { k: d });
        }
    }
}
