//! Configurations as their makers publish them, against the KV table of docs/planner.md; and those
//! that lack something or mean harm.

use super::{CheckpointError, ModelConfig, ROWS};
use crate::memory::KvType;
use crate::{ModelFacts, find_model};

/// The fields of a `config.json`, in TOML's words: what is parsed is the same.
fn config(text: &str) -> ModelConfig {
    toml::from_str(&text.replace("; ", "\n")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn facts(text: &str) -> Result<ModelFacts, CheckpointError> {
    let mixers = config(text).geometry()?.mixers(|_| None)?;
    Ok(ModelFacts { mixers, ..find_model("Qwen3-8B").unwrap().facts() })
}

/// KiB of a token, MiB of full windows, MiB of states: as the table prints them.
fn check(text: &str, token_kib: &str, window_mib: &str, state_mib: &str) {
    let facts = facts(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (kib, mib) = (1024.0, f64::from(1 << 20));
    let token = facts.kv_bytes_per_token(KvType::F16) as f64 / kib;
    assert_eq!(format!("{token:.1}"), token_kib, "{text}");
    let window = facts.window_bytes(KvType::F16) as f64 / mib;
    assert_eq!(format!("{window:.0}"), window_mib, "{text}");
    assert_eq!(format!("{:.1}", facts.state_bytes() as f64 / mib), state_mib, "{text}");
}

/// A llama-like model of a type.
fn plain(model_type: &str, [layers, width, heads, kv_heads, head_dim]: [u64; 5]) -> String {
    format!(
        "model_type = '{model_type}'; num_hidden_layers = {layers}; hidden_size = {width}; \
         num_attention_heads = {heads}; num_key_value_heads = {kv_heads}; head_dim = {head_dim}; \
         max_position_embeddings = 32768"
    )
}

fn listed(kinds: &[(&str, usize)]) -> String {
    let kinds = kinds.iter().flat_map(|(kind, count)| vec![format!("'{kind}'"); *count]);
    format!("; layer_types = [{}]", kinds.collect::<Vec<_>>().join(", "))
}

const DELTA: &str = "; linear_num_key_heads = 16; linear_key_head_dim = 128; \
    linear_value_head_dim = 128; linear_conv_kernel_dim = 4; full_attention_interval = 4";

#[test]
fn caches_are_those_of_the_table() {
    check(&plain("llama", [32, 4096, 32, 8, 128]), "128.0", "0", "0.0");
    check(&plain("mixtral", [32, 4096, 32, 8, 128]), "128.0", "0", "0.0");
    check(&plain("mistral", [40, 5120, 32, 8, 128]), "160.0", "0", "0.0");
    check(&plain("qwen3", [36, 4096, 32, 8, 128]), "144.0", "0", "0.0");
    check(&plain("qwen3_moe", [48, 2048, 32, 4, 128]), "96.0", "0", "0.0");
    check(&plain("phi3", [40, 5120, 40, 10, 128]), "200.0", "0", "0.0");
    check(&plain("granite", [40, 4096, 32, 8, 128]), "160.0", "0", "0.0");
    check(&plain("glm4_moe", [46, 4096, 96, 8, 128]), "184.0", "0", "0.0");
    check(&plain("minimax_m2", [62, 3072, 48, 8, 128]), "248.0", "0", "0.0");
}

#[test]
fn windows_are_those_of_the_table() {
    let gemma = plain("gemma3_text", [62, 5376, 32, 16, 128]) + "; sliding_window = 1024";
    check(&gemma, "80.0", "416", "0.0");
    // As the towers for images have it: the model of text inside.
    check(&format!("model_type = 'gemma3'; [text_config]; {gemma}"), "80.0", "416", "0.0");
    let oss = plain("gpt_oss", [24, 2880, 64, 8, 64]) + "; sliding_window = 128";
    let layers = listed(&[("sliding_attention", 1), ("full_attention", 1)].repeat(12));
    check(&(oss + &layers), "24.0", "3", "0.0");
    let scout = plain("llama4_text", [48, 5120, 40, 8, 128]) + "; attention_chunk_size = 8192";
    check(&scout, "48.0", "1152", "0.0");
}

#[test]
fn latent_vectors_and_states_are_those_of_the_table() {
    let latent = "; kv_lora_rank = 512; qk_rope_head_dim = 64";
    check(&(plain("deepseek_v3", [61, 7168, 128, 128, 128]) + latent), "68.6", "0", "0.0");
    check(&(plain("glm4_moe_lite", [47, 2048, 20, 20, 256]) + latent), "52.9", "0", "0.0");
    let next = plain("qwen3_next", [48, 2048, 16, 2, 256]) + "; linear_num_value_heads = 32";
    check(&(next + DELTA), "24.0", "0", "75.4");
    let qwen = plain("qwen3_5_text", [64, 5120, 24, 4, 256]) + "; linear_num_value_heads = 48";
    check(&(qwen + DELTA), "64.0", "0", "149.6");
    let mamba = "; mamba_n_heads = 128; mamba_d_head = 64; mamba_d_state = 128; \
        mamba_n_groups = 1; mamba_d_conv = 4";
    let granite = plain("granitemoehybrid", [40, 4096, 32, 8, 128]) + mamba;
    check(&(granite + &listed(&[("mamba", 36), ("attention", 4)])), "16.0", "0", "147.5");
    let nemotron = plain("nemotron_h", [52, 2688, 32, 2, 128])
        + "; mamba_num_heads = 64; mamba_head_dim = 64; ssm_state_size = 128; n_groups = 8"
        + &format!(
            "; conv_kernel = 4; hybrid_override_pattern = '{}'",
            "M".repeat(23) + "******" + &"E".repeat(23)
        );
    check(&nemotron, "6.0", "0", "47.6");
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let error = facts(text).expect_err(text).to_string();
    assert!(error.contains(why) && !error.contains('\n'), "{error}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    refused("model_type = 'mamba3'", "does not know models of the type \"mamba3\"");
    refused("model_type = 'mamba3'", "known are cohere, cohere2, deepseek_v2");
    refused("hidden_size = 4096", "does not say its model_type");
    refused("model_type = 'llama'", "config.json of a llama lacks num_hidden_layers");
    refused(&plain("llama", [32, 0, 32, 8, 128]), "lacks hidden_size");
    refused(&plain("llama", [1 << 40, 4096, 32, 8, 128]), "lacks num_hidden_layers");
    refused(&plain("llama", [5000, 4096, 32, 8, 128]), "lacks num_hidden_layers");
    refused(&plain("gemma2", [26, 2304, 8, 4, 256]), "of a gemma2 lacks sliding_window");
    refused(&plain("gpt_oss", [24, 2880, 64, 8, 64]), "of a gpt_oss lacks layer_types");
    refused(&plain("deepseek_v3", [61, 7168, 128, 128, 128]), "lacks kv_lora_rank");
    refused(&plain("qwen3_next", [48, 2048, 16, 2, 256]), "lacks full_attention_interval");
    let llama = plain("llama", [2, 64, 4, 2, 16]);
    refused(
        &(llama.clone() + &listed(&[("full_attention", 3)])),
        "2 layers and what 3 of them are",
    );
    refused(&(llama.clone() + &listed(&[("telepathy", 2)])), "layers of the kind \"telepathy\"");
    refused(&(llama + "; num_experts = 8"), "of a llama lacks num_experts_per_tok");
}

#[test]
fn numbers_without_measure_do_no_harm() {
    let most = u64::from(u32::MAX);
    let huge = plain("llama", [4096, most, most, most, most]);
    let facts = facts(&huge).unwrap();
    assert_eq!(facts.kv_bytes(KvType::F16, u64::MAX), u64::MAX);
}

#[test]
fn rows_are_sorted() {
    assert!(ROWS.is_sorted_by_key(|row| row.model_type));
}
