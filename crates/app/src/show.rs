//! What a model file is, from its headers alone.

use gguf::{Metadata, Strings, Value};
use tokenizer::Tokenizer;

use crate::{ModelInfo, ModelRef, Result, TensorLine, open};

/// Longest metadata value that is shown whole.
const VALUE_CHARS_MAX: usize = 120;

pub(crate) fn model_info(model: &ModelRef) -> Result<ModelInfo> {
    let file = open::open(&model.path)?;
    let metadata = file.metadata();
    let architecture = metadata.str("general.architecture")?.unwrap_or("unknown").to_owned();
    let of = |key: &str| format!("{architecture}.{key}");
    let number = |key: &str| -> Result<usize> {
        Ok(metadata.u64(&of(key))?.and_then(|value| usize::try_from(value).ok()).unwrap_or(0))
    };
    let heads = number("attention.head_count")?;
    let kv_heads = match number("attention.head_count_kv")? {
        0 => heads,
        kv_heads => kv_heads,
    };
    let shape = (
        number("block_count")?,
        number("embedding_length")?,
        heads,
        kv_heads,
        number("feed_forward_length")?,
    );
    let tensors: Vec<TensorLine> = file
        .tensors()
        .iter()
        .map(|tensor| TensorLine {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            format: tensor.format.name().to_owned(),
            size_bytes: tensor.size_bytes,
        })
        .collect();
    let (layers, d, ..) = shape;
    let spec = model::spec(&file);
    let values = match spec.as_ref().map(model::ModelSpec::kv_shape) {
        Ok((Some(kv), layers)) => layers * kv.n_kv_heads * (kv.head_dim_k + kv.head_dim_v),
        Ok((None, _)) => 0,
        // The usual shape, as well as can be told.
        Err(_) => layers * kv_heads * d.checked_div(heads).unwrap_or(0) * 2,
    };
    let (kind, vocab_len) = tokenizer(metadata)?;
    Ok(ModelInfo {
        model: model.clone(),
        title: metadata.str("general.name")?.map(str::to_owned),
        licence: metadata.str("general.license")?.map(str::to_owned),
        parameters: tensors.iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum(),
        size_bytes: file.size_bytes(),
        gguf_version: file.version(),
        context_len: u32::try_from(number("context_length")?).unwrap_or(u32::MAX),
        vocab_len,
        tokenizer: kind,
        blocks: spec.map(|spec| spec.features()).map_err(|error| error.to_string()),
        // Two bytes each.
        kv_bytes_per_token: (values * 2) as u64,
        is_without_images: metadata.str(checkpoint::NOT_READ)? == Some("images"),
        template: metadata.str("tokenizer.chat_template")?.map(str::to_owned),
        metadata: metadata.iter().map(|(key, value)| (key.to_owned(), shown(value))).collect(),
        architecture,
        shape,
        tensors,
    })
}

/// Kind of the tokenizer, and how many tokens it has.
fn tokenizer(metadata: &Metadata) -> Result<(String, usize)> {
    if let Some(kind) = metadata.str("tokenizer.ggml.model")? {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?;
        return Ok((kind.to_owned(), tokens.map_or(0, Strings::len)));
    }
    Ok(match Tokenizer::from_metadata(metadata) {
        Ok(tokenizer) => (tokenizer.kind().to_owned(), tokenizer.vocab_len()),
        Err(_) => ("none".to_owned(), 0),
    })
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(VALUE_CHARS_MAX).collect();
    format!("{start}… ({} characters)", text.chars().count())
}
