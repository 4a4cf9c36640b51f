//! Adapters in PEFT's form: what they add is what merged weights of the folder have; and what is
//! refused.

mod loaded;

use std::path::Path;

use gguf::GgufFile;
use model::{AdapterFile, AdapterScale, Model};
use quant::FormatId;
use serde_json::{Value as Json, json};
use tensor::{Batch, Span};
use testkit::{ReferenceModel, TinyCheckpoint, reference_models, rng, safetensors};

use crate::loaded::load;

/// Name, shape slowest first, values.
type Tensor = (String, Vec<u64>, Vec<f32>);

/// Largest error of a logit, as a part of the largest.
const TOLERANCE: f32 = 1e-5;
const ALPHA: f64 = 6.0;
/// Of queries.
const ALPHA_QUERY: f64 = 3.0;

fn config() -> Json {
    json!({
        "peft_type": "LORA", "base_model_name_or_path": "tiny", "bias": "none", "r": 3,
        "lora_alpha": ALPHA, "use_rslora": false, "use_dora": false,
        "alpha_pattern": { "q_proj": ALPHA_QUERY }, "rank_pattern": { "k_proj": 2 },
        "init_lora_weights": true, "fan_in_fan_out": false, "target_modules": ["q_proj"],
        "modules_to_save": null, "task_type": "CAUSAL_LM", "layer_replication": null,
    })
}

fn write(folder: &Path, config: &Json, tensors: &[Tensor]) {
    let stored = tensors.iter().map(|(name, shape, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (&**name, "F32", &**shape, bytes)
    });
    let file = safetensors(&stored.collect::<Vec<_>>());
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).expect("a folder");
    std::fs::write(folder.join("adapter_model.safetensors"), file).expect("a folder");
}

/// A random pair beside a matrix.
fn pair((name, shape, _): &Tensor) -> [Tensor; 2] {
    let module = name.strip_suffix(".weight").expect("a matrix");
    let rank = if module.ends_with("k_proj") { 2 } else { 3 };
    let mut rng = rng(name.len() as u64);
    let mut part = |part: &str, rows: u64, columns: u64| {
        let scale = 1.0 / (columns as f32).sqrt();
        let values = (0..rows * columns).map(|_| rng.f32() * scale).collect();
        (format!("base_model.model.{module}.{part}.weight"), vec![rows, columns], values)
    };
    [part("lora_A", rank, shape[1]), part("lora_B", shape[0], rank)]
}

/// `weights += scale * b * a`.
fn merge((_, shape, weights): &mut Tensor, [a, b]: &[Tensor; 2], scale: f64) {
    let (columns, rank) = (shape[1] as usize, a.1[0] as usize);
    for (i, value) in weights.iter_mut().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let product =
            |r: usize| f64::from(b.2[row * rank + r]) * f64::from(a.2[r * columns + column]);
        let sum: f64 = (0..rank).map(product).sum();
        *value = (f64::from(*value) + scale * sum) as f32;
    }
}

