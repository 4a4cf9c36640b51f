//! `model` and `added_tokens`: the vocabulary, and how words become ids.

use serde_json::Value;

use super::decoder::Decoder;
use super::pre::Pre;
use super::read::Node;
use crate::Result;
use crate::bpe::{Bpe, MergeText, Parts, Whole};
use crate::limits::{VOCAB_MAX, WORD_PIECE_CHARS_MAX};
use crate::pre::{SpaceCut, Step};
use crate::specials::Special;
use crate::tokenizer::Model;
use crate::unigram::Unigram;
use crate::vocabulary::{Kind, Vocabulary, Writing};
use crate::wordpiece::WordPiece;

pub(super) struct Parsed {
    pub(super) kind: &'static str,
    pub(super) vocabulary: Vocabulary,
    pub(super) model: Model,
    pub(super) steps: Vec<Step>,
    pub(super) unknown: Option<u32>,
    pub(super) added: Vec<Added>,
}

/// An added token; `normalized` says that it is looked for after the normaliser's steps.
pub(super) struct Added {
    pub(super) special: Special,
    pub(super) normalized: bool,
}

/// Tokens by id.
struct Tokens<'a> {
    texts: Vec<&'a str>,
    kinds: Vec<Kind>,
    scores: Vec<f32>,
}

impl<'a> Tokens<'a> {
    /// Puts a token at its id; a hole before it is a token that is never used.
    fn put(&mut self, node: &Node<'_>, text: &'a str, id: u32, kind: Kind) -> Result<()> {
        let at = id as usize;
        if at >= VOCAB_MAX {
            return Err(node.wrong(&format!("has token {id}: below {VOCAB_MAX} go")));
        }
        if at >= self.texts.len() {
            self.texts.resize(at + 1, "");
            self.kinds.resize(at + 1, Kind::Unused);
            self.scores.resize(at + 1, 0.0);
        }
        if !self.texts[at].is_empty() && self.texts[at] != text {
            let what = format!("has two tokens {id}: `{}` and `{text}`", self.texts[at]);
            return Err(node.wrong(&what));
        }
        (self.texts[at], self.kinds[at]) = (text, kind);
        Ok(())
    }
}

pub(super) fn read(root: &Node<'_>, pre: Pre, decoder: &Decoder) -> Result<Parsed> {
    let model = root.part("model");
    let kind = kind(&model)?;
    let falls_back = kind != "WordPiece" && model.part("byte_fallback").flag(false)?;
    let mut tokens = Tokens { texts: Vec::new(), kinds: Vec::new(), scores: Vec::new() };
    let vocab = model.part("vocab");
    let normal = |text: &str| {
        let byte = falls_back && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
        if byte { Kind::Byte } else { Kind::Normal }
    };
    if kind == "Unigram" {
        for (pair, id) in vocab.list()?.iter().zip(0..) {
            let (text, score) = (pair.get(0).and_then(Value::as_str), pair.get(1));
            let (Some(text), Some(score)) = (text, score.and_then(Value::as_f64)) else {
                return Err(vocab.wrong(&format!("entry {id} is no text with a score")));
            };
            tokens.put(&vocab, text, id, normal(text))?;
            tokens.scores[id as usize] = score as f32;
        }
    } else {
        for (text, id) in vocab.map()? {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| vocab.wrong(&format!("has no number at `{text}`")))?;
            tokens.put(&vocab, text, id, normal(text))?;
        }
    }
    let unknown = unknown(&model, kind, &mut tokens)?;
    let added = added(&root.part("added_tokens"), &mut tokens)?;
    let writing = match decoder.writing {
        // Tokens of bytes are read by their letters, whatever the decoder leaves out.
        _ if pre.byte_letters => Writing::ByteLetters,
        writing => writing,
    };
    let Tokens { texts, kinds, scores } = tokens;
    let texts = texts.iter().map(AsRef::as_ref);
    let vocabulary = Vocabulary::new(texts, kinds, scores, writing)?;
    let mut steps = pre.steps;
    let whole_text = match kind {
        "BPE" => !pre.byte_letters,
        other => other == "Unigram",
    };
    if whole_text && vocabulary.piece("▁".as_bytes()).is_some() {
        let words = vocabulary.ids().filter(|id| vocabulary.kinds[*id as usize] != Kind::Control);
        let cut = SpaceCut::new(words.map(|id| vocabulary.text(id)));
        steps.push(Step::BeforeSpace(Box::new(cut)));
    }
    let (kind, made) = match kind {
        "BPE" => ("BPE", bpe(&model, &vocabulary, pre.byte_letters, unknown)?),
        "Unigram" => {
            let unknown = unknown.ok_or_else(|| model.wrong("has no unk_id"))?;
            let made = Unigram::new(&vocabulary, unknown, falls_back);
            ("Unigram", Model::Unigram(Box::new(made)))
        }
        _ => ("WordPiece", word_piece(&model, &vocabulary, unknown)?),
    };
    Ok(Parsed { kind, vocabulary, model: made, steps, unknown, added })
}

