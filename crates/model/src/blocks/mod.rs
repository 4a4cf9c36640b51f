//! The kinds of block that layers are made of: weights and forward pass of each in its own file.

mod attention;
mod delta_net;
mod dense;
mod experts;
mod latent_attention;

use attention::Attention;
pub(crate) use attention::AttentionWork;
pub(crate) use delta_net::DeltaWork;
use delta_net::GatedDeltaNet;
use dense::Dense;
use experts::ExpertsBlock;
use latent_attention::LatentAttention;
pub(crate) use latent_attention::LatentWork;
use tensor::{Backend, Batch, KvCache, Rope, StateCache};

use crate::Result;
use crate::adapters::Adapting;
use crate::spec::{FeedForward, Mixer, ModelSpec};
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Where a block runs.
pub(crate) struct Context<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) spec: &'a ModelSpec,
    /// Those of the loaded context.
    pub(crate) ropes: &'a [Rope],
    pub(crate) batch: &'a Batch<'a>,
    pub(crate) adapting: Adapting<'a>,
}

/// What layers keep of sequences, and which of it is the layer's.
pub(crate) struct Kept<'a> {
    pub(crate) kv: &'a mut KvCache,
    /// Of models whose layers keep one.
    pub(crate) states: Option<&'a mut StateCache>,
    /// Among the layers of its kind.
    pub(crate) layer: usize,
}

/// Weights of a layer's mixer.
pub(crate) enum MixerWeights {
    Attention(Attention),
    DeltaNet(GatedDeltaNet),
    Latent(LatentAttention),
}

impl MixerWeights {
    pub(crate) fn load(loader: &mut Loader<'_>, kind: Mixer, layer: usize) -> Result<MixerWeights> {
        match kind {
            Mixer::Attention(spec) => {
                Attention::load(loader, spec, layer).map(MixerWeights::Attention)
            }
            Mixer::DeltaNet(spec) => {
                GatedDeltaNet::load(loader, spec, layer).map(MixerWeights::DeltaNet)
            }
            Mixer::Latent(spec) => {
                LatentAttention::load(loader, spec, layer).map(MixerWeights::Latent)
            }
        }
    }

    /// Reads `work.normed`, writes `work.delta`.
    pub(crate) fn forward(
        &self,
        context: &Context<'_>,
        work: &mut Workspace,
        kept: Kept<'_>,
    ) -> Result<()> {
        match self {
            MixerWeights::Attention(weights) => weights.forward(context, work, kept),
            MixerWeights::DeltaNet(weights) => weights.forward(context, work, kept),
            MixerWeights::Latent(weights) => weights.forward(context, work, kept),
        }
    }
}

/// Weights of a layer's feed-forward block.
#[expect(clippy::large_enum_variant, reason = "one for each layer, and none is ever moved")]
pub(crate) enum FeedForwardWeights {
    Dense(Dense),
    Experts(ExpertsBlock),
}

impl FeedForwardWeights {
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        kind: FeedForward,
        layer: usize,
    ) -> Result<FeedForwardWeights> {
        match kind {
            FeedForward::Dense(spec) => {
                Dense::load(loader, spec, layer).map(FeedForwardWeights::Dense)
            }
            FeedForward::Experts(spec) => {
                ExpertsBlock::load(loader, spec, layer).map(FeedForwardWeights::Experts)
            }
        }
    }

    /// Reads `work.normed`, writes `work.delta`.
    pub(crate) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        match self {
            FeedForwardWeights::Dense(weights) => weights.forward(context, work),
            FeedForwardWeights::Experts(weights) => weights.forward(context, work),
        }
    }
}
