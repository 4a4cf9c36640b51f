//! What a model is, as data: read from a file's headers alone.

use gguf::GgufFile;
use tensor::{Activation, HeadOrder, Rope, Routing};

use crate::arch;
use crate::inventory;
use crate::{Error, Result};

/// A model, whatever its architecture.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// As in `general.architecture`.
    pub architecture: String,
    /// Width of the residual stream.
    pub d: usize,
    /// Rows of the embedding table.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context_len: u32,
    /// Added to the mean square in norms.
    pub norm_eps: f32,
    /// Factors here and there, 1 in most families.
    pub scales: Scales,
    /// A logit `x` becomes `cap * tanh(x / cap)`.
    pub logit_soft_cap: Option<f32>,
    /// How positions turn queries and keys: the rules that layers choose from.
    pub ropes: Vec<Rope>,
    /// Those to take instead where more positions are asked for than the number.
    pub long_ropes: Option<(u32, Vec<Rope>)>,
    /// Whether the embedding table is the output matrix too.
    pub tied: bool,
    /// What each layer is made of.
    pub layers: Vec<LayerSpec>,
    /// What is added to embeddings before the first layer.
    pub entry: Entry,
    /// What comes of the rows of a text in a model for retrieval, which has no logits; none in one
    /// that makes text.
    pub pooling: Option<Pooling>,
    /// What makes a score of a pooled row; none where that is the result itself.
    pub classifier: Option<Classifier>,
    /// Layers of the file after these, for predicting several tokens: they are not loaded.
    pub unused_layers: usize,
}

/// What an encoder adds to embeddings, and whether it norms the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Whether each position has a row of a table, as many as the context is long.
    pub positions: bool,
    /// Rows of the table of types, such as "first text" and "second text" of a pair.
    pub types: Option<usize>,
    /// Whether the sum has a layer norm with a bias.
    pub normed: bool,
}

/// How the rows of a text become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first row.
    First,
    /// The mean of all rows.
    Mean,
    /// The last row.
    Last,
}

/// A head that gives a pair of texts a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// Whether there is a layer `tanh(dense(x))` of the model's width first.
    pub dense: bool,
    /// Whether its matrices have biases.
    pub biases: bool,
    /// 1, or 2 of which the first says yes and the second no.
    pub labels: usize,
}

/// Factors that a family puts on its activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// On embeddings.
    pub embedding: f32,
    /// On what a block adds to the residual stream.
    pub residual: f32,
    /// On logits.
    pub logits: f32,
}

impl Default for Scales {
    fn default() -> Scales {
        Scales { embedding: 1.0, residual: 1.0, logits: 1.0 }
    }
}

/// One layer: a mixer, then a feed-forward block, each added to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSpec {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What works on each position alone.
    pub feed_forward: FeedForward,
    /// Where norms are.
    pub norms: Norms,
}

/// Which sides of a block have a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// What a block reads is normed.
    Before,
    /// What a block gives is normed.
    After,
    /// Both.
    Around,
    /// The sum of the residual stream and what a block gives, by a layer norm with a bias; that
    /// is the stream from then on. Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.1.
    Sum,
}

/// Kinds of mixer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixer {
    /// Attention with grouped heads.
    Attention(AttentionSpec),
    /// A gated delta net: no cache, but a state.
    DeltaNet(DeltaNetSpec),
    /// Attention over a compressed latent, shared by all heads.
    Latent(LatentSpec),
}

/// A gated delta net. Source: Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeltaNetSpec {
    /// Heads of queries and of keys.
    pub n_k_heads: usize,
    /// Heads of values.
    pub n_v_heads: usize,
    /// Width of a query and key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Rows that its convolution looks at.
    pub kernel: usize,
    /// Which key head a value head reads.
    pub order: HeadOrder,
    /// Whether the file keeps what makes intakes and steps in one matrix, in turns by key head.
    pub rates_in_turns: bool,
}

impl DeltaNetSpec {
    /// Queries, keys and values of a row.
    #[must_use]
    pub fn channels(&self) -> usize {
        2 * self.n_k_heads * self.head_dim_k + self.n_v_heads * self.head_dim_v
    }

    /// Values that a sequence keeps in a layer: of the convolution, and of the rest.
    #[must_use]
    pub fn state_values(&self) -> (usize, usize) {
        let recurrent = self.n_v_heads * self.head_dim_k * self.head_dim_v;
        ((self.kernel - 1) * self.channels(), recurrent)
    }
}

