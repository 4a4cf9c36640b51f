//! Weights of a model in one quantisation: bytes that it takes, and bytes that a token reads.

use crate::facts::{ModelFacts, Role};
use crate::types::TensorType;

/// Counts and bytes of a model's weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Bytes of every tensor.
    pub total_bytes: u64,
    /// Bytes that every token reads: all but routed experts, tables that are looked up, and layers
    /// for further tokens.
    pub dense_bytes: u64,
    /// Bytes of all routed experts; a token reads its share of them.
    pub expert_bytes: u64,
    /// How many weights `dense_bytes` holds.
    pub dense_count: u64,
    /// How many weights `expert_bytes` holds.
    pub expert_count: u64,
    /// Of `dense_count`, those of the head, which only the last row of a prompt passes.
    pub head_count: u64,
    by_type: [TypeBytes; TensorType::COUNT],
}

/// What a type holds of the bytes that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeBytes {
    /// Of `dense_bytes`, but for the head.
    pub(crate) dense: u64,
    /// Of `expert_bytes`.
    pub(crate) experts: u64,
    /// Of the head.
    pub(crate) head: u64,
}

/// How a tensor is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    NotPassed,
    Routed,
    Head,
    Dense,
}

impl Weights {
    /// Of a model whose every tensor takes `bytes(index in facts.tensors)`.
    #[must_use]
    pub fn new(facts: &ModelFacts, bytes: impl Fn(usize) -> u64) -> Weights {
        let mut weights = Weights::default();
        for (index, found) in uses(facts).enumerate() {
            let (bytes, count) = (bytes(index), facts.tensors[index].elements());
            weights.total_bytes += bytes;
            match found {
                Use::NotPassed => {}
                Use::Routed => {
                    weights.expert_bytes += bytes;
                    weights.expert_count += count;
                }
                Use::Head | Use::Dense => {
                    weights.dense_bytes += bytes;
                    weights.dense_count += count;
                }
            }
            if found == Use::Head {
                weights.head_count += count;
            }
        }
        weights
    }

    /// With the type of each tensor, as far as it is known: kernels are as fast as their type lets
    /// them.
    #[must_use]
    pub fn typed(
        mut self,
        facts: &ModelFacts,
        tensor_type: impl Fn(usize) -> Option<TensorType>,
    ) -> Weights {
        for (index, found) in uses(facts).enumerate() {
            let Some(known) = tensor_type(index) else { continue };
            let tensor = &facts.tensors[index];
            let bytes = known.bytes(tensor.columns, tensor.rows);
            let sums = &mut self.by_type[known as usize];
            match found {
                Use::NotPassed => {}
                Use::Routed => sums.experts += bytes,
                Use::Head => sums.head += bytes,
                Use::Dense => sums.dense += bytes,
            }
        }
        self
    }

    /// The types that were told, with what they hold.
    pub(crate) fn types(&self) -> impl Iterator<Item = (TensorType, TypeBytes)> {
        let all = TensorType::all().map(|id| (id, self.by_type[id as usize]));
        all.filter(|(_, sums)| *sums != TypeBytes::default())
    }

    /// The same with adapters beside the model, which every token passes. Their bytes are told
    /// apart from the model's.
    #[must_use]
    pub fn passing(&self, bytes: u64, count: u64) -> Weights {
        Weights {
            dense_bytes: self.dense_bytes.saturating_add(bytes),
            dense_count: self.dense_count.saturating_add(count),
            ..*self
        }
    }

    /// Bytes that one token reads.
    #[must_use]
    pub fn read_bytes(&self, facts: &ModelFacts) -> u64 {
        self.dense_bytes + routed(self.expert_bytes, facts)
    }

    /// Weights that one token passes.
    #[must_use]
    pub fn active_count(&self, facts: &ModelFacts) -> u64 {
        self.dense_count + routed(self.expert_count, facts)
    }
}

fn uses(facts: &ModelFacts) -> impl Iterator<Item = Use> {
    let tied = !facts.tensors.iter().any(|tensor| tensor.role == Role::Output);
    facts.tensors.iter().map(move |tensor| match tensor.role {
        Role::TokenEmbedding if tied => Use::Head,
        Role::TokenEmbedding | Role::PerLayerEmbedding | Role::Apart => Use::NotPassed,
        Role::Output => Use::Head,
        role if role.is_routed() => Use::Routed,
        _ => Use::Dense,
    })
}

/// The share of all experts that one token is routed to.
fn routed(all: u64, facts: &ModelFacts) -> u64 {
    facts.experts.map_or(all, |experts| all / experts.total.max(1) * experts.used)
}
