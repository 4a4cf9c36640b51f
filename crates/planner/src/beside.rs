//! What is loaded beside a model: adapters that change what it says, and a projector that lets it
//! see or hear. Both are counted from headers; what a projector computes with is an estimate.

use crate::facts::{ModelFacts, Role};
use crate::memory::sum;
use crate::parts::{Part, layer_of, part_of, role_of};

/// Everything beside one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// In the order they were named; all of them at work at once.
    pub adapters: Vec<Adapter>,
    /// None for a model of text alone.
    pub projector: Option<Projector>,
}

/// A low-rank adapter (LoRA): two thin matrices beside each matrix that it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// As it is called.
    pub name: String,
    /// Bytes of its tensors.
    pub bytes: u64,
    /// Weights that every token passes besides.
    pub count: u64,
}

/// A tensor of an adapter's file.
#[derive(Clone, Copy, Debug)]
pub struct AdapterTensor<'a> {
    /// As the file names it.
    pub name: &'a str,
    /// Dimensions, slowest first.
    pub shape: [u64; 2],
    /// Bytes.
    pub bytes: u64,
}

/// Why an adapter does not go with a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// No tensor has a name of a low-rank adapter.
    #[error("no tensor of it is `...lora_A` or `...lora_a`: it is no LoRA adapter")]
    NoAdapter,
    /// It changes a matrix that the model does not have, or of another shape.
    #[error("{tensor} is for {found}, and {model} has {expected}: it was made for another model")]
    OtherModel {
        /// Its tensor.
        tensor: String,
        /// What the tensor goes with.
        found: String,
        /// The model.
        model: String,
        /// What the model has there.
        expected: String,
    },
    /// A target that no matrix of the model has as its name.
    #[error(
        "{model} has no matrix called {target}: known are q_proj, k_proj, v_proj, o_proj, \
        gate_proj, up_proj, down_proj and the names of GGUF such as attn_q"
    )]
    NoTarget {
        /// As asked for.
        target: String,
        /// The model.
        model: String,
    },
    /// What is asked for is no rank.
    #[error("an adapter of rank {0}: 1 to {RANK_MAX} go")]
    Rank(u64),
}

/// Largest rank that is believed to be meant.
const RANK_MAX: u64 = 4096;
/// A weight of an adapter that is known by its rank alone: 16 bits, as PEFT saves them.
const WEIGHT_BYTES: u64 = 2;

impl Adapter {
    /// From the tensors of a file, which have to go with the model.
    ///
    /// # Errors
    /// When it is no adapter, or one for another model.
    pub fn of_tensors(
        name: &str,
        tensors: &[AdapterTensor<'_>],
        facts: &ModelFacts,
    ) -> Result<Adapter, AdapterError> {
        let halves = tensors.iter().filter_map(|tensor| Some((tensor, half(tensor.name)?)));
        let mut is_one = false;
        for (tensor, (place, half)) in halves {
            is_one = true;
            check(tensor, (place, half), facts)?;
        }
        if !is_one {
            return Err(AdapterError::NoAdapter);
        }
        Ok(Adapter {
            name: name.to_owned(),
            bytes: sum(tensors.iter().map(|tensor| tensor.bytes)),
            count: sum(tensors
                .iter()
                .map(|tensor| tensor.shape[0].saturating_mul(tensor.shape[1]))),
        })
    }

    /// Of a rank, beside the matrices of these names, or beside every matrix that is not routed
    /// where none is named.
    ///
    /// # Errors
    /// When the rank is none, or the model has no such matrix.
    pub fn of_rank(
        rank: u64,
        targets: &[&str],
        facts: &ModelFacts,
    ) -> Result<Adapter, AdapterError> {
        if rank == 0 || rank > RANK_MAX {
            return Err(AdapterError::Rank(rank));
        }
        let mut roles = Vec::new();
        for target in targets {
            let role = role_of(target);
            let has = |role: Role| facts.tensors.iter().any(|tensor| tensor.role == role);
            let missing = || AdapterError::NoTarget {
                target: (*target).to_owned(),
                model: facts.name.clone(),
            };
            roles.push(role.filter(|role| is_adaptable(*role) && has(*role)).ok_or_else(missing)?);
        }
        let is_target = |role: Role| match roles.is_empty() {
            true => is_adaptable(role),
            false => roles.contains(&role),
        };
        let matrices = facts.tensors.iter().filter(|tensor| is_target(tensor.role));
        let count = sum(matrices.map(|tensor| rank.saturating_mul(tensor.columns + tensor.rows)));
        let on = if targets.is_empty() { "every matrix".to_owned() } else { targets.join(", ") };
        let bytes = count.saturating_mul(WEIGHT_BYTES);
        Ok(Adapter { name: format!("rank {rank} on {on}"), bytes, count })
    }
}

/// Matrices that adapters are put beside; experts have one each, which no rank alone counts.
fn is_adaptable(role: Role) -> bool {
    let is_table =
        matches!(role, Role::TokenEmbedding | Role::Output | Role::PerLayerEmbedding | Role::Apart);
    !is_table && role != Role::Small && !role.is_routed()
}

/// The thin matrix that reads, or the one that writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// `[rank, columns]`.
    Reads,
    /// `[rows, rank]`.
    Writes,
}

