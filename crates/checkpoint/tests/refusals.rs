//! Folders that lack something, that hob does not know, and that mean harm: each is answered by
//! one line, and none by a panic.

use std::fs;
use std::path::Path;

use quant::FormatId;
use serde_json::{Value as Json, json};
use testkit::{TinyCheckpoint, checkpoints_with_images, reference_models, safetensors};

const TOKENIZER: &str = r#"{"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[]}"#;

fn tiny(name: &str) -> TinyCheckpoint {
    let model = reference_models().into_iter().find(|model| model.name == name);
    model.and_then(|model| model.checkpoint()).expect("a fixture of this name")
}

fn write(folder: &Path, checkpoint: &TinyCheckpoint, files: usize) {
    checkpoint.write(folder, FormatId::BF16, files);
    fs::write(folder.join("tokenizer.json"), TOKENIZER).expect("a folder");
}

/// Opens it and asks for every tensor.
fn look(folder: &Path) -> Result<(), String> {
    let file = checkpoint::open(folder).map_err(|error| error.to_string())?;
    for tensor in file.tensors() {
        assert_eq!(file.bytes(tensor).len() as u64, tensor.size_bytes, "{}", tensor.name);
        file.release_pages(tensor);
    }
    Ok(())
}

/// The folder with a change is refused, for this reason and in one line.
#[track_caller]
fn refused(name: &str, change: impl FnOnce(&mut TinyCheckpoint), why: &str) {
    let mut checkpoint = tiny(name);
    change(&mut checkpoint);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &checkpoint, 1);
    let error = look(folder.path()).expect_err(why);
    assert!(error.contains(why) && !error.contains('\n'), "{error}");
}

fn set(key: &str, value: Json) -> impl FnOnce(&mut TinyCheckpoint) {
    move |checkpoint| checkpoint.config[key] = value
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let gone = |name: &str| fs::remove_file(folder.path().join(name)).expect("it was there");
    let error = || look(folder.path()).expect_err("something is missing");
    write(folder.path(), &tiny("llama"), 3);
    look(folder.path()).expect("nothing is missing");
    gone("tokenizer.json");
    assert!(error().contains("tokenizer.json is missing in it: fetch it"), "{}", error());
    gone("model-00002-of-00003.safetensors");
    let found = error();
    assert!(found.contains("model-00002-of-00003.safetensors: there is no such file"), "{found}");
    gone("config.json");
    assert!(error().contains("config.json is missing beside it"), "{}", error());
    refused(
        "qwen3moe",
        |it| it.tensors.retain(|(name, ..)| !name.contains("experts.5.up_proj")),
        "tensor model.layers.0.mlp.experts.5.up_proj.weight is missing",
    );
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    refused("llama", set("architectures", json!(["TelepathForCausalLM"])), "cannot run a \"Tele");
    refused("llama", set("architectures", json!([])), "architectures must have one name");
    refused("llama", set("hidden_act", json!("relu")), "hidden_act is \"relu\": silu is wanted");
    refused("llama", set("rope_scaling", json!({"rope_type": "odd"})), "a rule \"odd\" that hob");
    let awq = json!({"quant_method": "awq"});
    refused("llama", set("quantization_config", awq), "quantised by \"awq\" cannot be run");
    for (method, key, value, why) in [
        ("modelopt", "quant_algo", "FP8", "\"modelopt\" as \"FP8\""),
        ("modelopt", "quant_algo", "MIXED_PRECISION", "\"modelopt\" as \"MIXED_PRECISION\""),
        ("compressed-tensors", "format", "float-quantized", "\"compressed-tensors\""),
    ] {
        let how = json!({"quant_method": method, key: value});
        let why = format!("quantised by {why} cannot be run");
        refused("llama", set("quantization_config", how), &why);
    }
    let fp8 = json!({"quant_method": "fp8"});
    refused("llama", set("quantization_config", fp8), "weight_block_size must be two sizes");
    let windows = |it: &mut TinyCheckpoint| {
        it.config["use_sliding_window"] = json!(true);
        it.config["max_window_layers"] = json!(1);
    };
    refused("qwen2", windows, "use_sliding_window is true: hob does not run such a q");
    refused(
        "qwen3moe",
        set("norm_topk_prob", json!(false)),
        "norm_topk_prob is false: hob does not",
    );
    refused("gpt_oss", set("swiglu_limit", json!(8.0)), "swiglu_limit is 8.0: hob does not run");
    refused("gemma2", set("query_pre_attn_scalar", json!(99)), "query_pre_attn_scalar is 99: hob");
    let more = |it: &mut TinyCheckpoint| {
        it.tensors.push(("model.layers.0.telepathy.weight".to_owned(), vec![2], vec![0.0; 2]));
    };
    refused("llama", more, "tensor model.layers.0.telepathy.weight has no place in a llama");
    // Factors are those of a matrix of 8 bits, and only where that is said.
    let factors = |it: &mut TinyCheckpoint| {
        let name = "model.layers.1.mlp.up_proj.weight_scale_inv";
        it.tensors.push((name.to_owned(), vec![3, 2], vec![1.0; 6]));
    };
    refused("llama", factors, "up_proj.weight_scale_inv has no place in a llama");
    let eight_bits = |it: &mut TinyCheckpoint| {
        factors(it);
        it.config["quantization_config"] =
            json!({"quant_method": "fp8", "weight_block_size": [32, 48]});
    };
    refused("llama", eight_bits, "up_proj.weight is BF16 and has factors (model.layers.1.mlp.up");
    let no_head =
        |it: &mut TinyCheckpoint| it.tensors.retain(|(name, ..)| name != "lm_head.weight");
    refused("llama", no_head, "tensor lm_head.weight is missing, and tie_word_embeddings is false");
    for table in ["model.layers.0.attn.bias", "model.layers.0.self_attn.masked_bias"] {
        let more = |it: &mut TinyCheckpoint| {
            it.tensors.push((table.to_owned(), vec![2], vec![0.0; 2]));
        };
        refused("llama", more, "masked_bias has no place in a llama".trim_start_matches("masked_"));
    }
    refused("deepseek3", set("num_hidden_layers", json!(2)), "tensor model.layers.2.");
    // Layers beyond the last are no part of a model either, save where they guess further tokens.
    refused("llama", set("num_hidden_layers", json!(1)), "model.layers.1.");
}

