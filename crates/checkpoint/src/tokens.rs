//! What a folder says of its tokenizer and template, under GGUF's keys. The tokenizer itself stays
//! as it is: `tokenizer.huggingface.json` is GGUF's key for a whole `tokenizer.json`.

use std::path::Path;

use gguf::{Metadata, Value};
use serde::Deserialize;

use crate::config::Config;
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

/// Adds the keys.
pub(crate) fn put(metadata: &mut Metadata, folder: &Path, config: &Config) -> Result<()> {
    let path = folder.join(TOKENIZER);
    if !path.is_file() {
        let why = "tokenizer.json is missing in it: fetch it from where the model came from";
        return Err(Error::at(folder, why));
    }
    let text = small_file(&path, TOKENIZER_BYTES_MAX)?;
    let tokens: Tokens =
        serde_json::from_slice(&text).map_err(|error| Error::at(&path, error.to_string()))?;
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
        let ids = from.one_or_many("eos_token_id").map_err(|why| at(why, file))?;
        Ok(ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect())
    };
    let mut ends: Vec<u32> = id("eos_token").into_iter().collect();
    let told = list(&generation, GENERATION_CONFIG)?;
    // The model's own configuration speaks only where nothing is said of answers.
    ends.extend(if told.is_empty() { list(config, crate::CONFIG)? } else { told });
    let mut seen = Vec::new();
    ends.retain(|end| !seen.contains(end) && (seen.push(*end), true).1);
    for (name, end) in ["eos", "eot", "eom"].iter().zip(&ends) {
        put(name, Some(*end));
    }
    let named = config.whole("bos_token_id", COUNT_MAX).ok().flatten();
    put("bos", id("bos_token").or(named.and_then(|id| u32::try_from(id).ok())));
    put("padding", id("pad_token"));
    put("unknown", id("unk_token"));
    for (name, key) in [("bos", "add_bos_token"), ("eos", "add_eos_token")] {
        if let Some(adds) = more.flag(key).map_err(|why| at(why, TOKENIZER_CONFIG))? {
            metadata.insert(&format!("tokenizer.ggml.add_{name}_token"), Value::Bool(adds));
        }
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
