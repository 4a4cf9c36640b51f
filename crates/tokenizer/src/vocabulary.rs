//! The tokens: their texts, bytes, kinds and scores, checked against each other.

use gguf::Metadata;

use crate::bytes::byte_of;
use crate::index::Index;
use crate::limits::{TEXTS_BYTES_MAX, TOKEN_BYTES_MAX, VOCAB_MAX};
use crate::merge::place;
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
    /// WordPiece: `##` before what goes on with a word; marks stand without a space before them.
    Pieces,
    /// The same with a space before marks too.
    PiecesAsTheyAre,
    /// WordPiece as GGUF writes it: `▁` before what begins a word.
    Phantom,
    /// Words; a space comes before each.
    Words,
}

/// Texts one after the other in one piece of memory.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    fn end(&mut self) {
        self.ends.push(place(self.bytes.len()));
    }

    #[inline]
    fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.bytes[start..self.ends[id] as usize]
    }
}

pub(crate) struct Vocabulary {
    texts: Texts,
    bytes: Texts,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) scores: Vec<f32>,
    index: Index,
    /// Bytes of the longest text.
    pub(crate) longest: usize,
    /// Whether no two tokens have one text.
    pub(crate) unique: bool,
}

impl Vocabulary {
    pub(crate) fn read(metadata: &Metadata, writing: Writing) -> Result<Vocabulary> {
        let key = "tokenizer.ggml.tokens";
        let missing = || gguf::Error::KeyMissing(key.to_owned());
        let texts = metadata.strings(key)?.ok_or_else(missing)?;
        let kinds = kinds(metadata, texts.len())?;
        let scores = match metadata.f32s("tokenizer.ggml.scores")? {
            Some(scores) => scores.to_vec(),
            None => vec![0.0; texts.len()],
        };
        same_len("scores", scores.len(), texts.len())?;
        Vocabulary::new(texts.iter(), kinds, scores, writing)
    }