#[test]
fn numbers_that_lie_are_refused() {
    refused("llama", set("num_hidden_layers", json!(1_u64 << 40)), "num_hidden_layers is 10995");
    refused("llama", set("vocab_size", json!(0)), "vocab_size is 0, and model.embed_tokens.weight");
    refused("llama", set("num_attention_heads", json!(3)), "does not fit what config.json says");
    refused("llama", set("hidden_size", json!("64")), "hidden_size is \"64\", and a whole number");
    refused("qwen3moe", set("num_experts", json!(9)), "experts.8.gate_proj.weight is missing");
    refused("deepseek3", set("v_head_dim", json!(63)), "does not fit what config.json says");
    refused("qwen3next", set("linear_key_head_dim", json!(31)), "does not fit what config.json");
    refused("qwen35", set("linear_key_head_dim", json!(u32::MAX)), "linear_key_head_dim is 42949");
    refused("deepseek3", set("kv_lora_rank", json!(u32::MAX)), "kv_lora_rank is 4294967295: hob");
    refused("qwen35", set("linear_num_value_heads", json!(3)), "does not fit what config.json");
    refused("phi3", set("head_dim", json!(-1)), "head_dim is -1");
}

/// The same of a folder of a model with images.
#[track_caller]
fn refused_with_images(name: &str, change: impl FnOnce(&mut TinyCheckpoint), why: &str) {
    let mut all = checkpoints_with_images().into_iter();
    let found = all.find(|(found, ..)| found == name);
    let (.., mut checkpoint) = found.expect("a fixture of this name");
    change(&mut checkpoint);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &checkpoint, 1);
    let error = look(folder.path()).expect_err(why);
    assert!(error.contains(why) && !error.contains('\n'), "{error}");
}