fn open_base(folder: &Path, checkpoint: &TinyCheckpoint) -> GgufFile {
    checkpoint.write(folder, FormatId::F32, 1);
    let tokenizer = r#"{"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[]}"#;
    std::fs::write(folder.join("tokenizer.json"), tokenizer).expect("a folder");
    checkpoint::open(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn logits(loaded: &mut Model, tokens: &[u32], scales: &[AdapterScale]) -> Vec<f32> {
    let spans = [Span { rows: tokens.len(), first_position: 0, pages: &[0], state: 0 }];
    let rows: Vec<u32> = (0..).take(tokens.len()).collect();
    let (batch, mut found) = (Batch::decode(tokens, &spans), Vec::new());
    loaded.forward_adapted((&batch, &[]), &[scales], &rows, &mut found).expect("a sound step");
    found
}

fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Opens it and loads it beside the base, or says why not.
fn try_load(folder: &Path, base: &GgufFile, loaded: &mut Model) -> Result<(), String> {
    assert!(checkpoint::is_adapter(folder));
    let opened = checkpoint::open_adapter(folder, base.metadata());
    let file = opened.map_err(|error| error.to_string())?;
    let adapters = [AdapterFile { name: "tiny", file: &file }];
    loaded.load_adapters(&adapters).map_err(|error| error.to_string())
}

/// Beside all matrices that can be adapted at once; the names of the others.
fn check(model: &ReferenceModel, checkpoint: &TinyCheckpoint, by_root: bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let base = open_base(folder.path(), checkpoint);
    let mut loaded = load(model, &base);
    let mut config = config();
    config["use_rslora"] = by_root.into();
    let (mut pairs, mut merged, mut refused) = (Vec::new(), checkpoint.clone(), Vec::new());
    for (i, tensor) in checkpoint.tensors.iter().enumerate() {
        if tensor.1.len() != 2 || !tensor.0.ends_with(".weight") {
            continue;
        }
        let pair = pair(tensor);
        write(folder.path(), &config, &pair);
        if let Err(said) = try_load(folder.path(), &base, &mut loaded) {
            assert!(!said.contains('\n'), "{said}");
            refused.push(tensor.0.clone());
            continue;
        }
        let is_query = tensor.0.ends_with(".q_proj.weight");
        let (alpha, rank) = (if is_query { ALPHA_QUERY } else { ALPHA }, pair[0].1[0] as f64);
        let scale = alpha / if by_root { rank.sqrt() } else { rank };
        merge(&mut merged.tensors[i], &pair, scale);
        pairs.extend(pair);
    }
    write(folder.path(), &config, &pairs);
    try_load(folder.path(), &base, &mut loaded).unwrap_or_else(|said| panic!("{said}"));
    let plain = logits(&mut loaded, &model.tokens, &[]);
    let all = [AdapterScale { adapter: 0, scale: 1.0 }];
    let found = logits(&mut loaded, &model.tokens, &all);
    let other = tempfile::tempdir().expect("a folder");
    let merged = open_base(other.path(), &merged);
    let expected = logits(&mut load(model, &merged), &model.tokens, &[]);
    let apart = |a: &[f32], b: &[f32]| largest(a.iter().zip(b).map(|(a, b)| a - b));
    let (off, moved) = (apart(&found, &expected), apart(&found, &plain));
    let whole = largest(expected.iter().copied());
    assert!(off <= TOLERANCE * whole, "{}: {off:e} of {whole:e}", model.name);
    assert!(moved > 1e3 * off, "{}: moved {moved:e}, off {off:e}", model.name);
    refused
}

#[test]
fn what_they_add_is_what_merged_folders_have() {
    let mut refused = Vec::new();
    for (i, model) in reference_models().into_iter().enumerate() {
        let Some(checkpoint) = model.checkpoint() else { continue };
        let names = check(&model, &checkpoint, i % 2 == 1);
        // Of a tensor's name what is the same in all layers and experts.
        let is_word = |part: &&str| part.parse::<u32>().is_err() && *part != "weight";
        let words = |name: &String| {
            let words: Vec<&str> = name.split('.').filter(is_word).collect();
            words.join(".").trim_start_matches("model.layers.").to_owned()
        };
        refused.extend(names.iter().map(words));
    }
    refused.sort();
    refused.dedup();
    // What no block adapts, and what GGUF has in another order than pairs can be put in.
    let expected = [
        "block_sparse_moe.experts.w1",
        "block_sparse_moe.experts.w2",
        "block_sparse_moe.experts.w3",
        "linear_attn.in_proj_a",
        "linear_attn.in_proj_b",
        "linear_attn.in_proj_ba",
        "linear_attn.in_proj_qkv",
        "linear_attn.in_proj_qkvz",
        "linear_attn.in_proj_z",
        "linear_attn.out_proj",
        "mlp.experts.down_proj",
        "mlp.experts.gate_proj",
        "mlp.experts.up_proj",
        "mlp.shared_expert_gate",
        "model.embed_tokens",
        "self_attn.kv_b_proj",
        "shared_mlp.input_linear",
    ];
    assert_eq!(refused, expected);
}

/// A llama, a pair beside one matrix of it, and what is said when one thing is otherwise.
fn refusal(change: impl FnOnce(&mut Json, &mut Vec<Tensor>)) -> Result<(), String> {
    let mut models = reference_models().into_iter();
    let model = models.find(|model| model.name == "llama").expect("its fixture");
    let checkpoint = model.checkpoint().expect("its folder");
    let folder = tempfile::tempdir().expect("a folder");
    let base = open_base(folder.path(), &checkpoint);
    let is_query = |tensor: &&Tensor| tensor.0 == "model.layers.1.self_attn.q_proj.weight";
    let mut tensors = pair(checkpoint.tensors.iter().find(is_query).expect("it")).to_vec();
    let mut config = config();
    change(&mut config, &mut tensors);
    write(folder.path(), &config, &tensors);
    let said = try_load(folder.path(), &base, &mut load(&model, &base));
    // What comes before is the path of the folder.
    said.map_err(|said| said.split(": ").skip(1).collect::<Vec<_>>().join(": "))
}

#[test]
fn what_is_more_than_a_plain_pair_is_refused() {
    let field = |key: &str, value: Json| refusal(|config, _| config[key] = value).expect_err(key);
    assert_eq!(refusal(|_, _| ()), Ok(()));
    assert_eq!(field("peft_type", json!("IA3")), "peft_type is IA3: only LORA is known");
    assert!(!field("peft_type", json!("I\u{1b}[31mA3")).contains('\u{1b}'));
    assert_eq!(field("use_dora", json!(true)), "use_dora is not known here: only plain LoRA is");
    assert_eq!(field("bias", json!("all")), "bias is not known here: only plain LoRA is");
    assert!(field("layer_replication", json!([[0, 1]])).starts_with("layer_replication is not"));
    assert!(field("init_lora_weights", json!("pissa_niter_4")).contains("is pissa_niter_4:"));
    assert_eq!(field("lora_alpha", json!(null)), "lora_alpha is missing");
    assert_eq!(field("lora_alpha", json!("6")), "lora_alpha is \"6\", and a number is wanted");
    let pattern = field("alpha_pattern", json!({ "layers\\.[01]\\.q_proj": 3 }));
    assert_eq!(
        pattern,
        "alpha_pattern has the expression \"layers\\\\.[01]\\\\.q_proj\": give names"
    );
    let more = |name: &str, shape: [u64; 2]| {
        let name = format!("base_model.model.{name}");
        let values = vec![0.0; (shape[0] * shape[1]) as usize];
        refusal(|_, tensors| tensors.push((name, shape.to_vec(), values))).expect_err("refused")
    };
    let of_norm = more("model.layers.0.input_layernorm.weight", [1, 64]);
    assert!(of_norm.contains("model.layers.0.input_layernorm.weight cannot be applied to a llama"));
    let of_dora = more("model.layers.1.self_attn.q_proj.lora_magnitude_vector", [1, 64]);
    assert!(of_dora.contains("lora_magnitude_vector cannot be applied"), "{of_dora}");
    let alone = more("model.layers.0.self_attn.q_proj.lora_A.weight", [3, 64]);
    assert_eq!(alone, "of model.layers.0.self_attn.q_proj only one of lora_A and lora_B is there");
    let beyond = more("model.layers.9.self_attn.q_proj.lora_A.weight", [3, 64]);
    assert!(beyond.contains("layers.9.self_attn.q_proj.lora_A.weight cannot be applied"));
    let of_experts = refusal(|_, tensors| {
        for (name, ..) in tensors {
            *name = name.replace("self_attn.q_proj", "block_sparse_moe.experts.0.w1");
        }
    });
    assert!(of_experts.expect_err("refused").contains("experts.0.w1.lora_A.weight cannot be"));
    let ragged = refusal(|_, tensors| tensors[0].1.reverse()).expect_err("refused");
    assert!(ragged.contains("lora_A is") && ragged.contains("and lora_B is"), "{ragged}");
}

/// Beside the model of text in one that knows images too, whose modules are a level further down.
#[test]
fn names_of_a_language_model_are_those_of_text_alone() {
    let named = |begin: &str| {
        let own = begin.to_owned();
        refusal(move |config, tensors| {
            let full = format!("{own}layers.1.self_attn.q_proj");
            config["alpha_pattern"] = json!({ full: 3 });
            for (name, ..) in tensors {
                *name = name.replace("model.model.layers.", &format!("model.{own}layers."));
            }
        })
    };
    for begin in ["model.", "model.language_model.", "language_model.model."] {
        assert_eq!(named(begin), Ok(()), "{begin}");
    }
    for begin in ["model.visual.", "model.vision_tower.", "language_model."] {
        let said = named(begin).expect_err(begin);
        let name = format!("tensor base_model.model.{begin}layers.1.self_attn.q_proj.lora_A");
        assert!(said.starts_with(&name) && said.contains("cannot be applied to a llama"), "{said}");
    }
    let twice = refusal(|_, tensors| {
        let (name, shape, values) = tensors[0].clone();
        let name = name.replace("model.model.layers.", "model.model.language_model.layers.");
        tensors.push((name, shape, values));
    });
    assert!(twice.expect_err("twice").contains("is there in two spellings"));
}

#[test]
fn a_folder_without_tensors_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(!checkpoint::is_adapter(folder.path()));
    std::fs::write(folder.path().join("adapter_config.json"), config().to_string()).expect("it");
    assert!(checkpoint::is_adapter(folder.path()));
    let opened = checkpoint::open_adapter(folder.path(), &gguf::Metadata::new());
    let said = opened.err().expect("it has none").to_string();
    assert!(said.contains("adapter_model.safetensors: there is no such file"), "{said}");
}