/// Attention with grouped heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Width of a query and key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Factor on query-key products before the softmax.
    pub scale: f32,
    /// Positions a row sees, its own included; all where none.
    pub window: Option<usize>,
    /// Scores `s` become `cap * tanh(s / cap)`.
    pub soft_cap: Option<f32>,
    /// Whether each head has a score that gives no value.
    pub sinks: bool,
    /// Index in [`ModelSpec::ropes`]; none where positions do not turn anything.
    pub rope: Option<usize>,
    /// Norms of queries and keys before they turn.
    pub query_key_norms: QueryKeyNorms,
    /// Whether queries, keys and values have a bias.
    pub input_biases: bool,
    /// Whether the output has one.
    pub output_bias: bool,
    /// Whether the file keeps queries, keys and values in one matrix, in this order.
    pub fused: bool,
    /// Whether a row sees those after its own too: then a text is computed in one step.
    pub bidirectional: bool,
    /// Whether the query matrix gives for each head a gate of the output too, after the query.
    pub gated: bool,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKeyNorms {
    /// None.
    None,
    /// Each head apart, all with the same factors.
    EachHead,
    /// All heads of a row together.
    AllHeads,
}

/// Multi-head latent attention: keys and values of all heads are made of one latent for each
/// position, and only that is cached. Source: DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentSpec {
    /// Query heads.
    pub n_heads: usize,
    /// Width of the latent that queries are made of; none where they are made of the input.
    pub query_rank: Option<usize>,
    /// Width of the latent that keys and values are made of.
    pub kv_rank: usize,
    /// Columns of a query head that do not turn.
    pub still_dim: usize,
    /// Columns that turn, shared by the keys of all heads.
    pub turned_dim: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Factor on query-key products before the softmax.
    pub scale: f32,
    /// Index in [`ModelSpec::ropes`], whose heads are `turned_dim + kv_rank` wide.
    pub rope: usize,
}

/// Kinds of feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeedForward {
    /// One block for all rows.
    Dense(DenseSpec),
    /// Some of many such blocks, chosen for each row, and perhaps one that all rows share.
    Experts(ExpertsSpec),
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DenseSpec {
    /// Width between.
    pub ffn: usize,
    /// What gates, or stands between.
    pub activation: Activation,
    /// What it is made of.
    pub form: DenseForm,
}

/// What a dense block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseForm {
    /// `down(activation(gate(x), up(x)))`.
    Gated,
    /// The same, and the file keeps gate and up in one matrix, in this order.
    Fused,
    /// `down(activation(up(x) + bias, 1)) + bias`.
    Plain,
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertsSpec {
    /// Experts.
    pub count: usize,
    /// Width between, of each.
    pub ffn: usize,
    /// What gates.
    pub activation: Activation,
    /// How they are chosen.
    pub routing: Routing,
    /// Whether choosing has a bias of its own.
    pub selection_bias: bool,
    /// Whether the router and the experts have biases.
    pub biases: bool,
    /// Width of the block that all rows go through besides.
    pub shared_ffn: Option<usize>,
    /// Whether each row says how much that block counts.
    pub shared_gate: bool,
}

/// What one layer's cache holds for a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Heads.
    pub n_kv_heads: usize,
    /// Width of a key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
}

impl Mixer {
    /// What it caches; none where it keeps a state instead.
    #[must_use]
    pub fn kv_shape(&self) -> Option<KvShape> {
        match *self {
            Mixer::Attention(AttentionSpec { n_kv_heads, head_dim_k, head_dim_v, .. }) => {
                Some(KvShape { n_kv_heads, head_dim_k, head_dim_v })
            }
            Mixer::DeltaNet(_) => None,
            Mixer::Latent(LatentSpec { kv_rank, turned_dim, .. }) => Some(KvShape {
                n_kv_heads: 1,
                head_dim_k: turned_dim + kv_rank,
                head_dim_v: kv_rank,
            }),
        }
    }

    /// Query heads that look at a cache.
    #[must_use]
    pub fn n_heads(&self) -> usize {
        match self {
            Mixer::Attention(attention) => attention.n_heads,
            Mixer::DeltaNet(_) => 0,
            Mixer::Latent(latent) => latent.n_heads,
        }
    }

    /// Positions a row sees at most.
    #[must_use]
    pub fn window(&self) -> Option<usize> {
        match self {
            Mixer::Attention(attention) => attention.window,
            Mixer::DeltaNet(_) | Mixer::Latent(_) => None,
        }
    }

