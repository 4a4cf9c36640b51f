//! DeepSeek V2, V3 and R1: attention over a latent, and experts of which one or two are shared.
//! Sources: DeepSeek-AI 2024, arXiv 2405.04434 (V2) and 2412.19437 (V3), section 2.1.

use gguf::GgufFile;
use tensor::{Activation, Gating, GroupWorth, Groups, RopePairing};

use super::base::Base;
use super::{Architecture, rope};
use crate::limits::{EXPERTS_MAX, HEAD_DIM_MAX, WIDTH_MAX};
use crate::spec::{ExpertsSpec, FeedForward, LatentSpec, LayerSpec, Mixer, Norms};
use crate::{ModelSpec, Result};

/// Where this is, YaRN's growth is in the scores and not in what turns.
const SCORES_GROW: &str = "rope.scaling.yarn_log_multiplier";

pub(super) struct DeepSeek2;

impl Architecture for DeepSeek2 {
    fn names(&self) -> &'static [&'static str] {
        &["deepseek2"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let latent = latent(&base)?;
        let dense = base.dense(Activation::Silu)?;
        let experts = FeedForward::Experts(experts(&base)?);
        let dense_layers = base.keys.whole("leading_dense_block_count")?.unwrap_or(0);
        let layer = |layer: usize| LayerSpec {
            mixer: Mixer::Latent(latent),
            feed_forward: if (layer as u64) < dense_layers { dense } else { experts },
            norms: Norms::Before,
        };
        let layers = (0..base.n_layers).map(layer).collect();
        // Turned columns come first in the cache.
        let mut rope = base.rope(RopePairing::Interleaved, latent.turned_dim)?;
        rope.head_dim = latent.turned_dim + latent.kv_rank;
        if base.keys.number(SCORES_GROW)?.is_some() {
            rope.magnitude = 1.0;
        }
        base.model(vec![rope], layers)
    }
}

fn latent(base: &Base<'_>) -> Result<LatentSpec> {
    let keys = &base.keys;
    let turned_dim = keys.count_required("rope.dimension_count", HEAD_DIM_MAX)?;
    let head_dim = keys.count_required("attention.key_length_mla", HEAD_DIM_MAX)?;
    if head_dim <= turned_dim {
        let wanted = format!("more than rope.dimension_count, {turned_dim}");
        return Err(keys.wrong("attention.key_length_mla", &head_dim, &wanted));
    }
    // Once for the query and once for the key; the file has a tenth of the weight.
    let is_yarn = keys.text("rope.scaling.type")? == Some("yarn");
    let factor = keys.positive("rope.scaling.factor")?.filter(|_| is_yarn).unwrap_or(1.0);
    let weight = keys.number(SCORES_GROW)?.unwrap_or(0.0) * 10.0;
    let growth = f64::from(rope::growth(factor, weight));
    Ok(LatentSpec {
        n_heads: base.n_heads,
        query_rank: keys.count("attention.q_lora_rank", WIDTH_MAX)?,
        kv_rank: keys.count_required("attention.kv_lora_rank", WIDTH_MAX)?,
        still_dim: head_dim - turned_dim,
        turned_dim,
        head_dim_v: keys.count_required("attention.value_length_mla", HEAD_DIM_MAX)?,
        scale: (growth * growth / (head_dim as f64).sqrt()) as f32,
        rope: 0,
    })
}

fn experts(base: &Base<'_>) -> Result<ExpertsSpec> {
    let keys = &base.keys;
    let count = keys.count_required("expert_count", EXPERTS_MAX)?;
    let experts = base.experts(count)?;
    let gating = match keys.whole("expert_gating_func")? {
        None | Some(1) => Gating::Softmax,
        Some(2) => Gating::Sigmoid,
        Some(other) => {
            let key = keys.key("expert_gating_func");
            return Err(keys.unsupported(format!("another choice of experts ({key} is {other})")));
        }
    };
    let mut routing = experts.routing;
    routing.gating = gating;
    routing.normalised = keys.truth("expert_weights_norm")?.unwrap_or(false);
    routing.scale = keys.positive("expert_weights_scale")?.unwrap_or(1.0);
    let groups = keys.count("expert_group_count", count)?.unwrap_or(1);
    if groups > 1 {
        keys.divides(("expert_group_count", groups), ("expert_count", count))?;
        let used = keys.count_required("expert_group_used_count", groups)?;
        let worth = match gating {
            Gating::Softmax => GroupWorth::Best,
            Gating::Sigmoid => GroupWorth::BestTwo,
        };
        routing.groups = Some(Groups { count: groups, used, worth });
    }
    let shared = keys.count("expert_shared_count", EXPERTS_MAX)?;
    Ok(ExpertsSpec {
        routing,
        selection_bias: gating == Gating::Sigmoid,
        shared_ffn: shared.map(|shared| shared * experts.ffn),
        ..experts
    })
}
