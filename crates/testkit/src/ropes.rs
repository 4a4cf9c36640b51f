//! How fast positions turn where a longer context is asked for, as another program has it; see
//! `tools/reference/ropes.py`.

use std::path::Path;

use gguf::{Value, Writer};
use quant::FormatId;
use serde_json::Value as Json;

use crate::{TinyModel, reference_models};

/// What is asked of a model, and what must come of it.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// A model of [`reference_models`], or `tiny`.
    pub model: String,
    /// Name of a rule; none where nothing but the context is asked for.
    pub asked: Option<String>,
    /// The longest context over the original one.
    pub factor: Option<f64>,
    /// The longest context.
    pub context: u32,
    /// Radians per position of each pair.
    pub inverse_frequencies: Vec<f64>,
    /// Factor on what turns.
    pub magnitude: f64,
    /// Factor on scores, where the rule changes it.
    pub scale: Option<f64>,
    /// Base and context of a tiny model.
    tiny: Option<(f32, u32)>,
}

/// All that are known.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn rope_tables() -> Vec<RopeTable> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("model");
    let text = std::fs::read_to_string(folder.join("tests/fixtures/ropes.json")).expect("text");
    let tables: Json = serde_json::from_str(&text).expect("JSON");
    tables["rows"].as_array().expect("rows").iter().map(RopeTable::new).collect()
}

impl RopeTable {
    fn new(row: &Json) -> RopeTable {
        let number = |key: &str| row[key].as_f64();
        let whole = |key: &str| {
            row[key].as_u64().map(|found| u32::try_from(found).expect("a small number"))
        };
        let table = row["inverse_frequencies"].as_array().expect("numbers").iter();
        RopeTable {
            model: row["file"].as_str().expect("a model").to_owned(),
            asked: row["asked"].as_str().map(str::to_owned),
            factor: number("factor"),
            context: whole("context").expect("a context"),
            inverse_frequencies: table.map(|it| it.as_f64().expect("a number")).collect(),
            magnitude: number("magnitude").expect("a number"),
            scale: number("scale"),
            tiny: number("base").zip(whole("trained")).map(|(base, of)| (base as f32, of)),
        }
    }

    /// The model's file; a tiny one has heads as wide as those of real models.
    ///
    /// # Panics
    /// When there is no such model.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let Some((base, trained)) = self.tiny else {
            let mut models = reference_models().into_iter();
            let model = models.find(|model| model.name == self.model).expect("a fixture");
            return model.writer(FormatId::F32);
        };
        let tiny = TinyModel { d: 256, n_heads: 2, n_kv_heads: 1, ..TinyModel::default() };
        let mut writer = tiny.writer();
        writer.metadata("llama.rope.freq_base", Value::F32(base));
        writer.metadata("llama.context_length", Value::U32(trained));
        writer
    }
}
