//! Plans of files that are here: checkpoints by their headers, and the loader's own word.

use std::path::Path;

use planner::{Engine, KvType, Mixer, MixerGroup, Quantisation, Wish};
use testkit::TinyModel;

use super::{Loaded, PlannedModel};
use crate::{App, Config, LoadOptions, ModelRef};

fn app(home: &Path) -> App {
    App::new(Config::alone(home.to_owned())).unwrap()
}

fn tiny(home: &Path) -> (App, PlannedModel) {
    let path = home.join("tiny.gguf");
    TinyModel::default().write(&path);
    let app = app(home);
    let model = app.plan_model(path.to_str().unwrap()).unwrap();
    (app, model)
}

fn wish(context: u64, users: u64) -> Wish {
    let quantisation = Quantisation::from_name("Q8_0").unwrap();
    Wish { context, users, kv: KvType::F16, quantisation, engine: Engine::Plain }
}

/// A name is the same model planned as fetched: its bytes and mix, and the row that articles and
/// claims are read with.
#[test]
fn names_of_the_catalogue_are_planned_as_what_is_fetched() {
    let home = tempfile::tempdir().unwrap();
    let app = app(home.path());
    for row in store::CATALOG {
        for name in row.names {
            let model = app.plan_model(name).unwrap();
            let fetched = model.fetched.expect("the file's name says its mix");
            let bytes = model.subject.file_bytes(&model.subject.weights(fetched));
            let off = bytes as f64 / row.bytes as f64 - 1.0;
            assert!(off.abs() < 0.03, "{name}: {} is off by {off}", model.subject.facts.name);
            let table = planner::find_model(name).unwrap();
            assert_eq!(table.name, model.subject.facts.name, "{name}");
        }
    }
}

#[test]
fn types_are_planned_as_the_cpu_multiplies_them() {
    for format in quant::FormatId::all() {
        if let Some(planned) = planner::TensorType::from_name(format.name()) {
            let is_unpacked = kernels_cpu::is_blockwise(format);
            assert_eq!(planned.is_unpacked(), is_unpacked, "{}", format.name());
        }
    }
}

#[test]
fn a_step_is_planned_as_long_as_it_can_be() {
    let home = tempfile::tempdir().unwrap();
    let (app, model) = tiny(home.path());
    let place = app.plan_place(None).unwrap();
    let memory = |context, users| app.plan(&model, &place, &wish(context, users)).unwrap().memory;
    // Of a row: three times the width, queries, keys, values, what attention gives, feed-forward;
    // and for each row of logits two of the width; a draft asks for eight.
    let (row, logits) = (4 * (3 * 64 + 64 + 32 + 32 + 64 + 128), 4 * 288);
    let held = |rows: u64| rows.min(32) * 2 * 64 * 4;
    for (context, users, rows) in [(1, 1, 1), (8, 1, 8), (8, 3, 24), (256, 1, 256), (256, 3, 512)] {
        let found = memory(context, users).activation_bytes;
        let wanted = rows * row + held(rows) + rows.min(8) * logits;
        assert_eq!(found, wanted, "{context} for {users}");
    }
}

