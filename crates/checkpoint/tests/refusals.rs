//! Folders that lack something, that hob does not know, and that mean harm: each is answered by
//! one line, and none by a panic.

use std::fs;
use std::path::Path;

use quant::FormatId;
use serde_json::{Value as Json, json};
use testkit::{TinyCheckpoint, reference_models, safetensors};

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
    let fp8 = json!({"quant_method": "fp8"});
    refused("llama", set("quantization_config", fp8), "weight_block_size must be two sizes");
    let windows = |it: &mut TinyCheckpoint| {
        it.config["use_sliding_window"] = json!(true);
        it.config["max_window_layers"] = json!(1);
    };
    refused("qwen2", windows, "use_sliding_window: hob does not run such a qwen2");
    refused("qwen3moe", set("norm_topk_prob", json!(false)), "norm_topk_prob: hob does not run");
    refused("gpt_oss", set("swiglu_limit", json!(8.0)), "swiglu_limit: hob does not run such");
    refused("gemma2", set("query_pre_attn_scalar", json!(99)), "query_pre_attn_scalar: hob does");
    let more = |it: &mut TinyCheckpoint| {
        it.tensors.push(("model.layers.0.telepathy.weight".to_owned(), vec![2], vec![0.0; 2]));
    };
    refused("llama", more, "tensor model.layers.0.telepathy.weight has no place in a llama");
    // Layers beyond the last are no part of a model either, save where they guess further tokens.
    refused("llama", set("num_hidden_layers", json!(1)), "model.layers.1.");
}

#[test]
fn numbers_that_lie_are_refused() {
    refused("llama", set("num_hidden_layers", json!(1_u64 << 40)), "num_hidden_layers is 10995");
    refused("llama", set("num_attention_heads", json!(3)), "does not fit what config.json says");
    refused("llama", set("hidden_size", json!("64")), "hidden_size is \"64\", and a whole number");
    refused("qwen3moe", set("num_experts", json!(9)), "experts.8.gate_proj.weight is missing");
    refused("deepseek3", set("v_head_dim", json!(63)), "does not fit what config.json says");
    refused("qwen3next", set("linear_key_head_dim", json!(31)), "does not fit what config.json");
    refused("qwen35", set("linear_num_value_heads", json!(3)), "does not fit what config.json");
    refused("phi3", set("head_dim", json!(-1)), "head_dim is -1");
}

#[test]
fn no_field_of_a_configuration_does_harm() {
    let odd = [json!(0), json!(1), json!(7), json!(u32::MAX), json!(-3.5), json!("x"), json!([])];
    for name in ["llama", "gemma3", "phi3_long", "gpt_oss", "deepseek3", "qwen35moe"] {
        let checkpoint = tiny(name);
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &checkpoint, 1);
        let keys: Vec<String> =
            checkpoint.config.as_object().expect("fields").keys().cloned().collect();
        for (key, value) in keys.iter().flat_map(|key| odd.iter().map(move |it| (key, it))) {
            let mut config = checkpoint.config.clone();
            config[key] = value.clone();
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
