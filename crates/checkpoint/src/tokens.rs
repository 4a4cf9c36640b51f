//! What a folder says of its tokenizer and template, under GGUF's keys. The tokenizer itself stays
//! as it is: `tokenizer.huggingface.json` is GGUF's key for a whole `tokenizer.json`.

use std::path::Path;

use gguf::{Array, Metadata, Value};
use serde::Deserialize;

use crate::config::Config;
use crate::error::{Told, shown_message};
use crate::headers::small_file;
use crate::limits::{CONFIG_BYTES_MAX, COUNT_MAX, TOKENIZER_BYTES_MAX};
use crate::{Error, Result};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// Of `tokenizer.json`, what names tokens with a role.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// GGUF's names of tokens that end an answer; the first is the end.
const ENDS: [&str; 3] = ["eos", "eot", "eom"];
/// Those that have no name.
const FURTHER_ENDS: &str = "tokenizer.huggingface.further_eos_token_ids";
/// Classes that make the rule of added tokens anew from what the configuration says of them; in
/// all others `tokenizer.json` says it.
const RULED_ANEW: &[&str] = &["CodeLlamaTokenizer", "GemmaTokenizer", "LlamaTokenizer"];

/// Whether texts get a start and an end, where `tokenizer.json` does not say it alone.
fn added(more: &Config) -> Told<Vec<(&'static str, bool)>> {
    let class = more.maybe_text("tokenizer_class").unwrap_or_default();
    let is_anew = RULED_ANEW.contains(&class.strip_suffix("Fast").unwrap_or(class));
    let rules = [("bos", "add_bos_token", "bos_token"), ("eos", "add_eos_token", "eos_token")];
    let mut found = Vec::new();
    for (name, key, token) in rules {
        let said = more.flag(key)?;
        // Without one there is nothing to add.
        let usual = is_anew && more.token(token).is_some();
        match said {
            Some(adds) if adds || is_anew => found.push((name, adds)),
            None if usual => found.push((name, name == "bos")),
            Some(_) | None => {}
        }
    }
    Ok(found)
}

/// Adds the keys.
pub(crate) fn put(metadata: &mut Metadata, folder: &Path, config: &Config) -> Result<()> {
    let path = folder.join(TOKENIZER);
    if !path.is_file() {
        let why = "tokenizer.json is missing in it: fetch it from where the model came from";
        return Err(Error::at(folder, why));
    }
    let text = small_file(&path, TOKENIZER_BYTES_MAX)?;
    let tokens: Tokens =
        serde_json::from_slice(&text).map_err(|error| Error::at(&path, shown_message(&error)))?;
    let text = String::from_utf8(text).map_err(|_| Error::at(&path, "it is not UTF-8"))?;
    metadata.insert("tokenizer.huggingface.json", Value::String(text));
    let more = optional(folder, TOKENIZER_CONFIG)?;
    let generation = optional(folder, GENERATION_CONFIG)?;
    let id = |key: &str| {
        let text = more.token(key)?;
        let found = tokens.added_tokens.iter().find(|token| token.content == text);
        found.map(|token| token.id)
    };
    let mut put = |name: &str, id: Option<u32>| {
        if let Some(id) = id {
            metadata.insert(&format!("tokenizer.ggml.{name}_token_id"), Value::U32(id));
        }
    };
    // What ends an answer is said best where answers are; the first has the name of the end, the
    // others are ends by GGUF's further names.
    let at = |why: String, file: &str| Error::at(&folder.join(file), why);
    let list = |from: &Config, file: &str| -> Result<Vec<u32>> {
        from.ids("eos_token_id").map_err(|why| at(why, file))
    };
    let mut ends: Vec<u32> = id("eos_token").into_iter().collect();
    let told = list(&generation, GENERATION_CONFIG)?;
    // The model's own configuration speaks only where nothing is said of answers.
    ends.extend(if told.is_empty() { list(config, crate::CONFIG)? } else { told });
    let mut seen = Vec::new();
    ends.retain(|end| !seen.contains(end) && (seen.push(*end), true).1);
    for (name, end) in ENDS.iter().zip(&ends) {
        put(name, Some(*end));
    }
    let named = config.whole("bos_token_id", COUNT_MAX).map_err(|why| at(why, crate::CONFIG))?;
    put("bos", id("bos_token").or(named.and_then(|id| u32::try_from(id).ok())));
    put("padding", id("pad_token"));
    put("unknown", id("unk_token"));
    if let Some(further) = ends.get(ENDS.len()..).filter(|further| !further.is_empty()) {
        metadata.insert(FURTHER_ENDS, Value::Array(Array::U32(further.to_vec())));
    }
    for (name, adds) in added(&more).map_err(|why| at(why, TOKENIZER_CONFIG))? {
        metadata.insert(&format!("tokenizer.ggml.add_{name}_token"), Value::Bool(adds));
    }
    if let Some(template) = template(folder, &more)? {
        metadata.insert("tokenizer.chat_template", Value::String(template));
    }
    Ok(())
}

/// A file of fields that need not be there.
fn optional(folder: &Path, name: &str) -> Result<Config> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(Config::default());
    }
    Config::parse(&small_file(&path, CONFIG_BYTES_MAX)?).map_err(|why| Error::at(&path, why))
}

/// The chat template: in a file of its own, or in the tokenizer's configuration, there one or
/// several by name.
fn template(folder: &Path, more: &Config) -> Result<Option<String>> {
    let path = folder.join(TEMPLATE);
    if path.is_file() {
        let text = String::from_utf8(small_file(&path, CONFIG_BYTES_MAX)?);
        return text.map(Some).map_err(|_| Error::at(&path, "it is not UTF-8"));
    }
    if let Some(text) = more.maybe_text("chat_template") {
        return Ok(Some(text.to_owned()));
    }
    let path = folder.join(TOKENIZER_CONFIG);
    let several = more.parts("chat_template").map_err(|why| Error::at(&path, why))?;
    let usual = several.iter().find(|one| one.maybe_text("name") == Some("default"));
    Ok(usual.and_then(|one| one.maybe_text("template")).map(str::to_owned))
}
