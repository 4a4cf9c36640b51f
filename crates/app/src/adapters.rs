//! Low-rank adapters: opened beside a model, and asked for by requests.

use std::path::Path;

use gguf::GgufFile;
use model::{AdapterFile, AdapterScale};

use crate::{AdapterKey, AdapterSource, AdapterWish, Error, Result};

/// Longest name of an adapter, in bytes.
const NAME_LEN_MAX: usize = 256;

/// An adapter's file, and its name.
pub(crate) struct Opened {
    name: String,
    file: GgufFile,
}

/// Opens all adapters of a model.
pub(crate) fn open(
    (model, base): (&str, &GgufFile),
    sources: &[AdapterSource],
) -> Result<Vec<Opened>> {
    for (i, source) in sources.iter().enumerate() {
        check_name(source, (model, &sources[..i]))?;
    }
    sources.iter().map(|source| open_one(source, base)).collect()
}

fn check_name(source: &AdapterSource, (model, before): (&str, &[AdapterSource])) -> Result<()> {
    let name = &source.name;
    let refused = |message: String| Err(Error::parameter("lora", message));
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        let long = NAME_LEN_MAX;
        return refused(format!(
            "an adapter's name has 1 to {long} bytes and no control characters"
        ));
    }
    if name == model {
        return refused(format!("the adapter {name} has the name of its model: give it another"));
    }
    if before.iter().any(|other| other.name == *name) {
        return refused(format!("two adapters are called {name}: give one another name"));
    }
    if !source.scale.is_finite() {
        return refused(format!("the scale {} of the adapter {name} is no number", source.scale));
    }
    Ok(())
}

fn open_one(source: &AdapterSource, base: &GgufFile) -> Result<Opened> {
    let AdapterSource { name, path, .. } = source;
    let told = |error: Error| Error { message: format!("the adapter {name}: {error}"), ..error };
    let file = file(path, base).map_err(told)?;
    Ok(Opened { name: name.clone(), file })
}

/// GGUF, or a folder of PEFT seen as such.
fn file(path: &Path, base: &GgufFile) -> Result<GgufFile> {
    if checkpoint::is_adapter(path) {
        return Ok(checkpoint::open_adapter(path, base.metadata())?);
    }
    Ok(GgufFile::open(path)?)
}

/// As the model takes them.
pub(crate) fn files(opened: &[Opened]) -> Vec<AdapterFile<'_>> {
    opened.iter().map(|Opened { name, file }| AdapterFile { name, file }).collect()
}

/// What a request has of the loaded adapters.
pub(crate) fn resolve(
    wishes: Option<&[AdapterWish]>,
    loaded: &[AdapterSource],
) -> Result<Vec<AdapterScale>> {
    let Some(wishes) = wishes else {
        let applied = loaded.iter().enumerate().filter(|(_, source)| source.is_applied);
        let scale =
            |(adapter, source): (_, &AdapterSource)| AdapterScale { adapter, scale: source.scale };
        return Ok(applied.map(scale).collect());
    };
    wishes.iter().map(|wish| resolve_one(wish, loaded)).collect()
}