#[test]
fn beside_text_and_images_nothing_is_left_out() {
    let more = |name: &'static str| {
        move |it: &mut TinyCheckpoint| it.tensors.push((name.to_owned(), vec![2], vec![0.0; 2]))
    };
    for (of, name) in [
        ("gemma3", "audio_tower.weight"),
        ("gemma3", "model.layers.0.mlp.down_proj.weight"),
        ("gemma3", "language_model.model.layers.0.telepathy.weight"),
        ("mistral3", "language_model.model.layers.0.self_attn.q_proj.weight_scale"),
        ("qwen25_vl", "model.layers.9.mlp.down_proj.weight"),
        ("qwen3_vl", "visual.blocks.0.weight"),
        ("qwen35", "model.visualise.weight"),
    ] {
        refused_with_images(of, more(name), &format!("tensor {name} has no place in a "));
    }
    let twice = "model.language_model.norm.weight";
    refused_with_images("gemma3", more(twice), &format!("{twice} is there in two spellings"));
    let without = |it: &mut TinyCheckpoint| _ = it.config["text_config"].take();
    refused_with_images("gemma3", without, "text_config is missing: it says what");
    let kind =
        |it: &mut TinyCheckpoint| it.config["text_config"]["model_type"] = json!("ministral3");
    refused_with_images("mistral3", kind, "text is \"ministral3\": of a Mistral3ForConditional");
    let method = |it: &mut TinyCheckpoint| {
        it.config["quantization_config"] = json!({"quant_method": "awq"});
    };
    refused_with_images("mistral3", method, "quantised by \"awq\" cannot be run");
    let head = |it: &mut TinyCheckpoint| it.config["tie_word_embeddings"] = json!(false);
    refused_with_images("gemma3", head, "tensor lm_head.weight is missing");
}

/// A field of a fixture, by its path, with another value or without any.
fn with(path: &str, value: Option<Json>) -> impl FnOnce(&mut TinyCheckpoint) {
    move |checkpoint| {
        let (part, key) = path.rsplit_once('/').unwrap_or(("", path));
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        let fields = checkpoint.config.pointer_mut(&part).expect("a part");
        let fields = fields.as_object_mut().expect("fields");
        match value {
            Some(value) => _ = fields.insert(key.to_owned(), value),
            None => _ = fields.remove(key),
        }
    }
}

#[test]
fn rules_of_positions_are_followed_or_refused() {
    let factors = json!([1.0, 1.0]);
    let yarn = |more: (&str, Json)| {
        let mut rule =
            json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64});
        rule[more.0] = more.1;
        rule
    };
    for (name, path, value, why) in [
        ("llama", "rope_scaling", json!({"type": "su", "long_factor": factors}), "a rule \"su\""),
        ("llama", "rope_scaling/rope_type", json!("longrope"), "a rule \"longrope\" that hob"),
        ("llama", "rope_scaling/rope_type", json!("dynamic"), "a rule \"dynamic\" that hob does"),
        ("llama", "rope_scaling/type", json!("linear"), "type is \"linear\": hob does not run"),
        ("llama", "rope_scaling", json!({"factor": 8}), "rope_type is missing, and factor is"),
        ("llama", "rope_parameters", json!({"rope_theta": 1.0}), "rope_parameters are both there"),
        ("llama_tied", "rope_parameters", json!({"full_attention": {}}), "rope_parameters is {"),
        ("llama", "partial_rotary_factor", json!(0.5), "partial_rotary_factor is 0.5: hob does"),
        ("qwen35", "rope_parameters/partial_rotary_factor", json!(2), "partial_rotary_factor is 2"),
        ("llama", "rope_scaling", yarn(("mscale", json!(0.7))), "mscale is 0.7: hob does not"),
        ("llama", "rope_scaling", yarn(("mscale_all_dim", json!(1))), "mscale_all_dim is 1: hob"),
        ("llama", "rope_scaling", yarn(("truncate", json!(false))), "truncate is false: hob does"),
        ("llama", "rope_scaling", yarn(("extrapolation_factor", json!(0.5))), "factor is 0.5: hob"),
        ("gpt_oss", "rope_scaling/truncate", json!(true), "truncate is true: hob does not run"),
        ("gpt_oss", "rope_scaling", json!(null), "rope_scaling is null: hob does not run such a"),
        ("deepseek3", "rope_scaling/mscale", json!(0.1), "mscale is 0.1: hob does not run such"),
        ("deepseek3", "rope_scaling/attention_factor", json!(2), "attention_factor is 2: hob"),
        ("gemma2", "rope_scaling", json!({"type": "linear", "factor": 8}), "is \"linear\": hob"),
        ("gemma2", "rope_scaling", json!({"type": "odd"}), "rope_type is \"odd\": hob does not"),
        ("gemma2", "rope_theta", json!(1000), "rope_theta is 1000: hob does not run such a g"),
        ("phi3_long", "rope_scaling/short_mscale", json!(1.2), "short_mscale is 1.2: hob does"),
    ] {
        refused(name, with(path, Some(value)), why);
    }
    for (name, path, why) in [
        ("llama", "rope_scaling/low_freq_factor", "low_freq_factor is missing"),
        ("gpt_oss", "rope_scaling/truncate", "truncate is not there: hob does not run such a"),
        ("deepseek3", "rope_scaling/mscale", "mscale is not there: hob does not run such a"),
        ("mixtral", "rope_theta", "rope_theta is missing"),
        ("gemma3", "rope_theta", "rope_theta is missing"),
        ("phi3_long", "original_max_position_embeddings", "position_embeddings is missing"),
    ] {
        refused(name, with(path, None), why);
    }
}

