//! What one step of a model asks of a machine, whatever machine it is: bytes to read, weights to
//! pass, products of attention.

use std::collections::BTreeMap;

use crate::facts::{Mixer, ModelFacts, Role};
use crate::memory::KvType;
use crate::types::TensorType;
use crate::weights::{TypeBytes, Weights};

/// Values of a latent position that hold its place: they are in the keys and not in the values.
const LATENT_ROPE: u64 = 64;

/// What one conversation's step needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Bytes that every token reads.
    pub dense_bytes: f64,
    /// Bytes of all routed experts.
    pub expert_bytes: f64,
    /// Weights that every token passes, the head included.
    pub dense_weights: f64,
    /// Weights of all routed experts.
    pub expert_weights: f64,
    /// Weights of the head, which a prompt passes with its last token only.
    pub head_weights: f64,
    /// The share of all experts that one token is routed to; none in a dense model.
    pub routed_share: Option<f64>,
    /// Layers.
    pub layers: f64,
    /// Values of one position between layers.
    pub width: f64,
    /// Bytes of keys and values of each position that layers without a window keep.
    pub kv_position_bytes: f64,
    /// Whether these are latent vectors, which kernels read twice: as keys and as values.
    pub is_latent: bool,
    /// Operations of attention for each position before, in layers without a window.
    pub position_flops: f64,
    /// Layers that see the last positions only.
    pub windows: Vec<Window>,
    /// Bytes of the states of recurrent layers, which a step reads and writes.
    pub state_bytes: f64,
    /// What types hold the bytes, where a file or a recipe tells.
    pub types: Vec<TypeDemand>,
}

/// Bytes of one type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypeDemand {
    /// The type.
    pub tensor_type: TensorType,
    /// That every token reads, but for the head.
    pub dense_bytes: f64,
    /// Of all routed experts.
    pub expert_bytes: f64,
    /// Of the head.
    pub head_bytes: f64,
}

/// Layers that see the last positions only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Positions.
    pub length: u64,
    /// Bytes of keys and values of each, in all of these layers.
    pub position_bytes: f64,
    /// Operations of attention for each, in all of these layers.
    pub position_flops: f64,
}

impl Demand {
    /// Of a model whose weights take so many bytes, with keys and values of a type.
    #[must_use]
    pub fn new(facts: &ModelFacts, weights: &Weights, kv: KvType) -> Demand {
        let attention = Attention::of(facts, kv);
        Demand {
            dense_bytes: weights.dense_bytes as f64,
            expert_bytes: weights.expert_bytes as f64,
            dense_weights: weights.dense_count as f64,
            expert_weights: weights.expert_count as f64,
            head_weights: weights.head_count as f64,
            routed_share: facts
                .experts
                .map(|experts| experts.used as f64 / experts.total.max(1) as f64),
            layers: facts.layers as f64,
            width: facts.width as f64,
            kv_position_bytes: facts.kv_bytes_per_token(kv) as f64,
            is_latent: attention.is_latent,
            position_flops: attention.full_flops,
            windows: attention.windows,
            state_bytes: facts.state_bytes() as f64,
            types: types(weights),
        }
    }

    /// Bytes of routed experts that one token reads.
    #[must_use]
    pub fn routed_bytes(&self) -> f64 {
        self.expert_bytes * self.routed_share.unwrap_or(1.0)
    }

    /// Weights of routed experts that one token passes.
    #[must_use]
    pub fn routed_weights(&self) -> f64 {
        self.expert_weights * self.routed_share.unwrap_or(1.0)
    }

    /// Weights that one token passes.
    #[must_use]
    pub fn active_weights(&self) -> f64 {
        self.dense_weights + self.routed_weights()
    }

    /// Weights that a token of a prompt passes: all but the head.
    #[must_use]
    pub fn prompt_weights(&self) -> f64 {
        self.active_weights() - self.head_weights
    }

    /// Bytes of keys, values and states that a token reads and writes, so many positions deep: a
    /// state goes both ways, and latent vectors are read `latent_reads` times.
    #[must_use]
    pub fn kv_bytes(&self, context: u64, latent_reads: f64) -> f64 {
        let reads = if self.is_latent { latent_reads } else { 1.0 };
        let windows: f64 = self
            .windows
            .iter()
            .map(|window| window.position_bytes * context.min(window.length) as f64)
            .sum();
        self.kv_position_bytes * context as f64 * reads + windows + 2.0 * self.state_bytes
    }

    /// Operations of attention for one token, so many positions deep.
    #[must_use]
    pub fn attention_flops(&self, context: u64) -> f64 {
        let windows: f64 = self
            .windows
            .iter()
            .map(|window| window.position_flops * context.min(window.length) as f64)
            .sum();
        self.position_flops * context as f64 + windows
    }

