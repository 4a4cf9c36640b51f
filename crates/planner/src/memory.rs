//! Bytes by kind: what a model, so many people and so much context take.
//!
//! Sources: `docs/planner.md`. Weights and caches are exact; working memory and what a runtime
//! takes for itself are upper bounds by formula.

use serde::Serialize;

use crate::facts::{Mixer, ModelFacts};

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats of the range of 32-bit ones.
    Bf16,
    /// 8-bit blocks of 32 with a scale.
    Q8_0,
    /// 4-bit blocks of 32 with a scale.
    Q4_0,
}

/// Every way to keep keys and values: `(type, name, bytes of 32 values)`.
pub const KV_TYPES: &[(KvType, &str, u64)] = &[
    (KvType::F32, "f32", 128),
    (KvType::F16, "f16", 64),
    (KvType::Bf16, "bf16", 64),
    (KvType::Q8_0, "q8_0", 34),
    (KvType::Q4_0, "q4_0", 18),
];

/// Values in a block of a quantised cache.
const KV_BLOCK: u64 = 32;

impl KvType {
    /// By its name in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<KvType> {
        let name = name.to_ascii_lowercase();
        KV_TYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        KV_TYPES.iter().find(|row| row.0 == self).expect("every type has its row").1
    }

    /// Bytes of so many values.
    #[must_use]
    pub fn bytes(self, values: u64) -> u64 {
        let row = KV_TYPES.iter().find(|row| row.0 == self).expect("every type has its row");
        values.saturating_mul(row.2).div_ceil(KV_BLOCK)
    }
}

/// Positions in a page of the cache.
const PAGE_LEN: u64 = 32;

/// Positions before a window that stay all the same, because attention reads whole blocks.
const WINDOW_SLACK: u64 = 63;

/// Rows of one step at most, as the engine prefills.
pub const STEP_ROWS: u64 = 512;

/// Rows of the largest step that so many conversations can ask for: never more than all positions.
#[must_use]
pub fn step_rows(context: u64, users: u64) -> u64 {
    STEP_ROWS.min(context.saturating_mul(users)).max(1)
}

/// Bytes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tensors of the file.
    pub weights_bytes: u64,
    /// Keys and values of all conversations.
    pub kv_bytes: u64,
    /// States of recurrent layers of all conversations.
    pub state_bytes: u64,
    /// Activations and logits of one step.
    pub activation_bytes: u64,
    /// Adapters that change the model.
    pub adapter_bytes: u64,
    /// A projector that lets it see or hear: its weights and what one image takes.
    pub projector_bytes: u64,
    /// The program itself and the driver's context.
    pub runtime_bytes: u64,
    /// Left free for the rest of the machine.
    pub reserve_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
    /// What the machine can give.
    pub available_bytes: u64,
}

impl ModelFacts {
    /// Bytes of keys and values that one more position takes while the windows are not full.
    #[must_use]
    pub fn kv_bytes_per_token(&self, kv: KvType) -> u64 {
        let values = |mixer: Mixer| match mixer {
            Mixer::Full { values } => values,
            Mixer::Window { .. } | Mixer::Recurrent { .. } | Mixer::Nothing => 0,
        };
        let groups = self.mixers.iter();
        sum(groups.map(|group| group.layers.saturating_mul(kv.bytes(values(group.mixer)))))
    }

    /// Bytes of windows that are full.
    #[must_use]
    pub fn window_bytes(&self, kv: KvType) -> u64 {
        self.windows_at(kv, u64::MAX)
    }

    fn windows_at(&self, kv: KvType, context: u64) -> u64 {
        let bytes = |mixer: Mixer| match mixer {
            Mixer::Window { values, length } => {
                kv.bytes(values).saturating_mul(length.min(context))
            }
            Mixer::Full { .. } | Mixer::Recurrent { .. } | Mixer::Nothing => 0,
        };
        sum(self.mixers.iter().map(|group| group.layers.saturating_mul(bytes(group.mixer))))
    }

    /// Keys and values of one conversation with so many positions.
    #[must_use]
    pub fn kv_bytes(&self, kv: KvType, context: u64) -> u64 {
        let full = self.kv_bytes_per_token(kv).saturating_mul(context);
        full.saturating_add(self.windows_at(kv, context))
    }

    /// Keys and values that are reserved for so many conversations at once. Layers with windows
    /// have their own pages: those that each conversation's window can touch, and those that a step
    /// fills; never more than all positions take.
    #[must_use]
    pub fn kv_reserved_bytes(&self, kv: KvType, context: u64, users: u64) -> u64 {
        let windows = self.mixers.iter().filter_map(|group| match group.mixer {
            Mixer::Window { values, length } => Some((group.layers, values, length)),
            Mixer::Full { .. } | Mixer::Recurrent { .. } | Mixer::Nothing => None,
        });
        let longest = windows.clone().map(|(_, _, length)| length).max().unwrap_or(0);
        let reach = longest.saturating_add(WINDOW_SLACK).saturating_sub(1);
        let pages = users.saturating_mul(reach.div_ceil(PAGE_LEN) + 2) + STEP_ROWS / PAGE_LEN;
        let all = users.saturating_mul(context);
        let kept = pages.saturating_mul(PAGE_LEN).min(all);
        let of_windows = windows.map(|(layers, values, _)| {
            let position = layers.saturating_mul(kv.bytes(values));
            position.saturating_mul(kept)
        });
        let full = self.kv_bytes_per_token(kv).saturating_mul(all);
        full.saturating_add(sum(of_windows))
    }

    /// States of one conversation.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let bytes = |mixer: Mixer| match mixer {
            Mixer::Recurrent { state_bytes } => state_bytes,
            Mixer::Full { .. } | Mixer::Window { .. } | Mixer::Nothing => 0,
        };
        sum(self.mixers.iter().map(|group| group.layers.saturating_mul(bytes(group.mixer))))
    }

    /// Activations and logits of a step of so many rows, of which so many have logits: the residual
    /// stream, its norm, queries and output of attention, the feed-forward, all in f32.
    #[must_use]
    pub fn activation_bytes(&self, rows: u64, logit_rows: u64) -> u64 {
        let widths = self.width.saturating_mul(6);
        let row = widths.saturating_add(self.feed_forward.saturating_mul(2));
        let values = sum([rows.saturating_mul(row), logit_rows.saturating_mul(self.vocabulary)]);
        values.saturating_mul(4)
    }
}

/// Headers may say anything: a sum that no machine could hold is as good as any other such sum.
pub(crate) fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{STEP_ROWS, step_rows};

    #[test]
    fn a_step_is_never_longer_than_all_positions() {
        for (context, users, rows) in
            [(1, 1, 1), (256, 1, 256), (256, 3, STEP_ROWS), (8192, 1, STEP_ROWS), (0, 1, 1)]
        {
            assert_eq!(step_rows(context, users), rows, "{context} for {users}");
        }
    }
}
