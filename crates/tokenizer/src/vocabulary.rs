//! The tokens: their texts, bytes, kinds and scores, checked against each other.

use std::collections::HashMap;

use gguf::Metadata;

use crate::bytes::byte_of;
use crate::limits::{TOKEN_BYTES_MAX, VOCAB_MAX};
use crate::{Error, Result};

/// What a token is for; numbers as in `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// How normal tokens write their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// GPT-2's letters for bytes.
    ByteLetters,
    /// Plain text with `▁` for spaces, and `<0xAB>` for bytes.
    Sentence,
}

pub(crate) struct Vocabulary {
    pub(crate) texts: Vec<String>,
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) scores: Vec<f32>,
    pub(crate) ids: HashMap<String, u32>,
}

impl Vocabulary {
    pub(crate) fn read(metadata: &Metadata, writing: Writing) -> Result<Vocabulary> {
        let key = "tokenizer.ggml.tokens";
        let missing = || gguf::Error::KeyMissing(key.to_owned());
        let texts = metadata.strings(key)?.ok_or_else(missing)?.to_vec();
        if texts.is_empty() || texts.len() > VOCAB_MAX {
            let what = format!("{} tokens: 1 to {VOCAB_MAX} go", texts.len());
            return Err(Error::Vocabulary(what));
        }
        if let Some(long) = texts.iter().position(|text| text.len() > TOKEN_BYTES_MAX) {
            let what = format!("token {long} is longer than {TOKEN_BYTES_MAX} bytes");
            return Err(Error::Vocabulary(what));
        }
        let kinds = kinds(metadata, texts.len())?;
        let scores = match metadata.f32s("tokenizer.ggml.scores")? {
            Some(scores) => scores.to_vec(),
            None => vec![0.0; texts.len()],
        };
        same_len("scores", scores.len(), texts.len())?;
        let bytes = texts.iter().zip(&kinds).map(|(text, kind)| bytes(text, *kind, writing));
        let bytes = bytes.collect();
        let mut ids = HashMap::with_capacity(texts.len());
        for (text, id) in texts.iter().zip(0..) {
            // Of two tokens with one text the first wins.
            ids.entry(text.clone()).or_insert(id);
        }
        Ok(Vocabulary { texts, bytes, kinds, scores, ids })
    }

    /// A vocabulary of one kind of token.
    #[cfg(test)]
    pub(crate) fn plain(texts: &[&str], kind: Kind) -> Vocabulary {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Vocabulary {
            bytes: texts.iter().map(|text| text.clone().into_bytes()).collect(),
            kinds: vec![kind; texts.len()],
            scores: vec![0.0; texts.len()],
            ids: texts.iter().cloned().zip(0..).collect(),
            texts,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// An id from metadata, which must be one of this vocabulary's.
    pub(crate) fn id_of_key(&self, metadata: &Metadata, key: &str) -> Result<Option<u32>> {
        match metadata.u32(key)? {
            Some(id) if id as usize >= self.len() => {
                Err(Error::Vocabulary(format!("{key} is {id} and there are {} tokens", self.len())))
            }
            id => Ok(id),
        }
    }
}

fn kinds(metadata: &Metadata, len: usize) -> Result<Vec<Kind>> {
    let Some(numbers) = metadata.i32s("tokenizer.ggml.token_type")? else {
        return Ok(vec![Kind::Normal; len]);
    };
    same_len("token types", numbers.len(), len)?;
    let kind = |number: &i32| match number {
        // Untyped: old converters leave it at tokens that pad the vocabulary.
        0 | 5 => Ok(Kind::Unused),
        1 => Ok(Kind::Normal),
        2 => Ok(Kind::Unknown),
        3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        6 => Ok(Kind::Byte),
        other => Err(Error::Vocabulary(format!("a token of unknown type {other}"))),
    };
    numbers.iter().map(kind).collect()
}

fn same_len(what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::Vocabulary(format!("{found} {what} for {wanted} tokens")))
}

fn bytes(text: &str, kind: Kind, writing: Writing) -> Vec<u8> {
    match (writing, kind) {
        (Writing::Sentence, Kind::Byte) => hex_byte(text).map_or_else(Vec::new, |byte| vec![byte]),
        (Writing::Sentence, Kind::Normal) => text.replace('▁', " ").into_bytes(),
        (Writing::ByteLetters, Kind::Normal) => {
            let letter = |letter: char| match byte_of(letter) {
                Some(byte) => vec![byte],
                None => letter.to_string().into_bytes(),
            };
            text.chars().flat_map(letter).collect()
        }
        _ => text.as_bytes().to_vec(),
    }
}

/// The byte of `<0xAB>`.
fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}
