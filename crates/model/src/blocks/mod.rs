//! The kinds of block that layers are made of: weights and forward pass of each in its own file.

mod attention;
mod dense;

use attention::Attention;
use dense::Dense;
use tensor::{Backend, Batch, KvCache};

use crate::Result;
use crate::spec::{FeedForward, Mixer, ModelSpec};
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Where a block runs.
pub(crate) struct Context<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) spec: &'a ModelSpec,
    pub(crate) batch: &'a Batch<'a>,
    pub(crate) layer: usize,
}

/// Weights of a layer's mixer.
pub(crate) enum MixerWeights {
    Attention(Attention),
}

impl MixerWeights {
    pub(crate) fn load(loader: &mut Loader<'_>, kind: Mixer, layer: usize) -> Result<MixerWeights> {
        match kind {
            Mixer::Attention { input_biases, output_bias } => {
                let biases = (input_biases, output_bias);
                Attention::load(loader, biases, layer).map(MixerWeights::Attention)
            }
        }
    }

    /// Reads `work.normed`, writes `work.delta`.
    pub(crate) fn forward(
        &self,
        context: &Context<'_>,
        work: &mut Workspace,
        kv: &mut KvCache,
    ) -> Result<()> {
        match self {
            MixerWeights::Attention(weights) => weights.forward(context, work, kv),
        }
    }
}

/// Weights of a layer's feed-forward block.
pub(crate) enum FeedForwardWeights {
    Dense(Dense),
}

impl FeedForwardWeights {
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        kind: FeedForward,
        layer: usize,
    ) -> Result<FeedForwardWeights> {
        match kind {
            FeedForward::Dense { .. } => Dense::load(loader, layer).map(FeedForwardWeights::Dense),
        }
    }

    /// Reads `work.normed`, writes `work.delta`.
    pub(crate) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        match self {
            FeedForwardWeights::Dense(weights) => weights.forward(context, work),
        }
    }
}