/// What a tensor of an adapter stands beside: `blk.3.attn_q.weight.lora_a`,
/// `base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight`.
fn half(name: &str) -> Option<(&str, Half)> {
    let marks = [
        (".lora_a", Half::Reads),
        (".lora_A", Half::Reads),
        (".lora_b", Half::Writes),
        (".lora_B", Half::Writes),
    ];
    let found = |(mark, half): (&str, Half)| Some((&name[..name.find(mark)?], half));
    marks.into_iter().find_map(found)
}

fn check(
    tensor: &AdapterTensor<'_>,
    (place, half): (&str, Half),
    facts: &ModelFacts,
) -> Result<(), AdapterError> {
    let place = place.strip_suffix(".weight").unwrap_or(place);
    let layer = layer_of(place);
    // Experts lie together in the facts, so that one of them has no shape there to compare with.
    let role = match part_of(place, u64::MAX, true) {
        Part::Of(role) if is_adaptable(role) && role_of(last_word(place)).is_some() => role,
        Part::Of(_) | Part::FusedExperts | Part::Projector => return Ok(()),
    };
    let mut like = facts.tensors.iter().filter(|known| known.role == role && known.layer == layer);
    let (size, what) = match half {
        Half::Reads => (tensor.shape[1], "columns"),
        Half::Writes => (tensor.shape[0], "rows"),
    };
    let own = |known: &crate::TensorGroup| match half {
        Half::Reads => known.columns,
        Half::Writes => known.rows,
    };
    let expected = match like.next() {
        Some(known) if own(known) == size || like.any(|known| own(known) == size) => return Ok(()),
        Some(known) => format!("{} there", own(known)),
        None => "no such matrix".to_owned(),
    };
    Err(AdapterError::OtherModel {
        tensor: tensor.name.to_owned(),
        found: format!("{size} {what}"),
        model: facts.name.clone(),
        expected,
    })
}

fn last_word(place: &str) -> &str {
    place.rsplit('.').next().unwrap_or(place)
}

/// A file that turns images or sound into what a model reads (GGUF's architecture `clip`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projector {
    /// As it is called.
    pub name: String,
    /// Bytes of its tensors.
    pub weights_bytes: u64,
    /// What the largest image takes while it is looked at.
    pub working_bytes: u64,
}

/// What the headers of a projector say of its tower for images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tower {
    /// Values of a patch between layers.
    pub width: u64,
    /// Values of its feed-forward.
    pub feed_forward: u64,
    /// Heads.
    pub heads: u64,
    /// Whether the feed-forward has a gate.
    pub is_gated: bool,
    /// Pixels of an image's side, where every image is brought to one size.
    pub image_side: u64,
    /// Pixels of a patch's side.
    pub patch_side: u64,
    /// Patches of a side that become one token.
    pub merged_side: u64,
    /// Tokens of the largest image, where sizes differ.
    pub tokens_max: Option<u64>,
}

impl Tower {
    /// Patches of the largest image.
    #[must_use]
    pub fn patches(&self) -> u64 {
        match self.tokens_max {
            Some(tokens) => {
                tokens.saturating_mul(self.merged_side.saturating_mul(self.merged_side))
            }
            None => {
                let side = self.image_side.checked_div(self.patch_side).unwrap_or(0);
                side.saturating_mul(side)
            }
        }
    }

    /// Working memory of one image with flash attention: what a layer holds at once, in f32 (see
    /// docs/planner.md for the buffers that this was compared with).
    #[must_use]
    pub fn working_bytes(&self) -> u64 {
        let (gates, widths) = if self.is_gated { (2, 8) } else { (1, 3) };
        let row = sum([self.feed_forward.saturating_mul(gates), self.width.saturating_mul(widths)]);
        self.patches().saturating_mul(row).saturating_mul(4)
    }
}

impl Beside {
    /// Of all adapters.
    #[must_use]
    pub fn adapter_bytes(&self) -> u64 {
        sum(self.adapters.iter().map(|adapter| adapter.bytes))
    }

    /// Weights of all adapters.
    #[must_use]
    pub fn adapter_count(&self) -> u64 {
        sum(self.adapters.iter().map(|adapter| adapter.count))
    }

    /// Of the projector, at work.
    #[must_use]
    pub fn projector_bytes(&self) -> u64 {
        let bytes = |it: &Projector| it.weights_bytes.saturating_add(it.working_bytes);
        self.projector.as_ref().map_or(0, bytes)
    }
}
