//! Byte-level BPE, GPT-2's kind: words are bytes, and pairs are merged in the order learnt.

use std::collections::HashMap;

use gguf::Metadata;

use crate::bytes::letters;
use crate::merge::merge;
use crate::pre::PreTokenizer;
use crate::vocabulary::{Kind, Vocabulary};
use crate::{Error, Result};

pub(crate) struct Bpe {
    pre: PreTokenizer,
    /// Token of each byte; none in vocabularies that lack it.
    bytes: [Option<u32>; 256],
    /// `(left, right)` to `(rank, joined)`.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Tokens by their bytes, where whole words are taken as they are.
    whole: HashMap<Vec<u8>, u32>,
}

impl Bpe {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Bpe> {
        let pre = metadata.str("tokenizer.ggml.pre")?.unwrap_or("default");
        let pre = PreTokenizer::named(pre)?;
        let key = "tokenizer.ggml.merges";
        let missing = || gguf::Error::KeyMissing(key.to_owned());
        let lines = metadata.strings(key)?.ok_or_else(missing)?;
        let mut merges = HashMap::with_capacity(lines.len());
        for (line, rank) in lines.iter().zip(0..) {
            let (pair, joined) = merge_of(line, vocabulary).ok_or_else(|| {
                Error::Vocabulary(format!("merge {rank} (`{line}`) names no tokens"))
            })?;
            // A pair that is listed twice keeps its first rank.
            merges.entry(pair).or_insert((rank, joined));
        }
        let byte = |i: usize| vocabulary.ids.get(&letters()[i].to_string()).copied();
        let bytes = std::array::from_fn(byte);
        // Real vocabularies may lack bytes that their texts never had; not these.
        if let Some(lacking) = (0x20..0x7F).find(|i| bytes[*i].is_none()) {
            let what = format!("no token for the byte 0x{lacking:02X}");
            return Err(Error::Vocabulary(what));
        }
        let whole = if pre.whole_words { whole_words(vocabulary) } else { HashMap::new() };
        Ok(Bpe { pre, bytes, merges, whole })
    }

    pub(crate) fn adds_bos(&self) -> bool {
        self.pre.adds_bos
    }

    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        for word in self.pre.words(text) {
            if let Some(id) = self.whole.get(word.as_bytes()) {
                out.push(*id);
                continue;
            }
            let symbols: Vec<u32> =
                word.bytes().filter_map(|byte| self.bytes[usize::from(byte)]).collect();
            let join = |left, right| self.merges.get(&(left, right)).copied();
            out.extend(merge(&symbols, join));
        }
    }
}

/// Tokens that stand for a word: never a control token, which only the template may write.
fn whole_words(vocabulary: &Vocabulary) -> HashMap<Vec<u8>, u32> {
    let tokens = vocabulary.bytes.iter().zip(&vocabulary.kinds).zip(0..);
    let normal = tokens.filter(|((_, kind), _)| **kind == Kind::Normal);
    normal.map(|((bytes, _), id)| (bytes.clone(), id)).collect()
}

fn merge_of(line: &str, vocabulary: &Vocabulary) -> Option<((u32, u32), u32)> {
    // The separator is the first space after the first letter: a token may begin with one.
    let at = line.char_indices().skip(1).find(|(_, letter)| *letter == ' ')?.0;
    let (left, right) = (&line[..at], &line[at + 1..]);
    let id = |text: &str| vocabulary.ids.get(text).copied();
    Some(((id(left)?, id(right)?), id(&format!("{left}{right}"))?))
}
