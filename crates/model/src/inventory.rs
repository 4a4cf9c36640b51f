//! Every tensor that a spec needs, with its shape: what files are checked against, what memory is
//! counted from.

use std::collections::HashSet;

use gguf::{GgufFile, TensorInfo};

use crate::arch::{Architecture, Role};
use crate::spec::{FeedForward, Mixer, ModelSpec};
use crate::{Error, Result};

/// A tensor that a model has.
pub(crate) struct Item<'a> {
    /// Where it lies in the file.
    pub(crate) tensor: &'a TensorInfo,
    pub(crate) role: Role,
    /// A matrix is prepared by the backend, a vector becomes an activation.
    pub(crate) kind: Kind,
}

/// Shape of a tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[n, k]`.
    Matrix { n: usize, k: usize },
    /// `[len]`.
    Vector { len: usize },
}

impl Kind {
    /// As GGUF writes it: fastest dimension first.
    fn shape(self) -> Vec<u64> {
        match self {
            Kind::Matrix { n, k } => vec![k as u64, n as u64],
            Kind::Vector { len } => vec![len as u64],
        }
    }
}

/// The tensors of the model, in order of use.
///
/// # Errors
/// [`Error::TensorMissing`], [`Error::TensorShape`], [`Error::TensorUnknown`].
pub(crate) fn check<'a>(
    file: &'a GgufFile,
    architecture: &dyn Architecture,
    spec: &ModelSpec,
) -> Result<Vec<Item<'a>>> {
    let mut items = Vec::new();
    for (role, layer, kind) in wanted(spec) {
        let name = architecture.tensor_name(role, layer);
        let tensor = find(file, name, kind)?;
        items.push(Item { tensor, role, kind });
    }
    let mut known: HashSet<&str> = items.iter().map(|item| &*item.tensor.name).collect();
    let factors = architecture.tensor_name(Role::RopeFactors, 0);
    if file.tensor(&factors).is_some() {
        let len = spec.rope.inverse_frequencies.len();
        known.insert(&find(file, factors, Kind::Vector { len })?.name);
    }
    match file.tensors().iter().find(|tensor| !known.contains(&*tensor.name)) {
        None => Ok(items),
        Some(tensor) => Err(Error::TensorUnknown {
            name: tensor.name.clone(),
            architecture: spec.architecture.clone(),
        }),
    }
}

fn find(file: &GgufFile, name: String, kind: Kind) -> Result<&TensorInfo> {
    let wanted = kind.shape();
    let Some(tensor) = file.tensor(&name) else {
        return Err(Error::TensorMissing { name, wanted });
    };
    if tensor.shape != wanted {
        return Err(Error::TensorShape { name, found: tensor.shape.clone(), wanted });
    }
    Ok(tensor)
}

/// `(role, layer, shape)` of all tensors but the optional rope factors.
fn wanted(spec: &ModelSpec) -> Vec<(Role, usize, Kind)> {
    let d = spec.d;
    let mut wanted = vec![(Role::TokenEmbedding, 0, Kind::Matrix { n: spec.vocab, k: d })];
    for (layer, parts) in spec.layers.iter().enumerate() {
        wanted.push((Role::AttentionNorm, layer, Kind::Vector { len: d }));
        wanted.extend(of_mixer(spec, parts.mixer).into_iter().map(|(r, kind)| (r, layer, kind)));
        wanted.push((Role::FeedForwardNorm, layer, Kind::Vector { len: d }));
        let feed_forward = of_feed_forward(d, parts.feed_forward);
        wanted.extend(feed_forward.into_iter().map(|(role, kind)| (role, layer, kind)));
    }
    wanted.push((Role::OutputNorm, 0, Kind::Vector { len: d }));
    if !spec.tied {
        wanted.push((Role::Output, 0, Kind::Matrix { n: spec.vocab, k: d }));
    }
    wanted
}

fn of_mixer(spec: &ModelSpec, mixer: Mixer) -> Vec<(Role, Kind)> {
    let d = spec.d;
    let q = spec.n_heads * spec.head_dim_k;
    let k = spec.n_kv_heads * spec.head_dim_k;
    let v = spec.n_kv_heads * spec.head_dim_v;
    match mixer {
        Mixer::Attention { input_biases, output_bias } => {
            let mut items = vec![
                (Role::Query, Kind::Matrix { n: q, k: d }),
                (Role::Key, Kind::Matrix { n: k, k: d }),
                (Role::Value, Kind::Matrix { n: v, k: d }),
                (Role::AttentionOutput, Kind::Matrix { n: d, k: spec.n_heads * spec.head_dim_v }),
            ];
            if input_biases {
                items.push((Role::QueryBias, Kind::Vector { len: q }));
                items.push((Role::KeyBias, Kind::Vector { len: k }));
                items.push((Role::ValueBias, Kind::Vector { len: v }));
            }
            if output_bias {
                items.push((Role::AttentionOutputBias, Kind::Vector { len: d }));
            }
            items
        }
    }
}

fn of_feed_forward(d: usize, feed_forward: FeedForward) -> Vec<(Role, Kind)> {
    match feed_forward {
        FeedForward::Dense { ffn } => vec![
            (Role::Gate, Kind::Matrix { n: ffn, k: d }),
            (Role::Up, Kind::Matrix { n: ffn, k: d }),
            (Role::Down, Kind::Matrix { n: d, k: ffn }),
        ],
    }
}
