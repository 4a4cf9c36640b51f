//! The activations of a step, allocated once at load for the largest step and shared by all
//! layers.

use std::collections::{BTreeMap, BTreeSet};

use tensor::{Backend, Tensor};

use crate::adapters::AdapterWork;
use crate::blocks::{AttentionWork, DeltaWork, LatentWork};
use crate::limits::LOGIT_ROWS_MAX;
use crate::spec::{FeedForward, Mixer};
use crate::{ModelSpec, Result};

/// One step's activations; `rows` is at most the `rows_max` of the load options.
pub(crate) struct Workspace {
    /// Residual stream, `[rows, d]`.
    pub(crate) residual: Tensor,
    /// What a block reads, `[rows, d]`.
    pub(crate) normed: Tensor,
    /// What a block gives, `[rows, d]`.
    pub(crate) delta: Tensor,
    /// What blocks of a kind keep on the way, where the model has any of it.
    pub(crate) attention: Option<AttentionWork>,
    pub(crate) delta_net: Option<DeltaWork>,
    pub(crate) latent: Option<LatentWork>,
    /// `[rows, ffn]` by `ffn`.
    pub(crate) gated: BTreeMap<usize, Tensor>,
    /// `[rows, experts]` by experts, and `[rows, 1]` where the shared block is weighed.
    pub(crate) scores: BTreeMap<usize, Tensor>,
    /// What the shared block gives, `[rows, d]`, where there is one.
    pub(crate) shared: Option<Tensor>,
    /// The residuals whose logits are wanted, `[logit rows, d]`.
    pub(crate) output: Tensor,
    /// Those, normed, `[logit rows, d]`.
    pub(crate) output_normed: Tensor,
    /// `[logit rows, vocab]`; none in models for retrieval.
    pub(crate) logits: Option<Tensor>,
    /// What adapters keep on the way, once there are any.
    pub(crate) adapters: AdapterWork,
    /// Of the head that makes scores, between its layers `[1, d]` and after them `[1, labels]`.
    pub(crate) scored: Option<[Tensor; 2]>,
}

impl Workspace {
    pub(crate) fn new(
        spec: &ModelSpec,
        rows_max: usize,
        backend: &dyn Backend,
    ) -> Result<Workspace> {
        build(spec, rows_max, &mut |rows, cols| Ok(backend.alloc(rows, cols)?))
    }

    /// What [`Workspace::new`] allocates.
    pub(crate) fn bytes(spec: &ModelSpec, rows_max: usize) -> u64 {
        bytes_of(|alloc| build(spec, rows_max, alloc))
    }
}

/// What a build allocates by `alloc(rows, cols)`, counted without allocating it.
pub(crate) fn bytes_of<T>(
    build: impl FnOnce(&mut dyn FnMut(usize, usize) -> Result<Tensor>) -> Result<T>,
) -> u64 {
    let mut values = 0;
    let counted = build(&mut |rows, cols| {
        values += rows as u64 * cols as u64;
        Ok(Tensor::host_zeros(0, cols))
    });
    assert!(counted.is_ok(), "nothing is allocated");
    values * size_of::<f32>() as u64
}

/// Allocates each part by `alloc(rows, cols)`.
fn build(
    spec: &ModelSpec,
    rows: usize,
    alloc: &mut dyn FnMut(usize, usize) -> Result<Tensor>,
) -> Result<Workspace> {
    let (mut attention, mut delta_net, mut latent) = (None, None, None);
    let (mut ffns, mut counts) = (BTreeSet::new(), BTreeSet::new());
    let mut shares = false;
    for layer in &spec.layers {
        match &layer.mixer {
            // The layers of a model have one shape, see `spec`.
            Mixer::Attention(of) if attention.is_none() => {
                attention = Some(AttentionWork::new(of, rows, alloc)?);
            }
            Mixer::DeltaNet(of) if delta_net.is_none() => {
                delta_net = Some(DeltaWork::new(of, rows, alloc)?);
            }
            Mixer::Latent(of) if latent.is_none() => {
                latent = Some(LatentWork::new(of, rows, alloc)?);
            }
            Mixer::Attention(_) | Mixer::DeltaNet(_) | Mixer::Latent(_) => {}
        }
        match &layer.feed_forward {
            FeedForward::Dense(dense) => ffns.extend([dense.ffn]),
            FeedForward::Experts(experts) => {
                counts.insert(experts.count);
                counts.extend(experts.shared_gate.then_some(1));
                ffns.extend(experts.shared_ffn);
                shares |= experts.shared_ffn.is_some();
            }
        }
    }
    let mut by_width = |widths: BTreeSet<usize>| -> Result<BTreeMap<usize, Tensor>> {
        widths.into_iter().map(|cols| Ok((cols, alloc(rows, cols)?))).collect()
    };
    let (gated, scores) = (by_width(ffns)?, by_width(counts)?);
    let shared = if shares { Some(alloc(rows, spec.d)?) } else { None };
    let logit_rows = rows.min(LOGIT_ROWS_MAX);
    let logits = match spec.pooling {
        None => Some(alloc(logit_rows, spec.vocab)?),
        Some(_) => None,
    };
    let scored = match &spec.classifier {
        Some(classifier) => Some([alloc(1, spec.d)?, alloc(1, classifier.labels)?]),
        None => None,
    };
    Ok(Workspace {
        residual: alloc(rows, spec.d)?,
        normed: alloc(rows, spec.d)?,
        delta: alloc(rows, spec.d)?,
        attention,
        delta_net,
        latent,
        gated,
        scores,
        shared,
        output: alloc(logit_rows, spec.d)?,
        output_normed: alloc(logit_rows, spec.d)?,
        logits,
        adapters: AdapterWork::default(),
        scored,
    })
}
