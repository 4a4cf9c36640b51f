//! What the name of a tensor in a checkpoint of safetensors says: which layer it is of, and what it
//! is for. GGUF's names have one word for it ([`Role::of_matrix`]); these have a path.

use crate::facts::Role;

/// What a tensor is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A matrix or vector of the model.
    Of(Role),
    /// Gate and first matrix of experts in one.
    FusedExperts,
    /// Of a tower for images or sound, or what joins it to the model.
    Projector,
}

/// Words of names that are not of the model of text.
const PROJECTOR_WORDS: &[&str] = &[
    "audio",
    "audio_tower",
    "embed_audio",
    "embed_vision",
    "image_newline",
    "mm_projector",
    "multi_modal_projector",
    "patch_merger",
    "vision",
    "vision_encoder",
    "vision_language_adapter",
    "vision_model",
    "vision_tower",
    "visual",
];

/// Words before the number of a layer.
const LAYER_WORDS: &[&str] = &["blk", "layers"];

/// The layer of a tensor or module.
pub(crate) fn layer_of(name: &str) -> Option<u64> {
    let mut words = name.split('.');
    words.find(|word| LAYER_WORDS.contains(word))?;
    words.next()?.parse().ok()
}

/// What a tensor of a model with so many layers is for; `matrix` when it has two dimensions or
/// more.
pub(crate) fn part_of(name: &str, layers: u64, matrix: bool) -> Part {
    let words: Vec<&str> = name.split('.').collect();
    let has = |wanted: &str| words.contains(&wanted);
    if words.iter().any(|word| PROJECTOR_WORDS.contains(word)) {
        return Part::Projector;
    }
    if has("mtp") || layer_of(name).is_some_and(|layer| layer >= layers) {
        return Part::Of(Role::Apart);
    }
    if !matrix || name.ends_with("bias") || name.ends_with("_bias") {
        return Part::Of(Role::Small);
    }
    let module = module(&words);
    if is_router(module) || module == "conv1d" || (module == "conv" && !has("in_proj")) {
        return Part::Of(Role::Small);
    }
    if has("experts") || has("block_sparse_moe") {
        return experts(module);
    }
    if words.iter().any(|word| word.starts_with("shared_expert") || *word == "shared_mlp") {
        return Part::Of(match module {
            "gate_proj" | "w1" => Role::SharedGate,
            "down_proj" | "w2" | "output_linear" => Role::SharedDown,
            _ => Role::SharedUp,
        });
    }
    let is_attention = words.iter().any(|word| word.ends_with("attn") || *word == "attention");
    let is_state = has("linear_attn") || has("mamba") || has("conv");
    Part::Of(match role_of(module) {
        Some(role) => role,
        None if module == "out_proj" && is_attention && !is_state => Role::AttentionOutput,
        None if is_state || has("mixer") => Role::Recurrent,
        None => Role::AttentionOther,
    })
}

/// The word that names a matrix: the last but for what of it this is.
fn module<'a>(words: &[&'a str]) -> &'a str {
    let mut from_last = words.iter().rev();
    let last = from_last.next().copied().unwrap_or_default();
    if last.starts_with("weight") || last.ends_with("_scale") {
        return from_last.next().copied().unwrap_or_default();
    }
    let stem = last.strip_suffix("_blocks").or_else(|| last.strip_suffix("_scales"));
    stem.unwrap_or(last)
}

fn is_router(module: &str) -> bool {
    matches!(module, "gate" | "layer" | "router" | "shared_expert_gate")
}

fn experts(module: &str) -> Part {
    match module {
        "gate_proj" | "w1" => Part::Of(Role::ExpertsGate),
        "up_proj" | "w3" => Part::Of(Role::ExpertsUp),
        "down_proj" | "w2" | "output_linear" => Part::Of(Role::ExpertsDown),
        _ => Part::FusedExperts,
    }
}

