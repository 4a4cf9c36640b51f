//! A checkpoint of safetensors as the planner sees it: `config.json` and the headers of its files.
//! As it is, bytes are those of the files; quantised while loading, recipes say them.

use std::collections::BTreeMap;

use crate::beside::Projector;
use crate::config::{CheckpointError, Geometry, ModelConfig};
use crate::facts::{Experts, ModelFacts, Role, TensorGroup};
use crate::memory::sum;
use crate::parts::{Part, layer_of, part_of};
use crate::subject::FileWeights;
use crate::weights::Weights;

/// A tensor of a checkpoint, by the header of its file.
#[derive(Clone, Copy, Debug)]
pub struct StoredTensor<'a> {
    /// As the file names it.
    pub name: &'a str,
    /// As the file names its type, e.g. `BF16`, `F8_E4M3`.
    pub dtype: &'a str,
    /// Dimensions, slowest first.
    pub shape: &'a [u64],
    /// Bytes.
    pub bytes: u64,
}

/// A checkpoint that can be planned.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Layers and matrices of the model of text.
    pub facts: ModelFacts,
    /// As GGUF files name it.
    pub architecture: String,
    /// Its weights as the files have them, scales included.
    pub stored: FileWeights,
    /// Key and value heads.
    pub kv_heads: u64,
    /// The towers beside the model of text, where it has any.
    pub projector: Option<Projector>,
}

/// Types whose values lie one by one, and what people call weights of them.
const PLAIN: &[(&str, &str)] = &[
    ("BF16", "BF16"),
    ("F16", "F16"),
    ("F32", "F32"),
    ("F64", "F64"),
    ("F8_E4M3", "FP8"),
    ("F8_E5M2", "FP8"),
    ("I8", "INT8"),
];
/// Blocks of 32 values in 16 bytes, beside a byte of scale each in a tensor of their own.
const MXFP4: &str = "MXFP4";
const MXFP4_BLOCK: u64 = 32;
/// Two values in a byte, beside a scale for each 16.
const NVFP4: &str = "NVFP4";

/// Ends of names of what belongs to a matrix and is none itself.
const SCALES: &[&str] = &[
    "_scales",
    ".input_global_scale",
    ".input_scale",
    ".k_scale",
    ".v_scale",
    ".weight_global_scale",
    ".weight_scale",
    ".weight_scale_2",
    ".weight_scale_inv",
];

impl Checkpoint {
    /// From a configuration and the headers of all files.
    ///
    /// # Errors
    /// When the kind of model is not known, the configuration lacks something, a file is missing,
    /// or weights are packed in a way that does not tell their shape.
    pub fn new(
        name: &str,
        config: &ModelConfig,
        tensors: &[StoredTensor<'_>],
    ) -> Result<Checkpoint, CheckpointError> {
        let geometry = config.geometry()?;
        let is_last =
            |tensor: &StoredTensor<'_>| layer_of(tensor.name) == Some(geometry.layers - 1);
        if !tensors.iter().any(is_last) {
            return Err(CheckpointError::Incomplete { layers: geometry.layers });
        }
        let mut gathered = Gathered::new(&geometry);
        for tensor in tensors.iter().filter(|tensor| !is_scale(tensor.name)) {
            gathered.add(tensor)?;
        }
        for tensor in tensors.iter().filter(|tensor| is_scale(tensor.name)) {
            gathered.add_scale(tensor);
        }
        gathered.finish(name)
    }
}

fn is_scale(name: &str) -> bool {
    SCALES.iter().any(|end| name.ends_with(end))
}

/// Groups of tensors with the bytes that their files give them.
struct Gathered<'a> {
    geometry: &'a Geometry,
    groups: Vec<(TensorGroup, u64)>,
    /// Where the groups are that are added to.
    places: BTreeMap<(u8, Option<u64>, u64), usize>,
    projector_bytes: u64,
    /// Bytes of matrices by what people call their type.
    kinds: BTreeMap<&'static str, u64>,
}

