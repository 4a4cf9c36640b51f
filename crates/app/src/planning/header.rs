//! A model file as the planner sees it, from its headers alone, also of kinds that hob cannot run.

use gguf::{GgufFile, Metadata, TensorInfo};
use planner::{
    Experts, FileWeights, Mixer, MixerGroup, ModelFacts, Projector, Role, TensorGroup, TensorType,
    Tower, Weights,
};

use crate::{Error, ErrorKind, Result};

/// Layers that see the last positions only, where the file does not say which: of so many, all
/// but one. Sources: the `config.json` of each family.
const WINDOW_PERIODS: &[(&str, u64)] = &[("gemma2", 2), ("gemma3", 6), ("gpt-oss", 2)];

/// Bytes of a number in a recurrent state.
const STATE_BYTES: u64 = 4;

/// What the headers of a model say; those of a split one together.
pub(super) struct Headers<'a> {
    /// Of the first file.
    pub(super) metadata: &'a Metadata,
    /// Of all files.
    pub(super) tensors: Vec<&'a TensorInfo>,
}

impl<'a> Headers<'a> {
    /// Of a file that is here.
    pub(super) fn of_file(file: &'a GgufFile) -> Headers<'a> {
        Headers { metadata: file.metadata(), tensors: file.tensors().iter().collect() }
    }

    /// Of files that are elsewhere; none of no files.
    pub(super) fn of_parts(parts: &'a [gguf::Header]) -> Option<Headers<'a>> {
        let tensors = parts.iter().flat_map(|part| &part.tensors).collect();
        Some(Headers { metadata: &parts.first()?.metadata, tensors })
    }

    /// Of one file that is elsewhere.
    pub(super) fn of_header(header: &'a gguf::Header) -> Headers<'a> {
        Headers { metadata: &header.metadata, tensors: header.tensors.iter().collect() }
    }

    /// `general.architecture`.
    pub(super) fn architecture(&self) -> Result<String> {
        Ok(self.metadata.str("general.architecture")?.unwrap_or("unknown").to_owned())
    }
}

/// Facts and exact weights.
pub(super) fn subject(file: &Headers<'_>, name: &str) -> Result<(ModelFacts, FileWeights)> {
    let header = Header { metadata: file.metadata, architecture: file.architecture()? };
    let (width, heads) =
        (header.number("embedding_length")?, header.number("attention.head_count")?);
    let experts = Experts {
        total: header.number("expert_count")?,
        used: header.number("expert_used_count")?,
    };
    let routed = experts.used.saturating_mul(header.number("expert_feed_forward_length")?);
    let tensors: Vec<TensorGroup> = file.tensors.iter().map(|tensor| group(tensor)).collect();
    let bytes: Vec<u64> = file.tensors.iter().map(|tensor| tensor.size_bytes).collect();
    let table = tensors.iter().find(|tensor| tensor.role == Role::TokenEmbedding);
    let facts = ModelFacts {
        name: name.to_owned(),
        licence: header.metadata.str("general.license")?.unwrap_or("not stated").to_owned(),
        context_max: header.number("context_length")?,
        vocabulary: table.map_or(0, |table| table.rows),
        width,
        heads,
        feed_forward: header.number("feed_forward_length")?.max(routed),
        layers: header.number("block_count")?,
        experts: (experts.total > 0).then_some(experts),
        mixers: header.mixers()?,
        tensors,
    };
    let tensor_type = |index: usize| TensorType::from_ggml_id(file.tensors[index].format.ggml_id());
    let weights = Weights::new(&facts, |index| bytes[index]).typed(&facts, tensor_type);
    Ok((facts, FileWeights { quant: quant(file), weights }))
}

/// Projectors that take images of any size: the most tokens that they make of one, and how many
/// patches of a side become a token. Source: llama.cpp's limits for each, read in 2026-11.
const ANY_SIZE: &[(&str, u64, u64)] = &[
    ("gemma4v", 1120, 3),
    ("glm4v", 4096, 2),
    ("kimivl", 1024, 2),
    ("lfm2", 256, 2),
    ("lightonocr", 4096, 2),
    ("pixtral", 1024, 2),
    ("qwen2.5vl_merger", 4096, 2),
    ("qwen2vl_merger", 4096, 2),
    ("qwen3vl_merger", 4096, 2),
];

/// A projector by its headers.
///
/// # Errors
/// `BadModel` when the file is a model or something else.
pub(super) fn projector(file: &Headers<'_>, name: &str) -> Result<Projector> {
    let architecture = file.architecture()?;
    if architecture != "clip" {
        let message =
            format!("{name} is no projector: its architecture is {architecture}, not clip");
        return Err(Error::new(ErrorKind::BadModel, message));
    }
    let number = |key: &str| -> u64 {
        let vision = file.metadata.u64(&format!("clip.vision.{key}")).ok().flatten();
        vision.unwrap_or(0)
    };
    let kinds = ["clip.projector_type", "clip.vision.projector_type"];
    let kind = kinds.iter().find_map(|key| file.metadata.str(key).ok().flatten()).unwrap_or("");
    let any_size = ANY_SIZE.iter().find(|row| row.0 == kind);
    let merged = [number("spatial_merge_size"), number("projector.scale_factor")];
    let merged = merged.into_iter().find(|side| *side > 0);
    let is_gate = |tensor: &&&TensorInfo| {
        tensor.name.starts_with("v.blk.") && tensor.name.contains("ffn_gate")
    };
    let tower = Tower {
        width: number("embedding_length"),
        feed_forward: number("feed_forward_length"),
        heads: number("attention.head_count"),
        is_gated: file.tensors.iter().find(is_gate).is_some(),
        image_side: number("image_size"),
        patch_side: number("patch_size"),
        merged_side: merged.or(any_size.map(|row| row.2)).unwrap_or(1),
        tokens_max: any_size.map(|row| row.1),
    };
    Ok(Projector {
        name: name.to_owned(),
        weights_bytes: file.tensors.iter().map(|tensor| tensor.size_bytes).sum(),
        working_bytes: tower.working_bytes(),
    })
}

/// The type that holds most bytes, as the mix has no name of its own in a file.
fn quant(file: &Headers<'_>) -> String {
    let mut bytes: Vec<(&str, u64)> = Vec::new();
    for tensor in &file.tensors {
        let name = tensor.format.name();
        match bytes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += tensor.size_bytes,
            None => bytes.push((name, tensor.size_bytes)),
        }
    }
    bytes.into_iter().max_by_key(|(_, sum)| *sum).map_or("", |(name, _)| name).to_owned()
}

struct Header<'a> {
    metadata: &'a Metadata,
    architecture: String,
}

impl Header<'_> {
    /// A number of the architecture, 0 where it is not said or said layer by layer.
    fn number(&self, key: &str) -> Result<u64> {
        let key = format!("{}.{key}", self.architecture);
        Ok(self.metadata.u64(&key).ok().flatten().unwrap_or(0))
    }

