//! SentencePiece BPE, Llama's kind: words are characters, and the pair whose token has the best
//! score is joined first; what is no token is spelled in bytes.

use std::collections::HashMap;

use gguf::Metadata;

use crate::Result;
use crate::merge::merge;
use crate::vocabulary::{Kind, Vocabulary};

pub(crate) struct SentencePiece {
    /// Whether a space is put before the text.
    pub(crate) adds_space: bool,
    /// Token of each byte, `<0xAB>`.
    bytes: HashMap<u8, u32>,
    unknown: Option<u32>,
}

impl SentencePiece {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<SentencePiece> {
        let adds_space = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let is_byte = |id: &u32| vocabulary.kinds[*id as usize] == Kind::Byte;
        let ids = (0..).take(vocabulary.len()).filter(is_byte);
        let bytes =
            ids.filter_map(|id| Some((*vocabulary.bytes[id as usize].first()?, id))).collect();
        // As SentencePiece numbers them where a file is silent.
        let first = || (vocabulary.kinds[0] == Kind::Unknown).then_some(0);
        let unknown = vocabulary.id_of_key(metadata, "tokenizer.ggml.unknown_token_id")?;
        let unknown = unknown.or_else(first);
        Ok(SentencePiece { adds_space, bytes, unknown })
    }

    /// `first` says whether the text is at the start, or after a special token.
    pub(crate) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        first: bool,
        out: &mut Vec<u32>,
    ) {
        let space = if self.adds_space && first { "▁" } else { "" };
        let text = format!("{space}{}", text.replace(' ', "▁"));
        // Symbols are numbers: tokens as they are, other characters after the vocabulary's end.
        let end = u32::try_from(vocabulary.len()).unwrap_or(u32::MAX);
        // Letters never become a control or byte token, though its text may be spelled by them.
        let piece = |text: &str| {
            let id = vocabulary.ids.get(text).copied()?;
            let kind = vocabulary.kinds[id as usize];
            matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused).then_some(id)
        };
        let symbol = |c: char| piece(c.encode_utf8(&mut [0; 4])).unwrap_or(end + u32::from(c));
        let symbols: Vec<u32> = text.chars().map(symbol).collect();
        let text_of = |symbol: u32| match vocabulary.texts.get(symbol as usize) {
            Some(text) => text.clone(),
            None => char::from_u32(symbol - end).map(String::from).unwrap_or_default(),
        };
        let join = |left: u32, right: u32| {
            let joined = piece(&(text_of(left) + &text_of(right)))?;
            Some((Score(vocabulary.scores[joined as usize]), joined))
        };
        for symbol in merge(&symbols, join) {
            if symbol < end {
                out.push(symbol);
                continue;
            }
            for byte in text_of(symbol).bytes() {
                out.extend(self.bytes.get(&byte).copied().or(self.unknown));
            }
        }
    }
}

/// A score as an order: the highest first.
#[derive(PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
