//! Checkpoints whose sizes are published, tensor by tensor; and forms that few files have.

use super::{Checkpoint, StoredTensor};
use crate::facts::Role;
use crate::{
    Adapter, AdapterTensor, FileType, Mixer, ModelConfig, Subject, TensorGroup, find_model,
};

/// Tensors in the making.
#[derive(Default)]
struct Files {
    tensors: Vec<(String, &'static str, Vec<u64>)>,
}

impl Files {
    fn add(&mut self, name: &str, dtype: &'static str, shape: &[u64]) {
        self.tensors.push((name.to_owned(), dtype, shape.to_vec()));
    }

    fn bytes(dtype: &str, shape: &[u64]) -> u64 {
        let each = match dtype {
            "U8" | "F8_E4M3" => 1,
            "F32" | "I32" => 4,
            _ => 2,
        };
        each * shape.iter().product::<u64>()
    }

    fn checkpoint(&self, config: &str) -> Result<Checkpoint, String> {
        let stored: Vec<StoredTensor<'_>> = self
            .tensors
            .iter()
            .map(|(name, dtype, shape)| StoredTensor {
                name,
                dtype,
                shape,
                bytes: Files::bytes(dtype, shape),
            })
            .collect();
        let config: ModelConfig = toml::from_str(&config.replace("; ", "\n")).unwrap();
        Checkpoint::new("it", &config, &stored).map_err(|error| error.to_string())
    }

