//! Tiny models of real architectures with logits that another program computed.
//!
//! A fixture holds metadata, names and shapes; weights follow from the names, so that they need not
//! be kept. `tools/reference` makes fixtures and says how values follow.

use std::path::{Path, PathBuf};

use gguf::{Array, Value, Writer};
use quant::FormatId;
use serde_json::Value as Json;

use crate::rng;

mod enlarged;

pub use enlarged::Enlarged;

/// One tiny model and what it must give.
#[derive(Clone, Debug)]
pub struct ReferenceModel {
    /// Of the file: architecture, and variant where there are several.
    pub name: String,
    /// Token ids of one sequence.
    pub tokens: Vec<u32>,
    /// Positions whose logits are known.
    pub positions: Vec<usize>,
    /// `[positions][vocab]`; empty in models for retrieval.
    pub logits: Vec<Vec<f32>>,
    /// What the text comes to in models for retrieval: an embedding, not made of length 1, or one
    /// score, before any sigmoid; empty in others.
    pub pooled: Vec<f32>,
    json: Json,
}

/// All fixtures that hold logits, by name.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn reference_models() -> Vec<ReferenceModel> {
    fixtures(|model| !model.logits.is_empty())
}

/// All fixtures of models for retrieval, by name.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn retrieval_models() -> Vec<ReferenceModel> {
    fixtures(|model| !model.pooled.is_empty())
}

fn fixtures(wanted: fn(&ReferenceModel) -> bool) -> Vec<ReferenceModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.with_file_name("model").join("tests/fixtures/architectures");
    let entries = std::fs::read_dir(&folder).expect("the folder of fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("text");
        let json: Json = serde_json::from_str(&text).expect("JSON");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        ReferenceModel::new(name, json)
    };
    paths.iter().map(read).filter(wanted).collect()
}

impl ReferenceModel {
    fn new(name: String, json: Json) -> ReferenceModel {
        let numbers = |value: &Json| -> Vec<f64> {
            let values = value.as_array().map_or(&[][..], Vec::as_slice).iter();
            values.map(|value| value.as_f64().expect("a number")).collect()
        };
        let logits = json["logits"].as_array().map_or(&[][..], Vec::as_slice).iter();
        let score = json["score"].as_f64();
        let narrow = |row: Vec<f64>| row.into_iter().map(|value| value as f32).collect();
        ReferenceModel {
            name,
            tokens: numbers(&json["tokens"]).into_iter().map(|id| id as u32).collect(),
            positions: numbers(&json["positions"]).into_iter().map(|at| at as usize).collect(),
            logits: logits.map(|row| narrow(numbers(row))).collect(),
            pooled: narrow(score.map_or_else(|| numbers(&json["embedding"]), |score| vec![score])),
            json,
        }
    }

    /// `general.architecture`.
    ///
    /// # Panics
    /// Without one.
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.json["metadata"]["general.architecture"].as_str().expect("an architecture")
    }

    /// The model's file: matrices in `format` where their rows are whole blocks and files have them
    /// so, all else in F32.
    ///
    /// # Panics
    /// When the fixture holds what is not known here.
    #[must_use]
    pub fn writer(&self, format: FormatId) -> Writer {
        let mut writer = Writer::new();
        for (key, value) in self.json["metadata"].as_object().expect("metadata") {
            writer.metadata(key, metadata(value));
        }
        for tensor in self.json["tensors"].as_array().expect("tensors") {
            let name = tensor["name"].as_str().expect("a name");
            let shape = tensor["shape"].as_array().expect("a shape").iter();
            let shape: Vec<u64> = shape.map(|len| len.as_u64().expect("a length")).collect();
            let values = values(tensor, name, shape.iter().product());
            let columns = usize::try_from(shape[0]).expect("a small tensor");
            let format = stored(name, &shape, format);
            let row_bytes = format.row_bytes(columns).expect("F32 takes any width");
            let mut bytes = vec![0; values.len() / columns * row_bytes];
            format.quantize_row(&values, &mut bytes);
            writer.tensor(name, &shape, format, bytes);
        }
        writer
    }
}

impl ReferenceModel {
    /// The values of a tensor, in the order of the file.
    pub(crate) fn values_of(&self, name: &str) -> Vec<f32> {
        let mut tensors = self.json["tensors"].as_array().expect("tensors").iter();
        let tensor = tensors.find(|tensor| tensor["name"] == name).expect("a tensor of the model");
        let shape = tensor["shape"].as_array().expect("a shape").iter();
        values(tensor, name, shape.map(|len| len.as_u64().expect("a length")).product())
    }
}

/// The format that a tensor is kept in where matrices are in `format`: F32 where its rows are no
/// whole blocks, and for what no recipe quantises: what chooses experts, a convolution, what is
/// added.
fn stored(name: &str, shape: &[u64], format: FormatId) -> FormatId {
    let exact = ["ffn_gate_inp", "ssm_conv1d", "position_embd", "token_types"];
    let is_exact = exact.iter().any(|part| name.contains(part));
    let is_matrix = shape.len() > 1 && name.ends_with(".weight") && !is_exact;
    let columns = usize::try_from(shape[0]).expect("a width");
    format.row_bytes(columns).filter(|_| is_matrix).map_or(FormatId::F32, |_| format)
}

fn metadata(value: &Json) -> Value {
    match value {
        Json::Bool(value) => Value::Bool(*value),
        Json::String(value) => Value::String(value.clone()),
        Json::Number(number) => match number.as_u64() {
            Some(whole) => Value::U32(u32::try_from(whole).expect("a small number")),
            None => Value::F32(number.as_f64().expect("a number") as f32),
        },
        Json::Array(values) if values.iter().all(Json::is_number) => {
            let numbers = values.iter().map(|value| value.as_i64().expect("a whole number"));
            Value::Array(Array::I32(numbers.map(|number| number as i32).collect()))
        }
        Json::Array(values) => {
            if let Some(texts) = values.iter().map(Json::as_str).collect::<Option<Vec<_>>>() {
                return Value::Array(Array::String(texts.into_iter().collect()));
            }
            let truths = values.iter().map(|value| value.as_bool().expect("a truth"));
            Value::Array(Array::Bool(truths.collect()))
        }
        other => panic!("metadata of another kind: {other}"),
    }
}

/// The values that stand in the fixture, or those that follow from the name.
fn values(tensor: &Json, name: &str, len: u64) -> Vec<f32> {
    if let Some(values) = tensor.get("values").and_then(Json::as_array) {
        return values.iter().map(|value| value.as_f64().expect("a number") as f32).collect();
    }
    let number = |key: &str| tensor[key].as_f64().expect("a number");
    let (mean, scale) = (number("mean"), number("scale"));
    let mut rng = rng(fnv(name));
    (0..len).map(|_| (mean + scale * f64::from(rng.f32())) as f32).collect()
}

/// FNV-1a of 64 bits. Source: Fowler, Noll and Vo, IETF draft-eastlake-fnv.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
