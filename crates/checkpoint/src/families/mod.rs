//! Families of models: a file each, with rows of data.

mod deepseek2;
mod gemma2;
mod gemma3;
mod glm4;
mod gpt_oss;
mod granite;
pub(crate) mod images;
mod llama;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3next;
mod smollm3;

use crate::config::Config;
use crate::error::{Told, shown};
use crate::keys::Keys;
use crate::rows::Row;

/// What is known of a family.
pub(crate) struct Family {
    /// Names in `architectures` of config.json.
    pub(crate) classes: &'static [&'static str],
    /// `general.architecture`.
    pub(crate) architecture: &'static str,
    pub(crate) rows: &'static [&'static [Row]],
    /// Writes the metadata.
    pub(crate) keys: fn(&mut Keys<'_>) -> Told<()>,
    /// Names of the activation function, the usual one first.
    pub(crate) activations: &'static [&'static str],
    /// Whether the embeddings are the output matrix too where the configuration does not say.
    pub(crate) tied: bool,
    pub(crate) guesses: Guesses,
}

/// Where files may hold layers that guess further tokens, which are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guesses {
    /// They have none.
    None,
    /// After the others: as many as `num_nextn_predict_layers` says.
    After,
    /// In a place of their own, `mtp.`.
    Apart,
}

/// SiLU, as nearly all have it.
const SILU: &[&str] = &["silu", "swish"];
/// The form of GELU with a tanh.
const GELU_TANH: &[&str] = &["gelu_pytorch_tanh", "gelu_new"];

/// All families, by architecture.
pub(crate) static FAMILIES: &[&Family] = &[
    &deepseek2::DEEPSEEK2,
    &gemma2::GEMMA2,
    &gemma3::GEMMA3,
    &glm4::GLM4,
    &gpt_oss::GPT_OSS,
    &granite::GRANITE,
    &granite::GRANITE_MOE,
    &llama::LLAMA,
    &olmo2::OLMO2,
    &phi3::PHI3,
    &qwen2::QWEN2,
    &qwen3::QWEN3,
    &qwen3next::QWEN35,
    &qwen3next::QWEN35_MOE,
    &qwen3::QWEN3_MOE,
    &qwen3next::QWEN3_NEXT,
    &smollm3::SMOLLM3,
];

/// The family of this `general.architecture`.
pub(crate) fn of_architecture(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.architecture == name).copied()
}

/// The family that a configuration is of.
///
/// # Errors
/// When it is of none that hob knows, with all that it does.
pub(crate) fn find(config: &Config) -> Told<&'static Family> {
    let classes = config.texts("architectures")?.unwrap_or_default();
    let [class] = *classes else {
        return Err("architectures must have one name: it says what the model is".to_owned());
    };
    let found = FAMILIES.iter().find(|family| family.classes.contains(&class));
    let family = *found.ok_or_else(|| {
        let class = shown(class);
        let mut known: Vec<&str> = FAMILIES.iter().flat_map(|it| it.classes).copied().collect();
        known.extend(images::WITH_IMAGES.iter().map(|it| it.class));
        known.sort_unstable();
        format!(
            "hob cannot run a \"{class}\" from safetensors; these can be run: {}; or fetch the \
             model as GGUF",
            known.join(", ")
        )
    })?;
    for key in ["hidden_act", "hidden_activation"] {
        if let Some(found) = config.text(key)?.filter(|it| !family.activations.contains(it)) {
            let (found, wanted) = (shown(found), family.activations[0]);
            return Err(format!("{key} is \"{found}\": {wanted} is wanted"));
        }
    }
    Ok(family)
}

#[cfg(test)]
mod tests {
    use super::FAMILIES;

    #[test]
    fn rows_are_sorted_and_names_are_taken_once() {
        assert!(FAMILIES.is_sorted_by_key(|family| family.architecture));
        let mut classes: Vec<&str> =
            FAMILIES.iter().flat_map(|family| family.classes).copied().collect();
        classes.extend(super::images::WITH_IMAGES.iter().map(|it| it.class));
        let all = classes.len();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), all);
    }
}