/// What a matrix is for, by one word of either kind of file; none when the word alone does not say
/// it.
pub(crate) fn role_of(word: &str) -> Option<Role> {
    Some(match word {
        "embed_tokens" | "embeddings" | "wte" => Role::TokenEmbedding,
        "lm_head" => Role::Output,
        "embed_tokens_per_layer" => Role::PerLayerEmbedding,
        "q_proj" => Role::AttentionQ,
        "k_proj" => Role::AttentionK,
        "v_proj" => Role::AttentionV,
        "o_proj" => Role::AttentionOutput,
        "qkv_proj" => Role::AttentionQkv,
        "gate_proj" | "w1" => Role::FfnGate,
        // Both in one, as in Phi-3, are one matrix of GGUF's too.
        "up_proj" | "gate_up_proj" | "w3" => Role::FfnUp,
        "down_proj" | "w2" => Role::FfnDown,
        word => match Role::of_matrix(word) {
            Role::AttentionOther => return None,
            role => role,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Part, layer_of, part_of};
    use crate::facts::Role;

    fn check(name: &str, expected: Part) {
        assert_eq!(part_of(name, 61, true), expected, "{name}");
    }

    #[test]
    fn names_say_what_tensors_are_for() {
        for (name, role) in [
            ("model.embed_tokens.weight", Role::TokenEmbedding),
            ("lm_head.weight", Role::Output),
            ("language_model.model.layers.3.self_attn.q_proj.weight", Role::AttentionQ),
            ("model.layers.3.self_attn.q_proj.weight_scale_inv", Role::AttentionQ),
            ("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", Role::AttentionOther),
            ("model.layers.0.self_attn.qkv_proj.weight", Role::AttentionQkv),
            ("model.layers.0.self_attn.out_proj.weight", Role::AttentionOutput),
            ("model.layers.0.mlp.gate_up_proj.weight", Role::FfnUp),
            ("model.layers.0.mlp.down_proj.weight", Role::FfnDown),
            ("model.layers.0.mlp.gate.weight", Role::Small),
            ("model.layers.0.mlp.shared_expert_gate.weight", Role::Small),
            ("model.layers.0.mlp.shared_expert.gate_proj.weight", Role::SharedGate),
            ("model.layers.9.mlp.shared_experts.down_proj.weight", Role::SharedDown),
            ("model.layers.9.mlp.experts.255.up_proj.weight", Role::ExpertsUp),
            ("model.layers.9.block_sparse_moe.experts.7.w2.weight", Role::ExpertsDown),
            ("model.layers.9.block_sparse_moe.gate.weight", Role::Small),
            ("model.layers.9.mlp.experts.down_proj_blocks", Role::ExpertsDown),
            ("model.layers.9.mlp.experts.down_proj_scales", Role::ExpertsDown),
            ("model.layers.9.mlp.experts.down_proj_bias", Role::Small),
            ("model.layers.0.linear_attn.in_proj_qkvz.weight", Role::Recurrent),
            ("model.layers.0.linear_attn.out_proj.weight", Role::Recurrent),
            ("model.layers.0.linear_attn.conv1d.weight", Role::Small),
            ("model.layers.0.mamba.in_proj.weight", Role::Recurrent),
            ("model.layers.0.conv.in_proj.weight", Role::Recurrent),
            ("backbone.layers.0.mixer.in_proj.weight", Role::Recurrent),
            ("backbone.layers.0.mixer.o_proj.weight", Role::AttentionOutput),
            ("model.layers.61.mlp.experts.0.up_proj.weight", Role::Apart),
            ("mtp.layers.0.mlp.gate.weight", Role::Apart),
        ] {
            check(name, Part::Of(role));
        }
        check("model.layers.9.mlp.experts.gate_up_proj_blocks", Part::FusedExperts);
        check("model.layers.9.block_sparse_moe.input_linear.weight", Part::FusedExperts);
        check("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", Part::Projector);
        check("model.visual.blocks.0.attn.qkv.weight", Part::Projector);
        assert_eq!(part_of("model.norm.weight", 61, false), Part::Of(Role::Small));
        assert_eq!(layer_of("blk.12.attn_q"), Some(12));
        assert_eq!(layer_of("lm_head.weight"), None);
    }
}