impl Gathered<'_> {
    fn new(geometry: &Geometry) -> Gathered<'_> {
        Gathered {
            geometry,
            groups: Vec::new(),
            places: BTreeMap::new(),
            projector_bytes: 0,
            kinds: BTreeMap::new(),
        }
    }

    fn add(&mut self, tensor: &StoredTensor<'_>) -> Result<(), CheckpointError> {
        let part = part_of(tensor.name, self.geometry.layers, tensor.shape.len() > 1);
        let layer = layer_of(tensor.name);
        let role = match part {
            Part::Projector => {
                self.projector_bytes = self.projector_bytes.saturating_add(tensor.bytes);
                return Ok(());
            }
            Part::FusedExperts => Role::ExpertsUp,
            Part::Of(role) => role,
        };
        if role == Role::Small {
            let values = sum([tensor.shape.iter().fold(1, |all: u64, it| all.saturating_mul(*it))]);
            self.put((Role::Small, layer), (values, 1), tensor.bytes);
            return Ok(());
        }
        let (kind, (columns, rows)) = self.matrix(tensor, role, part == Part::FusedExperts)?;
        let bytes = self.kinds.entry(kind).or_default();
        *bytes = bytes.saturating_add(tensor.bytes);
        if part == Part::FusedExperts {
            let half = tensor.bytes / 2;
            self.put((Role::ExpertsGate, layer), (columns, rows / 2), half);
            self.put((Role::ExpertsUp, layer), (columns, rows - rows / 2), tensor.bytes - half);
        } else {
            self.put((role, layer), (columns, rows), tensor.bytes);
        }
        Ok(())
    }

    /// What its type is called, and how many columns and rows of weights it has.
    fn matrix(
        &self,
        tensor: &StoredTensor<'_>,
        role: Role,
        is_fused: bool,
    ) -> Result<(&'static str, (u64, u64)), CheckpointError> {
        let last = tensor.shape.last().copied().unwrap_or(1);
        let before = |count: usize| {
            let kept = tensor.shape.len().saturating_sub(count);
            tensor.shape[..kept].iter().fold(1, |all: u64, it| all.saturating_mul(*it))
        };
        if let Some((_, kind)) = PLAIN.iter().find(|row| row.0 == tensor.dtype) {
            if let ([experts, first, second], true) = (tensor.shape, role.is_routed()) {
                // Some keep matrices of experts the other way round: what goes in is the width.
                let reads_width = is_fused || role != Role::ExpertsDown;
                let is_turned = (*second == self.geometry.width) != reads_width;
                let (columns, rows) = if is_turned { (first, second) } else { (second, first) };
                return Ok((kind, (*columns, experts.saturating_mul(*rows))));
            }
            return Ok((kind, (last, before(1))));
        }
        let is_bytes = tensor.dtype == "U8";
        if is_bytes && tensor.name.ends_with("_blocks") && tensor.shape.len() > 2 {
            let blocks = tensor.shape[tensor.shape.len() - 2];
            return Ok((MXFP4, (blocks.saturating_mul(MXFP4_BLOCK), before(2))));
        }
        if is_bytes && tensor.name.ends_with(".weight_packed") {
            return Ok((NVFP4, (last.saturating_mul(2), before(1))));
        }
        let (tensor, dtype) = (tensor.name.to_owned(), tensor.dtype.to_owned());
        Err(CheckpointError::Packed { tensor, dtype })
    }

    /// Experts of a layer come together, and so do its vectors; a matrix stands for itself, as
    /// recipes count them.
    fn put(&mut self, (role, layer): (Role, Option<u64>), (columns, rows): (u64, u64), bytes: u64) {
        let joins = role.is_routed() || role == Role::Small;
        let columns_known = if role == Role::Small { 0 } else { columns };
        let key = (role as u8, layer, columns_known);
        if let Some(at) = self.places.get(&key).copied().filter(|_| joins) {
            let (group, sum) = &mut self.groups[at];
            *sum = sum.saturating_add(bytes);
            if role == Role::Small {
                group.columns = group.columns.saturating_add(columns);
            } else {
                group.rows = group.rows.saturating_add(rows);
            }
            return;
        }
        self.places.insert(key, self.groups.len());
        self.groups.push((TensorGroup { role, layer, columns, rows }, bytes));
    }

    /// Scales add bytes to their matrix and no weights.
    fn add_scale(&mut self, tensor: &StoredTensor<'_>) {
        let layer = layer_of(tensor.name);
        let role = match part_of(tensor.name, self.geometry.layers, true) {
            Part::Projector => {
                self.projector_bytes = self.projector_bytes.saturating_add(tensor.bytes);
                return;
            }
            Part::FusedExperts => Role::ExpertsUp,
            Part::Of(role) => role,
        };
        let mut groups = self.groups.iter_mut();
        match groups.find(|(group, _)| group.role == role && group.layer == layer) {
            Some((_, sum)) => *sum = sum.saturating_add(tensor.bytes),
            None => self.put((Role::Small, layer), (0, 1), tensor.bytes),
        }
    }

    fn finish(self, name: &str) -> Result<Checkpoint, CheckpointError> {
        let geometry = self.geometry;
        let of = |layer: u64, role: Role| {
            let mut groups = self.groups.iter().map(|(group, _)| group);
            groups.find(|group| group.role == role && group.layer == Some(layer))
        };
        let rows = |layer: u64, role: Role| of(layer, role).map(|group| group.rows);
        let values = |layer: u64| {
            let keys = rows(layer, Role::AttentionK)?;
            Some(keys.saturating_add(rows(layer, Role::AttentionV).unwrap_or(0)))
        };
        let head_dim = geometry.head_dim;
        let counted = || (0..geometry.layers).find_map(|layer| rows(layer, Role::AttentionQ));
        let heads = geometry.heads.or_else(|| counted()?.checked_div(head_dim?));
        let heads = heads.ok_or_else(|| geometry.missing("num_attention_heads"))?;
        let keys = (0..geometry.layers).find_map(|layer| rows(layer, Role::AttentionK));
        let kv_heads = match (keys, head_dim.or_else(|| geometry.width.checked_div(heads))) {
            (Some(keys), Some(head_dim)) if head_dim > 0 => keys / head_dim,
            _ => geometry.kv_heads(),
        };
        let mixers = geometry.mixers(values)?;
        let kind = self.kinds.iter().max_by_key(|(_, bytes)| **bytes).map_or("", |(kind, _)| kind);
        let (tensors, bytes): (Vec<_>, Vec<_>) = self.groups.into_iter().unzip();
        let table = tensors.iter().find(|tensor| tensor.role == Role::TokenEmbedding);
        let experts = geometry.experts.map(|(total, used)| Experts { total, used });
        let routed = experts.map_or(0, |it| it.used.saturating_mul(geometry.expert_width));
        let facts = ModelFacts {
            name: name.to_owned(),
            licence: "not stated".to_owned(),
            context_max: geometry.context_max,
            vocabulary: table.map_or(0, |table| table.rows),
            width: geometry.width,
            heads,
            feed_forward: geometry.feed_forward.max(routed),
            layers: geometry.layers,
            experts,
            mixers,
            tensors,
        };
        let weights = Weights::new(&facts, |index| bytes[index]);
        let projector = (self.projector_bytes > 0).then(|| Projector {
            name: "its towers for images or sound".to_owned(),
            weights_bytes: self.projector_bytes,
            working_bytes: 0,
        });
        Ok(Checkpoint {
            facts,
            architecture: geometry.architecture.to_owned(),
            stored: FileWeights { quant: kind.to_owned(), weights },
            kv_heads,
            projector,
        })
    }
}

#[cfg(test)]
mod tests;