#[test]
fn layers_of_both_kinds_turn_by_rules_of_their_own() {
    let parameters = |full: Json, sliding: Json| {
        move |checkpoint: &mut TinyCheckpoint| {
            let config = checkpoint.config.as_object_mut().expect("fields");
            for key in ["rope_scaling", "rope_theta", "rope_local_base_freq"] {
                config.remove(key);
            }
            let rules = json!({"full_attention": full, "sliding_attention": sliding});
            config.insert("rope_parameters".to_owned(), rules);
        }
    };
    let linear = json!({"type": "linear", "factor": 4.0, "rope_theta": 300.0});
    let usual = json!({"rope_type": "default", "rope_theta": 500.0});
    let keys = |change: &dyn Fn(&mut TinyCheckpoint)| {
        let (mut checkpoint, folder) = (tiny("gemma3"), tempfile::tempdir().expect("a folder"));
        change(&mut checkpoint);
        write(folder.path(), &checkpoint, 1);
        let file = checkpoint::open(folder.path()).expect("a sound folder");
        let rope = file.metadata().iter().filter(|(key, _)| key.contains("rope"));
        rope.map(|(key, value)| format!("{key} {value:?}")).collect::<Vec<_>>()
    };
    let newer = |it: &mut TinyCheckpoint| parameters(linear.clone(), usual.clone())(it);
    assert_eq!(keys(&newer), keys(&|_| ()));
    refused("gemma3", parameters(linear.clone(), linear.clone()), "rope_type is \"linear\": hob");
    refused("gemma3", parameters(json!({"factor": 4}), usual), "rope_type is missing");
}

