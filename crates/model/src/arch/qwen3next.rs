//! Qwen 3 Next and 3.5: three layers of gated delta nets, then one of gated attention; dense, or
//! with experts and a shared block that each row weighs.

use gguf::GgufFile;
use tensor::{Activation, HeadOrder, RopePairing};

use super::base::Base;
use super::{Architecture, Role, default_name};
use crate::limits::{CONV_KERNEL_MAX, HEAD_DIM_MAX, HEADS_MAX, LAYERS_MAX, WIDTH_MAX};
use crate::spec::{
    AttentionSpec, DeltaNetSpec, ExpertsSpec, FeedForward, LayerSpec, Mixer, Norms, QueryKeyNorms,
};
use crate::{ModelSpec, Result};

/// Every so many layers one is attention, where the key is absent.
const PERIOD: usize = 4;

pub(super) struct Qwen3Next;

impl Architecture for Qwen3Next {
    fn names(&self) -> &'static [&'static str] {
        &["qwen35", "qwen35moe", "qwen3next"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let query_key_norms = QueryKeyNorms::EachHead;
        let attention = AttentionSpec { query_key_norms, gated: true, ..base.attention()? };
        let net = delta_net(&base)?;
        let feed_forward = match base.expert_count()? {
            None => base.dense(Activation::Silu)?,
            Some(count) => {
                let key = "expert_shared_feed_forward_length";
                FeedForward::Experts(ExpertsSpec {
                    shared_ffn: Some(base.keys.count_required(key, WIDTH_MAX)?),
                    shared_gate: true,
                    ..base.experts(count)?
                })
            }
        };
        let period = base.keys.count("full_attention_interval", LAYERS_MAX)?.unwrap_or(PERIOD);
        let all_layers = base.n_layers + base.unused_layers;
        let recurrent = base.keys.truths("attention.recurrent_layers", all_layers)?;
        let layer = |layer: usize| {
            let usual = (layer + 1).is_multiple_of(period);
            let attends = recurrent.map_or(usual, |recurrent| !recurrent[layer]);
            let mixer = if attends { Mixer::Attention(attention) } else { Mixer::DeltaNet(net) };
            LayerSpec { mixer, feed_forward, norms: Norms::Before }
        };
        let layers = (0..base.n_layers).map(layer).collect();
        let rope = base.rope(RopePairing::Halves, attention.head_dim_k)?;
        base.model(vec![rope], layers)
    }

    fn tensor_name(&self, role: Role, layer: usize) -> String {
        match role {
            // Its file calls what stands before the experts by what it stands after.
            Role::FeedForwardNorm => default_name(Role::AttentionPostNorm, layer),
            role => default_name(role, layer),
        }
    }
}

fn delta_net(base: &Base<'_>) -> Result<DeltaNetSpec> {
    let keys = &base.keys;
    let n_k_heads = keys.count_required("ssm.group_count", HEADS_MAX)?;
    let n_v_heads = keys.count_required("ssm.time_step_rank", HEADS_MAX)?;
    keys.divides(("ssm.group_count", n_k_heads), ("ssm.time_step_rank", n_v_heads))?;
    // The files of 3.5 have value heads in another order, and intakes and steps apart.
    let is_next = keys.architecture() == "qwen3next";
    let width = keys.count_required("ssm.inner_size", WIDTH_MAX)?;
    keys.divides(("ssm.time_step_rank", n_v_heads), ("ssm.inner_size", width))?;
    Ok(DeltaNetSpec {
        n_k_heads,
        n_v_heads,
        head_dim_k: keys.count_required("ssm.state_size", HEAD_DIM_MAX)?,
        head_dim_v: width / n_v_heads,
        kernel: keys.count_required("ssm.conv_kernel", CONV_KERNEL_MAX)?,
        order: if is_next { HeadOrder::Grouped } else { HeadOrder::Tiled },
        rates_in_turns: is_next,
    })
}
