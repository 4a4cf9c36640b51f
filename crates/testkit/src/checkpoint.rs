//! The tiny models of [`crate::reference_models`] as folders that `transformers` would write.
//!
//! A fixture says which elements of the GGUF file stand where in each tensor, as nested loops;
//! `tools/reference/checkpoints.py` makes fixtures.

use std::fs;
use std::path::{Path, PathBuf};

use quant::FormatId;
use serde_json::{Map, Value as Json, json};

use crate::ReferenceModel;

impl ReferenceModel {
    /// The rows of this model's folder, where it has any.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn checkpoint(&self) -> Option<TinyCheckpoint> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("checkpoint");
        let path = folder.join("tests/fixtures").join(format!("{}.json", self.name));
        let text = fs::read_to_string(path).ok()?;
        let json: Json = serde_json::from_str(&text).expect("JSON");
        let rows = json["tensors"].as_array().expect("rows").iter();
        let tensors = rows.map(|row| self.tensor_of(row)).collect();
        Some(TinyCheckpoint { config: json["config"].clone(), tensors })
    }

    fn tensor_of(&self, row: &Json) -> (String, Vec<u64>, Vec<f32>) {
        let shape: Vec<u64> = serde_json::from_value(row["shape"].clone()).expect("a shape");
        let mut values = vec![f32::NAN; shape.iter().product::<u64>() as usize];
        for piece in row["from"].as_array().expect("pieces") {
            let of = self.values_of(piece[0].as_str().expect("a name"));
            let at = |i: usize| piece[i].as_i64().expect("a place");
            if piece.get(2).is_none() {
                let (start, len) = (at(1) as usize, values.len());
                values.copy_from_slice(&of[start..start + len]);
                continue;
            }
            let loops: Vec<[i64; 3]> = serde_json::from_value(piece[3].clone()).expect("loops");
            scatter(&of, &loops, (at(1), at(2)), &mut values);
        }
        match row.get("change").and_then(Json::as_str) {
            None => {}
            Some("minus one") => values.iter_mut().for_each(|value| *value -= 1.0),
            Some("logarithm") => values.iter_mut().for_each(|value| *value = (-*value).ln()),
            Some(other) => panic!("a change that is not known here: {other}"),
        }
        let name = row["name"].as_str().expect("a name").to_owned();
        (name, shape, values)
    }
}

/// Models of text and images: what they are called, the model of text in them, and their folders,
/// where all that belongs to images is NaN.
///
/// # Panics
/// When a fixture cannot be read.
#[must_use]
pub fn checkpoints_with_images() -> Vec<(String, ReferenceModel, TinyCheckpoint)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("checkpoint");
    let entries = fs::read_dir(folder.join("tests/fixtures/images")).expect("fixtures");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let models = crate::reference_models();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        let json: Json = serde_json::from_str(&text).expect("JSON");
        let model = models.iter().find(|model| json["of"] == *model.name).expect("its text");
        let mut made = model.checkpoint().expect("its folder");
        made.config = json["config"].clone();
        for (name, ..) in &mut made.tensors {
            let begins = json["begins"].as_object().expect("beginnings").iter();
            let mut renamed = begins.filter_map(|(alone, begin)| {
                Some(format!("{}{}", begin.as_str()?, name.strip_prefix(alone)?))
            });
            *name = renamed.next().expect("a name of text");
        }
        for (name, shape) in json["others"].as_object().expect("tensors") {
            let shape: Vec<u64> = serde_json::from_value(shape.clone()).expect("a shape");
            let values = vec![f32::NAN; shape.iter().product::<u64>() as usize];
            made.tensors.push((name.clone(), shape, values));
        }
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        (name, model.clone(), made)
    };
    paths.iter().map(read).collect()
}

fn scatter(of: &[f32], loops: &[[i64; 3]], (start, end): (i64, i64), out: &mut [f32]) {
    match loops {
        [] => out[end as usize] = of[start as usize],
        [[count, from, to], inner @ ..] => {
            (0..*count).for_each(|i| scatter(of, inner, (start + i * from, end + i * to), out));
        }
    }
}

/// A folder in the making: change what should be otherwise, then write it.
#[derive(Clone)]
pub struct TinyCheckpoint {
    /// `config.json`.
    pub config: Json,
    /// Name, shape slowest first, values.
    pub tensors: Vec<(String, Vec<u64>, Vec<f32>)>,
}

impl TinyCheckpoint {
    /// Writes `config.json` and the tensors in F32, F16 or BF16 in so many files; with more than
    /// one, the index too.
    ///
    /// # Panics
    /// When the folder takes no files.
    pub fn write(&self, folder: &Path, format: FormatId, files: usize) {
        let text = serde_json::to_string(&self.config).expect("JSON");
        fs::write(folder.join("config.json"), text).expect("a folder to write in");
        let each = self.tensors.len().div_ceil(files);
        let mut map = Map::new();
        for (i, tensors) in self.tensors.chunks(each).enumerate() {
            let name = match files {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{files:05}.safetensors", i + 1),
            };
            let stored = tensors.iter().map(|(name, shape, values)| {
                let mut bytes = vec![0; values.len() * format.block_bytes()];
                format.quantize_row(values, &mut bytes);
                (&**name, format.name(), &**shape, bytes)
            });
            let stored: Vec<_> = stored.collect();
            fs::write(folder.join(&name), safetensors(&stored)).expect("a folder to write in");
            map.extend(tensors.iter().map(|(tensor, ..)| (tensor.clone(), json!(name))));
        }
        if files > 1 {
            let index = json!({ "metadata": {}, "weight_map": map }).to_string();
            let path = folder.join("model.safetensors.index.json");
            fs::write(path, index).expect("a folder to write in");
        }
    }
}

/// A file of tensors: name, type, shape slowest first, bytes.
///
/// # Panics
/// Never: JSON of texts and numbers can be written.
#[must_use]
pub fn safetensors(tensors: &[(&str, &str, &[u64], Vec<u8>)]) -> Vec<u8> {
    let (mut list, mut at) = (Map::new(), 0);
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [at, at + bytes.len()];
        at = offsets[1];
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        list.insert((*name).to_owned(), entry);
    }
    let mut head = serde_json::to_string(&list).expect("JSON");
    head.push_str(&" ".repeat(head.len().next_multiple_of(8) - head.len()));
    let mut file = (head.len() as u64).to_le_bytes().to_vec();
    file.extend(head.as_bytes());
    tensors.iter().for_each(|(.., bytes)| file.extend(bytes));
    file
}