    /// A number of each layer.
    fn numbers(&self, key: &str, layers: u64) -> Result<Vec<u64>> {
        let name = format!("{}.{key}", self.architecture);
        if let Ok(Some(values)) = self.metadata.i32s(&name) {
            return Ok(values.into_iter().map(|value| u64::try_from(value).unwrap_or(0)).collect());
        }
        let value = self.number(key)?;
        Ok((0..layers).map(|_| value).collect())
    }

    fn mixers(&self) -> Result<Vec<MixerGroup>> {
        let layers = self.number("block_count")?;
        let heads = self.number("attention.head_count")?;
        let head_dim = self.number("embedding_length")?.checked_div(heads).unwrap_or(0);
        let or = |value: u64, usual: u64| if value == 0 { usual } else { value };
        let key_dim = or(self.number("attention.key_length")?, head_dim);
        let value_dim = or(self.number("attention.value_length")?, head_dim);
        let latent = self.number("attention.kv_lora_rank")?;
        let window = self.number("attention.sliding_window")?;
        let kv_heads = self.numbers("attention.head_count_kv", layers)?;
        let interval = self.number("full_attention_interval")?;
        let state_bytes = self.state_bytes()?;
        let mut groups: Vec<MixerGroup> = Vec::new();
        for layer in 0..layers {
            let kv_heads = kv_heads.get(layer as usize).copied().unwrap_or(0);
            let kv_heads = if kv_heads == 0 && state_bytes == 0 { heads } else { kv_heads };
            let skips = interval > 0 && (layer + 1) % interval != 0;
            let values = kv_heads.saturating_mul(key_dim.saturating_add(value_dim));
            let mixer = if latent > 0 {
                let rope = self.number("rope.dimension_count")?;
                Mixer::Full { values: latent.saturating_add(rope) }
            } else if state_bytes > 0 && (kv_heads == 0 || skips) {
                Mixer::Recurrent { state_bytes }
            } else if window > 0 && self.is_window(layer) {
                Mixer::Window { values, length: window }
            } else {
                Mixer::Full { values }
            };
            match groups.iter_mut().find(|group| group.mixer == mixer) {
                Some(group) => group.layers += 1,
                None => groups.push(MixerGroup { layers: 1, mixer }),
            }
        }
        Ok(groups)
    }

    /// Of a layer with a gated delta net or Mamba: the state, and what its convolution holds.
    fn state_bytes(&self) -> Result<u64> {
        let (inner, state) = (self.number("ssm.inner_size")?, self.number("ssm.state_size")?);
        let groups = self.number("ssm.group_count")?;
        let kernel = self.number("ssm.conv_kernel")?.saturating_sub(1);
        let mixed = groups.saturating_mul(state).saturating_mul(2).saturating_add(inner);
        let values = inner.saturating_mul(state).saturating_add(kernel.saturating_mul(mixed));
        Ok(values.saturating_mul(STATE_BYTES))
    }

    /// Where nothing is known of a family every layer counts as seeing all: more than it takes,
    /// never less.
    fn is_window(&self, layer: u64) -> bool {
        let known = WINDOW_PERIODS.iter().find(|(name, _)| *name == self.architecture);
        known.is_some_and(|(_, period)| !(layer + 1).is_multiple_of(*period))
    }
}

fn group(tensor: &TensorInfo) -> TensorGroup {
    let columns = tensor.shape.first().copied().unwrap_or(1);
    let rows = tensor.shape.iter().skip(1).product();
    let mut parts = tensor.name.split('.');
    let (layer, part) = match (parts.next(), parts.next(), parts.next()) {
        (Some("blk"), Some(layer), Some(part)) => (layer.parse().ok(), part),
        (part, ..) => (None, part.unwrap_or_default()),
    };
    let is_matrix = tensor.shape.len() > 1 && tensor.name.ends_with(".weight");
    let role = if is_matrix { Role::of_matrix(part) } else { Role::Small };
    TensorGroup { role, layer, columns, rows }
}

#[cfg(test)]
mod tests;