    /// A model like Llama's, of `[layers, width, heads, kv_heads, head_dim, ffn, vocabulary]`.
    fn llama([layers, d, heads, kv, head, ffn, vocabulary]: [u64; 7]) -> (Files, String) {
        let mut files = Files::default();
        files.add("model.embed_tokens.weight", "BF16", &[vocabulary, d]);
        files.add("lm_head.weight", "BF16", &[vocabulary, d]);
        files.add("model.norm.weight", "BF16", &[d]);
        for layer in 0..layers {
            let mut add = |name: &str, shape: &[u64]| {
                files.add(&format!("model.layers.{layer}.{name}.weight"), "BF16", shape);
            };
            add("self_attn.q_proj", &[heads * head, d]);
            add("self_attn.k_proj", &[kv * head, d]);
            add("self_attn.v_proj", &[kv * head, d]);
            add("self_attn.o_proj", &[d, heads * head]);
            add("mlp.gate_proj", &[ffn, d]);
            add("mlp.up_proj", &[ffn, d]);
            add("mlp.down_proj", &[d, ffn]);
            add("input_layernorm", &[d]);
            add("post_attention_layernorm", &[d]);
        }
        let config = format!(
            "model_type = 'llama'; num_hidden_layers = {layers}; hidden_size = {d}; \
             num_attention_heads = {heads}; num_key_value_heads = {kv}; \
             intermediate_size = {ffn}; max_position_embeddings = 131072"
        );
        (files, config)
    }
}

const LLAMA_8B: [u64; 7] = [32, 4096, 32, 8, 128, 14336, 128_256];

#[test]
fn a_checkpoint_takes_the_bytes_that_its_index_says() {
    let (files, config) = Files::llama(LLAMA_8B);
    let found = files.checkpoint(&config).unwrap();
    // `total_size` of the published index.
    assert_eq!(found.stored.weights.total_bytes, 16_060_522_496);
    assert_eq!(found.stored.quant, "BF16");
    assert_eq!((found.architecture.as_str(), found.kv_heads), ("llama", 8));
    let table = Subject::of_row(find_model("Llama-3.1-8B").unwrap());
    assert_eq!(found.facts.mixers, table.facts.mixers);
    let (as_it_is, quantised) = Subject::of_checkpoint(found);
    assert_eq!((as_it_is.file_quant(), quantised.file_quant()), (Some("BF16"), None));
    for file_type in [FileType::Q4KM, FileType::Q8_0, FileType::IQ3XXS] {
        let (ours, row) = (quantised.weights(file_type.into()), table.weights(file_type.into()));
        let off = ours.total_bytes as f64 / row.total_bytes as f64 - 1.0;
        assert!(off.abs() < 0.001, "{}: {off}", file_type.name());
    }
}

/// gpt-oss-20b, whose published index says 13,761,264,768 bytes.
#[test]
fn blocks_of_mxfp4_are_counted_with_their_scales() {
    let mut files = Files::default();
    let (d, vocabulary) = (2880, 201_088);
    files.add("model.embed_tokens.weight", "BF16", &[vocabulary, d]);
    files.add("lm_head.weight", "BF16", &[vocabulary, d]);
    files.add("model.norm.weight", "BF16", &[d]);
    for layer in 0..24 {
        let mut add = |name: &str, dtype, shape: &[u64]| {
            files.add(&format!("model.layers.{layer}.{name}"), dtype, shape);
        };
        for (name, rows, columns) in [("q", 4096, d), ("k", 512, d), ("v", 512, d), ("o", d, 4096)]
        {
            add(&format!("self_attn.{name}_proj.weight"), "BF16", &[rows, columns]);
            add(&format!("self_attn.{name}_proj.bias"), "BF16", &[rows]);
        }
        add("self_attn.sinks", "BF16", &[64]);
        add("input_layernorm.weight", "BF16", &[d]);
        add("post_attention_layernorm.weight", "BF16", &[d]);
        add("mlp.router.weight", "BF16", &[32, d]);
        add("mlp.router.bias", "BF16", &[32]);
        for (name, rows) in [("gate_up", 5760), ("down", d)] {
            add(&format!("mlp.experts.{name}_proj_scales"), "U8", &[32, rows, 90]);
            add(&format!("mlp.experts.{name}_proj_blocks"), "U8", &[32, rows, 90, 16]);
            add(&format!("mlp.experts.{name}_proj_bias"), "BF16", &[32, rows]);
        }
    }
    let kinds = ["'sliding_attention'", "'full_attention'"].repeat(12).join(", ");
    let config = format!(
        "model_type = 'gpt_oss'; num_hidden_layers = 24; hidden_size = 2880; head_dim = 64; \
         num_attention_heads = 64; intermediate_size = 2880; max_position_embeddings = 131072; \
         sliding_window = 128; num_local_experts = 32; num_experts_per_tok = 4; \
         layer_types = [{kinds}]"
    );
    let found = files.checkpoint(&config).unwrap();
    assert_eq!(found.stored.weights.total_bytes, 13_761_264_768);
    assert_eq!(found.stored.quant, "MXFP4");
    let window = Mixer::Window { values: 1024, length: 128 };
    assert_eq!(found.facts.mixers.iter().map(|it| it.layers).collect::<Vec<_>>(), [12, 12]);
    assert!(found.facts.mixers.iter().any(|group| group.mixer == window));
    // 20.9 billion weights, 3.6 of them for each token: published.
    let count: u64 = found.facts.tensors.iter().map(TensorGroup::elements).sum();
    assert_eq!(count, 20_914_757_184);
    let active = found.stored.weights.active_count(&found.facts);
    assert!((3.5e9..3.7e9).contains(&(active as f64)), "{active}");
    let table = Subject::of_row(find_model("gpt-oss-20b").unwrap());
    let (_, quantised) = Subject::of_checkpoint(found);
    let mxfp4 = FileType::MXFP4Moe.into();
    let off = quantised.weights(mxfp4).total_bytes as f64 / table.weights(mxfp4).total_bytes as f64;
    assert!((off - 1.0).abs() < 0.002, "{off}");
}

#[test]
fn scales_of_fp8_add_bytes_and_no_weights() {
    let (mut files, config) = Files::llama([2, 256, 4, 2, 64, 512, 1000]);
    let plain = files.checkpoint(&config).unwrap();
    for (name, dtype, shape) in &mut files.tensors {
        if name.contains("_proj") {
            (*dtype, *shape) = ("F8_E4M3", shape.clone());
        }
    }
    let matrices: Vec<String> = files
        .tensors
        .iter()
        .filter(|tensor| tensor.1 == "F8_E4M3")
        .map(|tensor| tensor.0.clone())
        .collect();
    for name in &matrices {
        files.add(&format!("{name}_scale_inv"), "F32", &[2, 2]);
    }
    let found = files.checkpoint(&config).unwrap();
    assert_eq!(found.stored.quant, "FP8");
    assert_eq!(found.facts, plain.facts);
    let scales = 16 * matrices.len() as u64;
    let layers = plain.stored.weights.total_bytes - 2 * 1000 * 256 * 2 - 5 * 512;
    assert_eq!(
        found.stored.weights.total_bytes,
        plain.stored.weights.total_bytes - layers / 2 + scales
    );
}

#[test]
fn towers_and_further_tokens_are_apart() {
    let (mut files, config) = Files::llama([2, 256, 4, 2, 64, 512, 1000]);
    let plain = files.checkpoint(&config).unwrap();
    files.add("vision_tower.encoder.layers.0.mlp.fc1.weight", "BF16", &[100, 10]);
    files.add("model.layers.2.mlp.up_proj.weight", "BF16", &[512, 256]);
    let found = files.checkpoint(&config).unwrap();
    assert_eq!(found.projector.as_ref().map(|it| it.weights_bytes), Some(2000));
    let (more, less) = (found.stored.weights, plain.stored.weights);
    assert_eq!(more.total_bytes - less.total_bytes, 2 * 512 * 256);
    assert_eq!(more.read_bytes(&found.facts), less.read_bytes(&plain.facts));
    assert_eq!(more.active_count(&found.facts), less.active_count(&plain.facts));
}

#[test]
fn experts_one_by_one_or_together_are_the_same() {
    let (mut files, config) = Files::llama([1, 256, 4, 2, 64, 512, 1000]);
    let config = config.replace("'llama'", "'qwen3_moe'")
        + "; num_experts = 4; num_experts_per_tok = 2; moe_intermediate_size = 64";
    files.tensors.retain(|tensor| !tensor.0.contains(".mlp."));
    let prefix = "model.layers.0.mlp.experts";
    let mut together = Files { tensors: files.tensors.clone() };
    let mut turned = Files { tensors: files.tensors.clone() };
    for expert in 0..4 {
        files.add(&format!("{prefix}.{expert}.gate_proj.weight"), "BF16", &[64, 256]);
        files.add(&format!("{prefix}.{expert}.up_proj.weight"), "BF16", &[64, 256]);
        files.add(&format!("{prefix}.{expert}.down_proj.weight"), "BF16", &[256, 64]);
    }
    together.add(&format!("{prefix}.gate_up_proj"), "BF16", &[4, 128, 256]);
    together.add(&format!("{prefix}.down_proj"), "BF16", &[4, 256, 64]);
    turned.add(&format!("{prefix}.gate_up_proj"), "BF16", &[4, 256, 128]);
    turned.add(&format!("{prefix}.down_proj"), "BF16", &[4, 64, 256]);
    let expected = files.checkpoint(&config).unwrap();
    let gate = TensorGroup { role: Role::ExpertsGate, layer: Some(0), columns: 256, rows: 256 };
    assert!(expected.facts.tensors.contains(&gate));
    for other in [together, turned] {
        let found = other.checkpoint(&config).unwrap();
        assert_eq!(
            (found.facts, found.stored.weights),
            (expected.facts.clone(), expected.stored.weights)
        );
    }
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let (mut files, config) = Files::llama([2, 256, 4, 2, 64, 512, 1000]);
    let short = config.replace("num_hidden_layers = 2", "num_hidden_layers = 3");
    let error = files.checkpoint(&short).unwrap_err();
    assert!(error.contains("says 3 layers, and there is no tensor of the last"), "{error}");
    files.add("model.layers.0.mlp.up_proj.qweight", "I32", &[64, 256]);
    let error = files.checkpoint(&config).unwrap_err();
    assert!(error.contains("model.layers.0.mlp.up_proj.qweight is packed as I32"), "{error}");
}

/// What PEFT prints for these: 41,943,040 weights learn with rank 16 beside every matrix, 3,407,872
/// with rank 8 beside queries and values.
#[test]
fn adapters_of_a_rank() {
    let subject = Subject::of_row(find_model("Llama-3.1-8B").unwrap());
    let of = |rank, targets: &[&str]| Adapter::of_rank(rank, targets, &subject.facts);
    let all = of(16, &[]).unwrap();
    assert_eq!((all.count, all.bytes), (41_943_040, 83_886_080));
    assert_eq!(of(8, &["q_proj", "v_proj"]).unwrap().count, 3_407_872);
    assert_eq!(of(8, &["attn_q", "attn_v"]).unwrap().count, 3_407_872);
    let error = of(8, &["lm_head"]).unwrap_err().to_string();
    assert!(error.starts_with("Llama-3.1-8B has no matrix called lm_head"), "{error}");
    assert!(of(0, &[]).is_err() && of(1 << 40, &[]).is_err());
}

#[test]
fn adapters_by_their_tensors() {
    let (files, config) = Files::llama(LLAMA_8B);
    let facts = files.checkpoint(&config).unwrap().facts;
    let of = |tensors: &[(&str, [u64; 2])]| {
        let tensors: Vec<AdapterTensor<'_>> = tensors
            .iter()
            .map(|(name, shape)| AdapterTensor {
                name,
                shape: *shape,
                bytes: 2 * shape[0] * shape[1],
            })
            .collect();
        Adapter::of_tensors("it", &tensors, &facts).map_err(|error| error.to_string())
    };
    let peft = "base_model.model.model.layers.31.self_attn.k_proj";
    let (a, b) = (format!("{peft}.lora_A.weight"), format!("{peft}.lora_B.weight"));
    let found = of(&[(&a, [16, 4096]), (&b, [1024, 16])]).unwrap();
    assert_eq!((found.bytes, found.count), (2 * 16 * 5120, 16 * 5120));
    let gguf = of(&[
        ("blk.0.attn_k.weight.lora_a", [16, 4096]),
        ("blk.0.attn_k.weight.lora_b", [1024, 16]),
    ]);
    assert_eq!(gguf.unwrap().bytes, found.bytes);
    let error = of(&[(&a, [16, 5120])]).unwrap_err();
    assert!(error.contains("5120 columns, and it has 4096 there"), "{error}");
    let error = of(&[("blk.32.attn_k.weight.lora_a", [16, 4096])]).unwrap_err();
    assert!(error.contains("no such matrix: it was made for another model"), "{error}");
    assert!(of(&[("blk.0.attn_k.weight", [16, 4096])]).unwrap_err().contains("no LoRA adapter"));
}