    /// Whether a row sees those after its own.
    #[must_use]
    pub fn is_bidirectional(&self) -> bool {
        match self {
            Mixer::Attention(attention) => attention.bidirectional,
            Mixer::DeltaNet(_) | Mixer::Latent(_) => false,
        }
    }

    /// What it keeps of a sequence, whatever its length.
    #[must_use]
    pub fn state(&self) -> Option<&DeltaNetSpec> {
        match self {
            Mixer::Attention(_) | Mixer::Latent(_) => None,
            Mixer::DeltaNet(net) => Some(net),
        }
    }
}

impl LayerSpec {
    /// Whether it sees only the last positions.
    pub(crate) fn is_windowed(&self) -> bool {
        self.mixer.window().is_some()
    }
}

impl ModelSpec {
    /// What every layer that caches anything caches for a position, and how many there are.
    #[must_use]
    pub fn kv_shape(&self) -> (Option<KvShape>, usize) {
        let mut shapes = self.layers.iter().filter_map(|layer| layer.mixer.kv_shape());
        let first = shapes.next();
        (first, first.map_or(0, |_| 1 + shapes.count()))
    }

    /// Whether texts are computed in one step each, because rows see those after them.
    #[must_use]
    pub fn is_bidirectional(&self) -> bool {
        self.layers.iter().any(|layer| layer.mixer.is_bidirectional())
    }

    /// Whether logits are made by a matrix of their own.
    pub(crate) fn has_output_matrix(&self) -> bool {
        !self.tied && self.pooling.is_none()
    }

    /// Whether the last layer's rows have a norm of their own.
    pub(crate) fn has_output_norm(&self) -> bool {
        self.layers.last().is_none_or(|layer| layer.norms != Norms::Sum)
    }

    /// What every layer that keeps a state keeps, and how many there are.
    #[must_use]
    pub fn state(&self) -> (Option<&DeltaNetSpec>, usize) {
        let mut states = self.layers.iter().filter_map(|layer| layer.mixer.state());
        let first = states.next();
        (first, first.map_or(0, |_| 1 + states.count()))
    }
}

/// Reads and checks what the file is: metadata, and the name and shape of every tensor.
///
/// # Errors
/// [`Error`] names the key, tensor or feature that stands in the way.
pub fn spec(file: &GgufFile) -> Result<ModelSpec> {
    let architecture = arch::find(file)?;
    let spec = architecture.spec(file)?;
    let (cached, kept) = (spec.kv_shape().0, spec.state().0);
    let is_odd = |layer: &LayerSpec| {
        layer.mixer.kv_shape().is_some_and(|shape| Some(shape) != cached)
            || layer.mixer.state().is_some_and(|state| Some(state) != kept)
    };
    if spec.layers.iter().any(is_odd) || cached.is_none() {
        let feature = "layers whose caches have different shapes, or none".to_owned();
        return Err(Error::UnsupportedFeature { architecture: spec.architecture, feature });
    }
    let both_ways = |layer: &LayerSpec| layer.mixer.is_bidirectional();
    let windowed = |layer: &LayerSpec| both_ways(layer) && layer.mixer.window().is_some();
    if spec.layers.iter().any(windowed)
        || (spec.is_bidirectional() && !spec.layers.iter().all(both_ways))
    {
        let feature = "windows, or causal layers, beside attention both ways".to_owned();
        return Err(Error::UnsupportedFeature { architecture: spec.architecture, feature });
    }
    if spec.is_bidirectional() && spec.pooling.is_none() {
        let feature = "attention both ways without pooling (pooling_type)".to_owned();
        return Err(Error::UnsupportedFeature { architecture: spec.architecture, feature });
    }
    inventory::check(file, architecture, &spec)?;
    check_vocabulary(file, spec.vocab)?;
    Ok(spec)
}

/// Refuses a tokenizer that makes tokens the model has no embedding for.
fn check_vocabulary(file: &GgufFile, vocab: usize) -> Result<()> {
    let key = "tokenizer.ggml.tokens";
    match file.metadata().strings(key)? {
        Some(tokens) if tokens.len() > vocab => Err(Error::Metadata {
            key: key.to_owned(),
            found: format!("{} tokens", tokens.len()),
            wanted: format!("at most the {vocab} rows of the embedding table"),
        }),
        _ => Ok(()),
    }
}