    /// How many times as many experts so many tokens touch as one does; `power` below 1 says that
    /// tokens of one moment are routed alike.
    #[must_use]
    pub fn touched(&self, users: u32, power: f64) -> f64 {
        let Some(share) = self.routed_share.filter(|share| *share < 1.0) else { return 1.0 };
        (1.0 - (1.0 - share).powf(f64::from(users).powf(power))) / share
    }
}

fn types(weights: &Weights) -> Vec<TypeDemand> {
    let demand = |(tensor_type, bytes): (TensorType, TypeBytes)| TypeDemand {
        tensor_type,
        dense_bytes: bytes.dense as f64,
        expert_bytes: bytes.experts as f64,
        head_bytes: bytes.head as f64,
    };
    weights.types().map(demand).collect()
}

/// Operations of attention that follow from the shapes of tensors.
struct Attention {
    is_latent: bool,
    /// For each position, in all layers without a window.
    full_flops: f64,
    windows: Vec<Window>,
}

/// One layer with attention.
#[derive(Clone, Copy, Default)]
struct Layer {
    key_rows: u64,
    /// Values of all heads, as the output projection takes them.
    output_columns: u64,
}

impl Attention {
    fn of(facts: &ModelFacts, kv: KvType) -> Attention {
        let full_layers = facts.mixers.iter().any(|group| is_full(group.mixer));
        let has_keys = |role: Role| matches!(role, Role::AttentionK | Role::AttentionQkv);
        if full_layers && !facts.tensors.iter().any(|tensor| has_keys(tensor.role)) {
            return Attention::latent(facts);
        }
        let layers = attention_layers(facts);
        let windows: Vec<Window> = facts
            .mixers
            .iter()
            .filter_map(|group| match group.mixer {
                Mixer::Window { values, length } => Some(Window {
                    length,
                    position_bytes: (group.layers * kv.bytes(values)) as f64,
                    position_flops: window_flops(&layers, values, group.layers),
                }),
                Mixer::Full { .. } | Mixer::Recurrent { .. } | Mixer::Nothing => None,
            })
            .collect();
        let all: f64 = layers.iter().map(|layer| layer.flops()).sum();
        let windowed: f64 = windows.iter().map(|window| window.position_flops).sum();
        Attention { is_latent: false, full_flops: (all - windowed).max(0.0), windows }
    }

    /// Every query head meets the whole latent vector, then what of it is values.
    fn latent(facts: &ModelFacts) -> Attention {
        let flops = |mixer: Mixer| match mixer {
            Mixer::Full { values } => 2 * facts.heads * (2 * values - LATENT_ROPE.min(values)),
            Mixer::Window { .. } | Mixer::Recurrent { .. } | Mixer::Nothing => 0,
        };
        let full: u64 = facts.mixers.iter().map(|group| group.layers * flops(group.mixer)).sum();
        Attention { is_latent: true, full_flops: full as f64, windows: Vec::new() }
    }
}

impl Layer {
    /// For each position: a query meets a key, and a value is added to what comes out; each is a
    /// multiplication and an addition for every value of all heads.
    fn flops(&self) -> f64 {
        4.0 * self.output_columns as f64
    }
}

fn is_full(mixer: Mixer) -> bool {
    matches!(mixer, Mixer::Full { .. })
}

fn attention_layers(facts: &ModelFacts) -> Vec<Layer> {
    let mut layers: BTreeMap<Option<u64>, Layer> = BTreeMap::new();
    for tensor in &facts.tensors {
        match tensor.role {
            Role::AttentionK => layers.entry(tensor.layer).or_default().key_rows += tensor.rows,
            Role::AttentionOutput => {
                layers.entry(tensor.layer).or_default().output_columns += tensor.columns;
            }
            _ => {}
        }
    }
    layers.into_values().filter(|layer| layer.output_columns > 0).collect()
}

/// Of layers with a window: their keys tell which they are, or, where all keys are alike, all
/// layers are.
fn window_flops(layers: &[Layer], values: u64, count: u64) -> f64 {
    let own: Vec<&Layer> = layers.iter().filter(|layer| 2 * layer.key_rows == values).collect();
    let flops = |layers: &[&Layer]| layers.iter().map(|layer| layer.flops()).sum::<f64>();
    if own.is_empty() || own.len() == layers.len() {
        let share = count as f64 / layers.len().max(1) as f64;
        return flops(&layers.iter().collect::<Vec<_>>()) * share.min(1.0);
    }
    flops(&own)
}
