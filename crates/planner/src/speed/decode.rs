//! Writing: each step reads weights and caches once, and each layer costs a while by itself.

use super::coefficients::{Batch, DecodeCoefficients};
use super::demand::Demand;
use super::{Load, Site};
use crate::machine::Class;

/// Bytes of a GB, operations of a GFLOP.
const GIGA: f64 = 1e9;
/// Operations of a TFLOP.
const TERA: f64 = 1e12;
/// Kernels for latent attention read it as keys, then as values.
const LATENT_READS: f64 = 2.0;

/// Seconds that bandwidth takes for each kind of bytes, before any coefficient; and layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DecodeTerms {
    /// For the weights.
    pub(crate) weights_s: f64,
    /// For one more bit of each weight.
    pub(crate) bit_s: f64,
    /// For keys, values and states.
    pub(crate) kv_s: f64,
    /// Layers.
    pub(crate) layers: f64,
}

/// What one token takes of one conversation.
pub(crate) fn decode_terms(demand: &Demand, bandwidth_gbs: f64, context: u64) -> DecodeTerms {
    let bytes_s = bandwidth_gbs * GIGA;
    DecodeTerms {
        weights_s: (demand.dense_bytes + demand.routed_bytes()) / bytes_s,
        bit_s: demand.active_weights() / 8.0 / bytes_s,
        kv_s: demand.kv_bytes(context, LATENT_READS) / bytes_s,
        layers: demand.layers,
    }
}

/// Seconds of a step that no kernel can go below: weights and caches are read once.
pub(crate) fn bound_s(demand: &Demand, load: Load, batch: Batch, bandwidth_gbs: f64) -> f64 {
    let touched = demand.touched(load.users, batch.touched_power);
    let kv = demand.kv_bytes(load.context, 1.0) * f64::from(load.users);
    (demand.dense_bytes + demand.routed_bytes() * touched + kv) / (bandwidth_gbs * GIGA)
}

/// Seconds of a step with a token of each conversation, on a machine with so much of the usual
/// time; never below the bound.
pub(crate) fn step_s(
    coefficients: &DecodeCoefficients,
    site: &Site,
    demand: &Demand,
    load: Load,
    factor: f64,
) -> f64 {
    let alone = alone_s(coefficients, site, demand, load.context);
    let early = if site.is_early_apple { coefficients.early_apple } else { 1.0 };
    let usual = if load.users > 1 {
        // Nobody waits longer than if all went one after another.
        let in_turn = alone * f64::from(load.users);
        together_s(coefficients, site, demand, load).map_or(in_turn, |s| s.min(in_turn))
    } else {
        alone
    };
    let bound_s = bound_s(demand, load, coefficients.batch, site.bandwidth_gbs);
    (usual * early * factor).max(bound_s)
}

fn alone_s(coefficients: &DecodeCoefficients, site: &Site, demand: &Demand, context: u64) -> f64 {
    let terms = decode_terms(demand, site.bandwidth_gbs, context);
    let overhead_s = terms.bit_s * coefficients.overhead_bits;
    coefficients.read.of(site.class) * (terms.weights_s + overhead_s + terms.kv_s)
        + layers_s(coefficients, site.class, demand)
}

/// Several conversations: experts that any of them touches, every cache, and arithmetic that one
/// alone would hide behind reading. None where the machine's arithmetic is not known.
fn together_s(
    coefficients: &DecodeCoefficients,
    site: &Site,
    demand: &Demand,
    load: Load,
) -> Option<f64> {
    let (batch, users) = (coefficients.batch, f64::from(load.users));
    let grouping = if demand.routed_share.is_some() { batch.grouping } else { 1.0 };
    let routed = demand.touched(load.users, batch.touched_power) * grouping;
    let weights = demand.dense_weights + demand.routed_weights() * routed;
    let bytes = demand.dense_bytes
        + demand.routed_bytes() * routed
        + weights / 8.0 * coefficients.overhead_bits
        + demand.kv_bytes(load.context, LATENT_READS) * users;
    let flops = 2.0 * demand.active_weights() * (users - 1.0) * batch.compute;
    Some(
        coefficients.read.of(site.class) * bytes / (site.bandwidth_gbs * GIGA)
            + layers_s(coefficients, site.class, demand)
            + flops / (site.fp16_tflops? * TERA),
    )
}

fn layers_s(coefficients: &DecodeCoefficients, class: Class, demand: &Demand) -> f64 {
    let routing = if demand.routed_share.is_some() { coefficients.expert_layers } else { 1.0 };
    demand.layers * coefficients.layer.of(class) * routing
}