#[test]
fn windows_are_promised_as_they_are_reserved() {
    let home = tempfile::tempdir().unwrap();
    let app = app(home.path());
    for (name, kv) in [
        ("gemma2", KvType::F16),
        ("gemma3", KvType::F16),
        ("gemma3", KvType::F32),
        ("gemma3", KvType::Bf16),
        ("gemma3", KvType::Q8_0),
        ("gpt_oss", KvType::F16),
    ] {
        let reference = testkit::reference_models().into_iter().find(|model| model.name == name);
        let mut writer = reference.unwrap().writer(quant::FormatId::F32);
        let key = format!("{}.context_length", name.replace('_', "-"));
        writer.metadata(&key, gguf::Value::U32(8192));
        let (path, mut bytes) = (home.path().join("it.gguf"), Vec::new());
        writer.write_to(&mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let model = app.plan_model(path.to_str().unwrap()).unwrap();
        let file = gguf::GgufFile::open(&path).unwrap();
        for (context, users) in [(64, 1), (704, 1), (8192, 1), (2048, 5)] {
            let options = LoadOptions {
                context_len: Some(context),
                sequences_max: Some(users),
                kv: Some(kv.name().to_owned()),
                ..LoadOptions::default()
            };
            let reserved = crate::loaded::memory_need(name, &file, &options).unwrap().kv_bytes;
            let (context, users) = (u64::from(context), u64::from(users));
            let promised = model.subject.facts.kv_reserved_bytes(kv, context, users);
            assert_eq!(promised, reserved, "{name} {context} for {users}");
        }
    }
}

#[test]
fn keys_and_values_are_planned_in_every_type_that_is_loaded() {
    for format in tensor::KvFormat::ALL {
        let name = format.name();
        assert_eq!(KvType::from_name(name).map(KvType::name), Some(name));
    }
}

#[test]
fn what_a_load_took_is_kept_beside_its_promise() {
    let home = tempfile::tempdir().unwrap();
    let (app, model) = tiny(home.path());
    let here: ModelRef = model.here.clone().unwrap();
    let place = app.plan_place(None).unwrap();
    assert_eq!(app.load_of(&model, &wish(8, 1)).unwrap(), None);
    let options = |context| LoadOptions { context_len: Some(context), ..LoadOptions::default() };
    app.note_load(&here, &options(64), (Loaded::Weights, 5)).unwrap();
    app.note_load(&here, &options(64), (Loaded::Everything, 6)).unwrap();
    app.note_load(&here, &options(8), (Loaded::Everything, 7)).unwrap();
    let same = app.load_of(&model, &wish(64, 1)).unwrap().unwrap();
    assert_eq!((same.context, same.measured_bytes, same.what), (64, 6, Loaded::Everything));
    let promised = app.plan(&model, &place, &wish(64, 1)).unwrap().memory.used_bytes();
    assert_eq!(same.promised_bytes, promised);
    // Another file of the same name is another model.
    TinyModel { n_layers: 3, ..TinyModel::default() }.write(&here.path);
    assert_eq!(app.load_of(&model, &wish(64, 1)).unwrap(), None);
}

#[test]
fn verifying_fills_the_context_and_writes_it_down() {
    let home = tempfile::tempdir().unwrap();
    let (app, model) = tiny(home.path());
    for (context, users) in [(1, 1), (40, 3)] {
        let options = LoadOptions {
            context_len: Some(context),
            sequences_max: Some(users),
            ..LoadOptions::default()
        };
        let reality = app.verify(&model, &options).unwrap();
        assert!(reality.decode_tps > 0.0 && reality.prefill_tps > 0.0);
        let load = app.load_of(&model, &wish(u64::from(context), u64::from(users))).unwrap();
        let noted = load.map(|load| (load.context, load.users, Some(load.measured_bytes)));
        let expected = (u64::from(context), u64::from(users), reality.resident_bytes);
        assert_eq!(noted, reality.resident_bytes.map(|_| expected));
    }
}

/// A checkpoint as its makers publish one: fields that do not matter, and null for what is usual.
#[test]
fn checkpoints_are_planned_by_their_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("it");
    std::fs::create_dir(&folder).unwrap();
    let config = r#"{"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3",
        "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": null, "intermediate_size": 128,
        "max_position_embeddings": 65536, "sliding_window": null, "rope_theta": 5000000.0,
        "layer_types": ["full_attention"], "quantization_config": {"bits": 4}}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
    let layer = "model.layers.0.self_attn";
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), [100, 64]),
        (format!("{layer}.q_proj.weight"), [64, 64]),
        (format!("{layer}.k_proj.weight"), [32, 64]),
        (format!("{layer}.v_proj.weight"), [32, 64]),
        (format!("{layer}.o_proj.weight"), [64, 64]),
    ];
    let (mut entries, mut end) = (Vec::new(), 0);
    for (name, shape) in &tensors {
        let begin = end;
        end += 2 * shape[0] * shape[1];
        entries.push(format!(
            "\"{name}\":{{\"dtype\":\"BF16\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        ));
    }
    let list = format!("{{{}}}", entries.join(","));
    let head = [&(list.len() as u64).to_le_bytes(), list.as_bytes()].concat();
    std::fs::write(folder.join("model.safetensors"), [head, vec![0; end]].concat()).unwrap();
    let app = app(home.path());
    for path in [folder.clone(), folder.join("model.safetensors")] {
        let mut model = app.plan_model(path.to_str().unwrap()).unwrap();
        let full = MixerGroup { layers: 1, mixer: Mixer::Full { values: 64 } };
        assert_eq!(model.subject.facts.mixers, [full]);
        assert_eq!(model.subject.file_quant(), Some("BF16"));
        let any = Quantisation::from_name("Q8_0").unwrap();
        assert_eq!(model.subject.weights(any).total_bytes, end as u64);
        assert!(model.quantise());
        assert!(model.subject.weights(any).total_bytes < end as u64);
    }
    std::fs::write(folder.join("config.json"), r#"{"model_type": "mamba3"}"#).unwrap();
    let error = app.plan_model(folder.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("does not know models of the type \"mamba3\""), "{error}");
}
