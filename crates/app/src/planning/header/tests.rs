//! Tiny files of kinds that hob cannot run: what their layers keep, by their headers.

use gguf::{Array, Value, Writer};
use planner::{KvType, Mixer, MixerGroup, ModelFacts};
use quant::FormatId;

use super::{Headers, projector, subject};

/// A file of an architecture with these numbers below it, and a matrix of each name.
fn file(architecture: &str, numbers: &[(&str, u32)], matrices: &[&str]) -> Writer {
    let mut writer = Writer::new();
    writer.metadata("general.architecture", Value::String(architecture.to_owned()));
    for (key, number) in numbers {
        writer.metadata(&format!("{architecture}.{key}"), Value::U32(*number));
    }
    for name in matrices {
        writer.tensor(name, &[4, 2], FormatId::F32, vec![0; 32]);
    }
    writer
}

fn header(writer: &Writer) -> gguf::Header {
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    gguf::parse(&bytes, bytes.len() as u64).unwrap()
}

fn facts(writer: &Writer) -> ModelFacts {
    subject(&Headers::of_header(&header(writer)), "it").unwrap().0
}

#[track_caller]
fn check(writer: &Writer, expected: &[(u64, Mixer)]) {
    let expected: Vec<MixerGroup> = expected
        .iter()
        .map(|(layers, mixer)| MixerGroup { layers: *layers, mixer: *mixer })
        .collect();
    assert_eq!(facts(writer).mixers, expected);
}

/// Six layers of four query heads and two of keys and values, each of 32 values.
const HEADS: &[(&str, u32)] = &[
    ("block_count", 6),
    ("embedding_length", 64),
    ("attention.head_count", 4),
    ("attention.head_count_kv", 2),
    ("attention.key_length", 32),
    ("attention.value_length", 32),
];

fn with(numbers: &[(&'static str, u32)]) -> Vec<(&'static str, u32)> {
    HEADS.iter().chain(numbers).copied().collect()
}

#[test]
fn windows_are_all_layers_but_the_last_of_a_period() {
    let (window, full) = (Mixer::Window { values: 128, length: 16 }, Mixer::Full { values: 128 });
    let sliding = with(&[("attention.sliding_window", 16)]);
    check(&file("gemma3", &sliding, &[]), &[(5, window), (1, full)]);
    check(&file("gemma2", &sliding, &[]), &[(3, window), (3, full)]);
    check(&file("gpt-oss", &sliding, &[]), &[(3, window), (3, full)]);
    // Of a kind that nothing is known of, all layers count as seeing everything.
    check(&file("novel", &sliding, &[]), &[(6, full)]);
}

#[test]
fn latent_attention_keeps_one_vector() {
    let latent = with(&[("attention.kv_lora_rank", 512), ("rope.dimension_count", 64)]);
    let facts = facts(&file("deepseek2", &latent, &["blk.0.attn_kv_a_mqa.weight"]));
    assert_eq!(facts.mixers, [MixerGroup { layers: 6, mixer: Mixer::Full { values: 576 } }]);
    // 1,152 bytes a layer and token, as the KV table has it for DeepSeek's 61.
    assert_eq!(facts.kv_bytes_per_token(KvType::F16), 6 * 1152);
}

#[test]
fn recurrent_layers_keep_a_state() {
    // Qwen3-Next's: 75.4 MiB in 36 layers, as the KV table has it.
    let state = Mixer::Recurrent { state_bytes: 2_195_456 };
    let delta = with(&[
        ("full_attention_interval", 3),
        ("ssm.inner_size", 4096),
        ("ssm.state_size", 128),
        ("ssm.group_count", 16),
        ("ssm.conv_kernel", 4),
    ]);
    check(&file("qwen3next", &delta, &[]), &[(4, state), (2, Mixer::Full { values: 128 })]);
    // Granite-4.0-H-Small's: 147.5 MiB in 36 layers; the layers say one by one what they are.
    let mamba = with(&[
        ("ssm.inner_size", 8192),
        ("ssm.state_size", 128),
        ("ssm.group_count", 1),
        ("ssm.conv_kernel", 4),
    ]);
    let mut writer = file("granitehybrid", &mamba, &[]);
    let kv_heads = Value::Array(Array::I32(vec![0, 0, 2, 0, 0, 2]));
    writer.metadata("granitehybrid.attention.head_count_kv", kv_heads);
    let state = Mixer::Recurrent { state_bytes: 4_295_680 };
    check(&writer, &[(4, state), (2, Mixer::Full { values: 128 })]);
}

#[test]
fn numbers_without_measure_do_no_harm() {
    let most = u32::MAX;
    let numbers: Vec<(&str, u32)> = HEADS.iter().map(|(key, _)| (*key, most)).skip(1).collect();
    let mut numbers = numbers;
    numbers.push(("block_count", 2));
    let facts = facts(&file("llama", &numbers, &[]));
    assert_eq!(facts.kv_bytes(KvType::F16, u64::MAX), u64::MAX);
}

/// Gemma 3's tower: 4096 patches.
#[test]
fn projectors_by_their_headers() {
    let tower = [
        ("vision.image_size", 896),
        ("vision.patch_size", 14),
        ("vision.embedding_length", 1152),
        ("vision.feed_forward_length", 4304),
        ("vision.attention.head_count", 16),
    ];
    let read = |writer: &Writer| projector(&Headers::of_header(&header(writer)), "mmproj.gguf");
    let found = read(&file("clip", &tower, &["v.blk.0.attn_q.weight", "mm.0.weight"])).unwrap();
    assert_eq!(found.weights_bytes, 64);
    assert_eq!(found.working_bytes, 4096 * (4304 + 3 * 1152) * 4);
    // With a gate, and with images of any size: the most tokens of four patches each.
    let mut gated = file("clip", &tower, &["v.blk.0.ffn_gate.weight"]);
    gated.metadata("clip.projector_type", Value::String("qwen2.5vl_merger".to_owned()));
    let found = read(&gated).unwrap();
    assert_eq!(found.working_bytes, 4 * 4096 * (2 * 4304 + 8 * 1152) * 4);
    let error = read(&file("llama", &[], &["w"])).unwrap_err().to_string();
    assert_eq!(error, "mmproj.gguf is no projector: its architecture is llama, not clip");
}