#[test]
fn what_a_class_takes_for_granted_is_known_or_refused() {
    for (name, path, value, why) in [
        ("deepseek3", "rope_interleave", json!(false), "rope_interleave is false: hob does not"),
        ("deepseek3", "scoring_func", json!("softmax"), "scoring_func is \"softmax\": hob does"),
        ("deepseek3", "topk_method", json!("greedy"), "topk_method is \"greedy\": hob does not"),
        ("deepseek2", "topk_method", json!("odd"), "topk_method is \"odd\": hob does not run"),
        ("deepseek2", "n_group", json!(2), "n_group is 2: hob does not run such a deepseek2"),
        ("deepseek2", "norm_topk_prob", json!(true), "norm_topk_prob is true: hob does not run"),
        ("qwen3moe", "use_sliding_window", json!(true), "use_sliding_window is true: hob does"),
        ("smollm3", "no_rope_layers", json!([]), "no_rope_layers is []: hob does not run such"),
        ("smollm3", "no_rope_layers", json!([1, 1, 1, 0]), "no_rope_layers is [1,1,1,0]: hob"),
        ("gemma2", "layer_types/1", json!("chunked_attention"), "layer_types is [\"sliding_att"),
        ("qwen35", "layer_types/3", json!("sliding_attention"), "layer_types is [\"linear_att"),
        ("granite", "head_dim", json!(32), "head_dim is 32: hob does not run such a granite"),
    ] {
        let set = |checkpoint: &mut TinyCheckpoint| {
            match checkpoint.config.pointer_mut(&format!("/{path}")) {
                Some(field) => *field = value,
                None => checkpoint.config[path] = value,
            };
        };
        refused(name, set, why);
    }
    for (name, path, why) in [
        ("llama", "rms_norm_eps", "rms_norm_eps is missing"),
        ("deepseek3", "n_group", "n_group is missing"),
        ("deepseek3", "routed_scaling_factor", "routed_scaling_factor is missing"),
        ("qwen3moe", "norm_topk_prob", "norm_topk_prob is not there: hob does not run such a"),
        ("gemma2", "attn_logit_softcapping", "attn_logit_softcapping is missing"),
        ("gemma2", "final_logit_softcapping", "final_logit_softcapping is missing"),
        ("gemma2", "sliding_window", "sliding_window is missing"),
        ("gemma3", "sliding_window", "sliding_window is missing"),
        ("gpt_oss", "sliding_window", "sliding_window is missing"),
        ("mistral", "sliding_window", "sliding_window is not there: hob does not run such a"),
        ("granite", "attention_multiplier", "attention_multiplier is missing"),
    ] {
        refused(name, with(path, None), why);
    }
    let without_list = |it: &mut TinyCheckpoint| {
        with("no_rope_layers", None)(it);
        with("no_rope_layer_interval", Some(json!(2)))(it);
    };
    refused(
        "smollm3",
        without_list,
        "no_rope_layer_interval is 2: hob does not run such a smollm3",
    );
}

/// A key of the model that a fixture with this change is.
fn key(name: &str, change: impl FnOnce(&mut TinyCheckpoint), key: &str) -> Option<String> {
    let (mut checkpoint, folder) = (tiny(name), tempfile::tempdir().expect("a folder"));
    change(&mut checkpoint);
    write(folder.path(), &checkpoint, 1);
    let file = checkpoint::open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    file.metadata().get(key).map(|value| format!("{value:?}"))
}

#[test]
fn what_a_class_takes_for_granted_is_what_runs() {
    for (name, path, value, found, expected) in [
        ("deepseek3", "scoring_func", None, "deepseek2.expert_gating_func", Some("U32(2)")),
        ("deepseek3", "norm_topk_prob", None, "deepseek2.expert_weights_norm", Some("Bool(true)")),
        ("llama", "sliding_window", Some(json!(8)), "llama.attention.sliding_window", None),
        (
            "mistral",
            "sliding_window",
            Some(json!(8)),
            "llama.attention.sliding_window",
            Some("U32(8)"),
        ),
        ("granite", "head_dim", Some(json!(16)), "granite.attention.key_length", Some("U32(16)")),
        (
            "gemma2",
            "attn_logit_softcapping",
            Some(json!(null)),
            "gemma2.attn_logit_softcapping",
            None,
        ),
    ] {
        assert_eq!(key(name, with(path, value), found).as_deref(), expected, "{name}: {path}");
    }
}

/// The paths of all fields, those of parts too.
fn paths(config: &Json, before: &str) -> Vec<String> {
    let fields = config.as_object().into_iter().flatten();
    fields
        .flat_map(|(key, value)| {
            let path = format!("{before}/{key}");
            let mut all = paths(value, &path);
            all.push(path);
            all
        })
        .collect()
}