/// The type of the model; old files do not say it.
fn kind<'a>(model: &Node<'a>) -> Result<&'a str> {
    let kind = if model.part("type").is_null() {
        if !model.part("merges").is_null() {
            "BPE"
        } else if model.part("vocab").value.is_array() {
            "Unigram"
        } else {
            "WordPiece"
        }
    } else {
        model.kind()?
    };
    match kind {
        "BPE" | "Unigram" | "WordPiece" => Ok(kind),
        other => Err(model.unknown_kind(other)),
    }
}

fn unknown(model: &Node<'_>, kind: &str, tokens: &mut Tokens<'_>) -> Result<Option<u32>> {
    let key = if kind == "Unigram" { "unk_id" } else { "unk_token" };
    let node = model.part(key);
    if node.is_null() {
        return Ok(None);
    }
    let id = if kind == "Unigram" {
        node.id()?
    } else {
        let text = node.str()?;
        let id = tokens.texts.iter().position(|known| *known == text);
        let id = id.ok_or_else(|| node.wrong(&format!("`{text}` is no token")))?;
        u32::try_from(id).map_err(|_| node.wrong("is no token"))?
    };
    let Some(kind) = tokens.kinds.get_mut(id as usize) else {
        return Err(node.wrong("is no token"));
    };
    *kind = Kind::Unknown;
    Ok(Some(id))
}

fn added<'a>(list: &Node<'a>, tokens: &mut Tokens<'a>) -> Result<Vec<Added>> {
    let mut added = Vec::new();
    if list.is_null() {
        return Ok(added);
    }
    for value in list.list()? {
        let node = Node::root(value);
        let place = |_| list.wrong("has a token without id or content");
        let (id, text) = (node.part("id").id().map_err(place)?, node.part("content"));
        let text = text.str().map_err(place)?;
        let flag = |key: &str| node.part(key).flag(false);
        let control = flag("special")?;
        tokens.put(list, text, id, if control { Kind::Control } else { Kind::UserDefined })?;
        let special = Special {
            text: text.to_owned(),
            id,
            control,
            strips_before: flag("lstrip")?,
            strips_after: flag("rstrip")?,
            whole_word: flag("single_word")?,
        };
        added.push(Added { special, normalized: node.part("normalized").flag(!control)? });
    }
    Ok(added)
}

fn bpe(
    model: &Node<'_>,
    vocabulary: &Vocabulary,
    byte_letters: bool,
    unknown: Option<u32>,
) -> Result<Model> {
    for key in ["continuing_subword_prefix", "dropout", "end_of_word_suffix"] {
        model.part(key).must_be_unset()?;
    }
    let parts = if byte_letters { Parts::Bytes } else { Parts::Characters };
    let whole = if model.part("ignore_merges").flag(false)? { Whole::All } else { Whole::None };
    let fuses = model.part("fuse_unk").flag(false)?;
    let merges = model.part("merges").list()?.iter().map(merge);
    let unknown = unknown.map(|id| (id, fuses));
    Ok(Model::Bpe(Box::new(Bpe::new(vocabulary, parts, whole, unknown, merges)?)))
}

/// A merge: two texts, or, in older files, one with a space between them.
fn merge(value: &Value) -> Option<MergeText<'_>> {
    match value {
        Value::String(line) => line.split_once(' '),
        Value::Array(pair) if pair.len() == 2 => Some((pair[0].as_str()?, pair[1].as_str()?)),
        _ => None,
    }
}

fn word_piece(model: &Node<'_>, vocabulary: &Vocabulary, unknown: Option<u32>) -> Result<Model> {
    let prefix = model.part("continuing_subword_prefix");
    if !prefix.is_null() && prefix.str()? != "##" {
        return Err(prefix.wrong("must be `##`"));
    }
    let unknown = unknown.ok_or_else(|| model.wrong("has no unk_token"))?;
    let chars = model.part("max_input_chars_per_word");
    let chars = if chars.is_null() { WORD_PIECE_CHARS_MAX } else { chars.id()? as usize };
    let words =
        |id: &u32| matches!(vocabulary.kinds[*id as usize], Kind::Normal | Kind::UserDefined);
    let tokens = || vocabulary.ids().filter(words).map(|id| (vocabulary.text(id), id));
    let continuing = tokens().filter_map(|(text, id)| Some((text.strip_prefix("##")?, id)));
    let made = WordPiece::new(tokens(), continuing, unknown, chars);
    Ok(Model::WordPiece(Box::new(made)))
}
