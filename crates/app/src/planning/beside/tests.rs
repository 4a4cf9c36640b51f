//! Adapters and projectors as people name them.

use std::path::Path;

use gguf::{Value, Writer};
use planner::{Adapter, find_model};
use quant::FormatId;

use super::{PlannedModel, Subject};

fn model() -> PlannedModel {
    PlannedModel::of(Subject::of_row(find_model("Llama-3.1-8B").unwrap()))
}

fn adapters(asked: &[&str]) -> Result<Vec<Adapter>, String> {
    let mut model = model();
    let asked: Vec<String> = asked.iter().map(|asked| (*asked).to_owned()).collect();
    model.add_adapters(&asked).map_err(|error| error.to_string())?;
    Ok(model.subject.beside.adapters)
}

/// A list of tensors of 16 bits as safetensors.
fn safetensors(path: &Path, tensors: &[(&str, [u64; 2])]) {
    let (mut entries, mut end) = (Vec::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape[0] * shape[1];
        entries.push(format!(
            "\"{name}\":{{\"dtype\":\"BF16\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        ));
    }
    let list = format!("{{{}}}", entries.join(","));
    let head = [&(list.len() as u64).to_le_bytes(), list.as_bytes()].concat();
    let data = vec![0; usize::try_from(end).unwrap()];
    std::fs::write(path, [head, data].concat()).unwrap();
}

#[test]
fn ranks() {
    let found = adapters(&["16", "8:q_proj,v_proj"]).unwrap();
    assert_eq!(found.iter().map(|it| it.count).collect::<Vec<_>>(), [41_943_040, 3_407_872]);
    assert_eq!(found[1].name, "rank 8 on q_proj, v_proj");
    let error = adapters(&["8:nose"]).unwrap_err();
    assert!(error.starts_with("adapter 8:nose: Llama-3.1-8B has no matrix called nose"), "{error}");
    assert!(adapters(&["0"]).unwrap_err().contains("1 to 4096 go"));
    let error = adapters(&["no-such-file"]).unwrap_err();
    assert!(error.contains("no adapter is at no-such-file: name a file, or a rank"), "{error}");
}

#[test]
fn files_of_both_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let peft = "base_model.model.model.layers.3.self_attn.q_proj";
    let (a, b) = (format!("{peft}.lora_A.weight"), format!("{peft}.lora_B.weight"));
    safetensors(&path, &[(&a, [4, 4096]), (&b, [4096, 4])]);
    let gguf = folder.path().join("adapter.gguf");
    let mut writer = Writer::new();
    writer.metadata("general.architecture", Value::String("llama".to_owned()));
    let mut add = |name: &str, shape: &[u64]| {
        writer.tensor(name, shape, FormatId::F16, vec![0; 2 * 4 * 4096]);
    };
    add("blk.3.attn_q.weight.lora_a", &[4096, 4]);
    add("blk.3.attn_q.weight.lora_b", &[4, 4096]);
    writer.write_to(&mut std::fs::File::create(&gguf).unwrap()).unwrap();
    // The folder that PEFT writes means the file in it.
    let names = [path.as_path(), folder.path(), gguf.as_path()];
    let names: Vec<&str> = names.iter().map(|path| path.to_str().unwrap()).collect();
    let found = adapters(&names).unwrap();
    for adapter in &found {
        assert_eq!((adapter.bytes, adapter.count), (65_536, 32_768), "{}", adapter.name);
    }
    safetensors(&path, &[(&a, [4, 5120])]);
    let error = adapters(&names[..1]).unwrap_err();
    assert!(error.contains("it was made for another model"), "{error}");
    safetensors(&path, &[("model.norm.weight", [1, 4])]);
    assert!(adapters(&names[..1]).unwrap_err().contains("no LoRA adapter"));
}

#[test]
fn projectors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mmproj.gguf");
    let mut writer = Writer::new();
    writer.metadata("general.architecture", Value::String("clip".to_owned()));
    writer.tensor("mm.0.weight", &[32, 2], FormatId::F16, vec![0; 128]);
    writer.write_to(&mut std::fs::File::create(&path).unwrap()).unwrap();
    let mut model = model();
    model.set_projector(path.to_str().unwrap()).unwrap();
    let projector = model.subject.beside.projector.clone().unwrap();
    assert_eq!((projector.name.as_str(), projector.weights_bytes), ("mmproj.gguf", 128));
    model.set_projector("none").unwrap();
    assert_eq!(model.subject.beside.projector, None);
    assert!(model.set_projector("/no/such/file").is_err());
}