#[test]
fn no_field_of_a_configuration_does_harm() {
    let odd = [json!(0), json!(1), json!(7), json!(u32::MAX), json!(-3.5), json!("x"), json!([])];
    for name in ["llama", "gemma3", "phi3_long", "gpt_oss", "deepseek3", "qwen35moe"] {
        let checkpoint = tiny(name);
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &checkpoint, 1);
        let keys = paths(&checkpoint.config, "");
        for (key, value) in keys.iter().flat_map(|key| odd.iter().map(move |it| (key, it))) {
            let mut config = checkpoint.config.clone();
            *config.pointer_mut(key).expect("a field") = value.clone();
            fs::write(folder.path().join("config.json"), config.to_string()).expect("a folder");
            if let Err(error) = look(folder.path()) {
                assert!(!error.contains('\n'), "{name} with {key} = {value}: {error}");
            }
        }
    }
}

#[test]
fn no_byte_of_a_header_does_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &tiny("llama_tied"), 1);
    let path = folder.path().join("model.safetensors");
    let sound = fs::read(&path).expect("as written");
    let head =
        8 + usize::try_from(u64::from_le_bytes(sound[..8].try_into().expect("8"))).expect("");
    for at in 0..head {
        for bits in [0x01, 0x10, 0x80] {
            let mut bytes = sound.clone();
            bytes[at] ^= bits;
            fs::write(&path, bytes).expect("a folder");
            if let Err(error) = look(folder.path()) {
                assert!(!error.contains('\n'), "byte {at}: {error}");
            }
        }
    }
    fs::write(&path, &sound[..head]).expect("a folder");
    assert!(look(folder.path()).expect_err("cut").contains("and 0 are there: fetch it again"));
}

/// The folder of a model of 8 bits: one matrix of it, with its factors.
fn eight_bits(folder: &Path, factors: &[u64]) -> Result<(), String> {
    let mut checkpoint = tiny("llama_tied");
    checkpoint.config["quantization_config"] =
        json!({"quant_method": "fp8", "weight_block_size": [32, 48]});
    let name = "model.layers.1.mlp.up_proj.weight";
    checkpoint.write(folder, FormatId::BF16, 1);
    fs::write(folder.join("tokenizer.json"), TOKENIZER).expect("a folder");
    let mut tensors = Vec::new();
    for (tensor, shape, values) in &checkpoint.tensors {
        if tensor == name {
            tensors.push((&**tensor, "F8_E4M3", &**shape, vec![0x38; values.len()]));
            continue;
        }
        let mut bytes = vec![0; values.len() * 2];
        FormatId::BF16.quantize_row(values, &mut bytes);
        tensors.push((&**tensor, "BF16", &**shape, bytes));
    }
    let len: u64 = factors.iter().product();
    let bytes = (0..len).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let scales = format!("{name}_scale_inv");
    tensors.push((&*scales, "F32", factors, bytes));
    fs::write(folder.join("model.safetensors"), safetensors(&tensors)).expect("a folder");
    look(folder)
}

#[test]
fn weights_of_eight_bits_have_their_factors() {
    let folder = tempfile::tempdir().expect("a folder");
    // [96, 64] in blocks of [32, 48].
    eight_bits(folder.path(), &[3, 2]).expect("a sound folder");
    let file = checkpoint::open(folder.path()).expect("a sound folder");
    let tensor = file.tensor("blk.1.ffn_up.weight").expect("the matrix");
    assert_eq!((tensor.format, &*tensor.shape), (FormatId::BF16, &[64, 96][..]));
    let mut values = vec![0.0; 64 * 96];
    tensor.format.dequantize_row(&file.bytes(tensor), &mut values);
    let of = |row: usize, column: usize| values[row * 64 + column];
    assert_eq!([of(0, 0), of(0, 47), of(0, 48), of(31, 63)], [0.0, 0.0, 1.0, 1.0]);
    assert_eq!([of(32, 0), of(64, 0), of(95, 63)], [2.0, 4.0, 5.0]);
    let error = eight_bits(folder.path(), &[2, 2]).expect_err("too few factors");
    assert!(error.contains("is [2, 2] as F32, and [3, 2] as F32 or BF16 is wanted"), "{error}");
}