    /// Of tokens as they are written.
    pub(crate) fn new<'a>(
        texts: impl ExactSizeIterator<Item = &'a str> + Clone,
        kinds: Vec<Kind>,
        scores: Vec<f32>,
        writing: Writing,
    ) -> Result<Vocabulary> {
        if texts.len() == 0 || texts.len() > VOCAB_MAX {
            let what = format!("{} tokens: 1 to {VOCAB_MAX} go", texts.len());
            return Err(Error::Vocabulary(what));
        }
        let longest = texts.clone().map(str::len).max().unwrap_or(0);
        if longest > TOKEN_BYTES_MAX {
            let long = texts.clone().position(|text| text.len() == longest).unwrap_or(0);
            let what = format!("token {long} is longer than {TOKEN_BYTES_MAX} bytes");
            return Err(Error::Vocabulary(what));
        }
        let all: usize = texts.clone().map(str::len).sum();
        if all > TEXTS_BYTES_MAX {
            let what = format!("its texts have {all} bytes: {TEXTS_BYTES_MAX} go");
            return Err(Error::Vocabulary(what));
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Vocabulary(format!("the score of token {id} is no number")));
        }
        let mut vocabulary = Vocabulary {
            texts: Texts::default(),
            bytes: Texts::default(),
            kinds,
            scores,
            index: Index::with_capacity(texts.len()),
            longest,
            unique: true,
        };
        // What grows beside something else leaves holes that stay with the process.
        for texts_of in [&mut vocabulary.texts, &mut vocabulary.bytes] {
            texts_of.bytes.reserve_exact(all);
            texts_of.ends.reserve_exact(texts.len());
        }
        for (text, kind) in texts.zip(&vocabulary.kinds) {
            vocabulary.texts.bytes.extend_from_slice(text.as_bytes());
            vocabulary.texts.end();
            write_bytes(text, *kind, writing, &mut vocabulary.bytes.bytes);
            vocabulary.bytes.end();
        }
        for id in 0..vocabulary.len_u32() {
            let (texts, index) = (&vocabulary.texts, &mut vocabulary.index);
            vocabulary.unique &= index.insert(id, |id| texts.get(id));
        }
        Ok(vocabulary)
    }

    /// A vocabulary of one kind of token.
    #[cfg(test)]
    pub(crate) fn plain(texts: &[&str], kind: Kind) -> Vocabulary {
        let (kinds, scores) = (vec![kind; texts.len()], vec![0.0; texts.len()]);
        let texts = texts.iter().copied();
        Vocabulary::new(texts, kinds, scores, Writing::Sentence).expect("a vocabulary")
    }

    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    fn len_u32(&self) -> u32 {
        place(self.len())
    }

    /// Every id.
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        0..self.len_u32()
    }

    /// A token as the file writes it; empty outside.
    pub(crate) fn text(&self, id: u32) -> &str {
        let inside = (id as usize) < self.len();
        let bytes = if inside { self.texts.get(id) } else { &[] };
        std::str::from_utf8(bytes).unwrap_or("")
    }

    /// What a token stands for; empty outside.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        if (id as usize) < self.len() { self.bytes.get(id) } else { &[] }
    }

    /// Id of a text.
    #[inline]
    pub(crate) fn id_of(&self, text: &[u8]) -> Option<u32> {
        self.index.get(text, |id| self.texts.get(id))
    }

    /// Whether the text of an id is these two, one after the other.
    #[inline]
    pub(crate) fn is_text(&self, id: u32, left: &[u8], right: &[u8]) -> bool {
        if id as usize >= self.len() {
            return false;
        }
        let text = self.texts.get(id);
        text.len() == left.len() + right.len() && text.starts_with(left) && text.ends_with(right)
    }

    /// Id of a text that letters may become: never a control or byte token, though its text may
    /// be spelled by them.
    #[inline]
    pub(crate) fn piece(&self, text: &[u8]) -> Option<u32> {
        let id = self.id_of(text)?;
        let kind = self.kinds[id as usize];
        matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused).then_some(id)
    }

    /// The first id of each byte's token, where the vocabulary has it.
    pub(crate) fn byte_tokens(&self) -> [u32; 256] {
        let mut tokens = [u32::MAX; 256];
        for id in self.ids().filter(|id| self.kinds[*id as usize] == Kind::Byte) {
            if let [byte] = self.bytes(id) {
                let token = &mut tokens[usize::from(*byte)];
                *token = (*token).min(id);
            }
        }
        tokens
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

/// Marks that stand without a space before them.
const NO_SPACE_BEFORE: &[&str] = &["!", ",", ".", "?"];

fn write_bytes(text: &str, kind: Kind, writing: Writing, out: &mut Vec<u8>) {
    let plain = matches!(kind, Kind::Normal | Kind::Unused);
    match writing {
        _ if kind == Kind::Byte => out.extend(hex_byte(text)),
        Writing::ByteLetters if plain => {
            for letter in text.chars() {
                match byte_of(letter) {
                    Some(byte) => out.push(byte),
                    None => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        Writing::Sentence if plain => replace_spaces(text, out),
        Writing::ByteLetters | Writing::Sentence => out.extend_from_slice(text.as_bytes()),
        Writing::Phantom if plain => match text.strip_prefix('▁') {
            Some(mark) if NO_SPACE_BEFORE.contains(&mark) => out.extend_from_slice(mark.as_bytes()),
            _ => replace_spaces(text, out),
        },
        Writing::Pieces | Writing::PiecesAsTheyAre | Writing::Phantom | Writing::Words => {
            let pieces = matches!(writing, Writing::Pieces | Writing::PiecesAsTheyAre);
            let goes_on = if pieces { text.strip_prefix("##") } else { None };
            let bare = writing == Writing::Pieces && NO_SPACE_BEFORE.contains(&text);
            if goes_on.is_none() && !bare {
                out.push(b' ');
            }
            out.extend_from_slice(goes_on.unwrap_or(text).as_bytes());
        }
    }
}

fn replace_spaces(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('▁') {
        out.extend_from_slice(before.as_bytes());
        out.push(b' ');
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The byte of `<0xAB>`.
fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}