fn resolve_one(wish: &AdapterWish, loaded: &[AdapterSource]) -> Result<AdapterScale> {
    let (found, asked) = match &wish.adapter {
        AdapterKey::Index(index) => (Some(*index), index.to_string()),
        AdapterKey::Name(name) => {
            (loaded.iter().position(|source| source.name == *name), name.clone())
        }
    };
    let found = found.and_then(|index| Some((index, loaded.get(index)?)));
    let Some((adapter, source)) = found else {
        let names: Vec<&str> = loaded.iter().map(|source| &*source.name).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format!("there is no adapter {asked}; loaded are: {there}");
        return Err(Error::parameter("lora", message));
    };
    Ok(AdapterScale { adapter, scale: wish.scale.unwrap_or(source.scale) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gguf::{GgufFile, Writer};
    use testkit::{TinyAdapter, TinyModel, safetensors};

    use super::{check_name, files, open, resolve};
    use crate::{AdapterKey, AdapterSource, AdapterWish, LoadOptions, loaded};

    fn source(name: &str, scale: f32, is_applied: bool) -> AdapterSource {
        AdapterSource { name: name.to_owned(), path: "a.gguf".into(), scale, is_applied }
    }

    #[test]
    fn wishes_are_by_number_or_name_and_what_is_usual_else() {
        let loaded = [source("law", 0.5, true), source("tone", 2.0, false)];
        let name = |name: &str| AdapterKey::Name(name.to_owned());
        let of = |wishes: Option<&[(AdapterKey, Option<f32>)]>| {
            let wish = |(adapter, scale): &(AdapterKey, Option<f32>)| AdapterWish {
                adapter: adapter.clone(),
                scale: *scale,
            };
            let wishes = wishes.map(|wishes| wishes.iter().map(wish).collect::<Vec<_>>());
            let found = resolve(wishes.as_deref(), &loaded);
            let found = found.map(|all| all.iter().map(|it| (it.adapter, it.scale)).collect());
            found.map_err(|error| error.message)
        };
        let ok = |all: &[(usize, f32)]| Ok(all.to_vec());
        assert_eq!(of(None), ok(&[(0, 0.5)]));
        assert_eq!(of(Some(&[])), ok(&[]));
        assert_eq!(of(Some(&[(name("tone"), None)])), ok(&[(1, 2.0)]));
        let both = [(AdapterKey::Index(1), Some(0.25)), (name("law"), Some(-1.0))];
        assert_eq!(of(Some(&both)), ok(&[(1, 0.25), (0, -1.0)]));
        let unknown = "there is no adapter 2; loaded are: law, tone".to_owned();
        assert_eq!(of(Some(&[(AdapterKey::Index(2), None)])), Err(unknown));
        let unknown = "there is no adapter x; loaded are: law, tone".to_owned();
        assert_eq!(of(Some(&[(name("x"), None)])), Err(unknown));
    }

    #[test]
    fn names_tell_adapters_apart() {
        let before = [source("law", 1.0, true)];
        let said = |name: &str, scale: f32| {
            let checked = check_name(&source(name, scale, true), ("smollm2", &before));
            checked.err().map_or_else(String::new, |error| error.message)
        };
        assert_eq!(said("tone", 1.0), "");
        assert_eq!(said("law", 1.0), "two adapters are called law: give one another name");
        assert!(said("smollm2", 1.0).contains("has the name of its model"));
        assert!(said("", 1.0).contains("1 to 256 bytes"));
        assert!(said("a\nb", 1.0).contains("no control characters"));
        assert!(said("tone", f32::INFINITY).contains("the scale inf of the adapter tone"));
    }

    fn write(path: &Path, writer: &Writer) -> GgufFile {
        let mut bytes = Vec::new();
        writer.write_to(&mut bytes).expect("memory takes all");
        std::fs::write(path, bytes).expect("a folder");
        GgufFile::open(path).expect("GGUF, as just written")
    }

    #[test]
    fn adapters_count_in_what_is_reserved() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = write(&folder.path().join("tiny.gguf"), &TinyModel::default().writer());
        let adapter = TinyAdapter::default();
        let path = folder.path().join("law.gguf");
        write(&path, &adapter.writer(&base, |name| name == "blk.0.attn_q.weight"));
        let need = |adapters: Vec<AdapterSource>| {
            let backend = Some("reference".to_owned());
            let options = LoadOptions { adapters, backend, ..LoadOptions::default() };
            let need = loaded::memory_need("tiny", &base, &options).expect("sound");
            let parts = loaded::load_parts("tiny", &base, &options, &mut |_, _| {});
            let memory = parts.expect("it fits").memory;
            assert_eq!(memory.weights_bytes, need.weights_bytes);
            assert_eq!(memory.workspace_bytes, need.workspace_bytes);
            need
        };
        let plain = need(Vec::new());
        let law = AdapterSource { path, ..source("law", 1.0, true) };
        let with = need(vec![law]);
        let rank = 4;
        assert_eq!(with.weights_bytes - plain.weights_bytes, 4 * 2 * rank * 64);
        let rows = u64::from(loaded::STEP_TOKENS_MAX);
        assert_eq!(with.workspace_bytes - plain.workspace_bytes, 4 * rows * (rank + 64));
    }

    #[test]
    fn a_folder_that_peft_wrote_is_an_adapter() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = write(&folder.path().join("tiny.gguf"), &TinyModel::default().writer());
        let config = r#"{"peft_type":"LORA","lora_alpha":4,"r":2}"#;
        std::fs::write(folder.path().join("adapter_config.json"), config).expect("a folder");
        let name =
            |part: &str| format!("base_model.model.model.layers.1.mlp.up_proj.{part}.weight");
        let ones = |len: usize| [1.0_f32.to_le_bytes()].repeat(len).concat();
        let file = safetensors(&[
            (&name("lora_A"), "F32", &[2, 64], ones(128)),
            (&name("lora_B"), "F32", &[128, 2], ones(256)),
        ]);
        std::fs::write(folder.path().join("adapter_model.safetensors"), file).expect("a folder");
        let law = AdapterSource { path: folder.path().to_owned(), ..source("law", 1.0, true) };
        let opened = open(("tiny", &base), &[law]).expect("an adapter");
        let file = files(&opened)[0].file;
        let up = file.tensor("blk.1.ffn_up.weight.lora_b").expect("it is there");
        assert_eq!(file.bytes(up)[..4], 2.0_f32.to_le_bytes(), "scaled by alpha over rank");
        let none = AdapterSource { path: folder.path().join("none"), ..source("x", 1.0, true) };
        let error = open(("tiny", &base), &[none]).err().expect("it is not there");
        assert!(error.message.starts_with("the adapter x: "), "{}", error.message);
    }
}
