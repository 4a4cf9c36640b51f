//! The tokenizer of a model.

use gguf::Metadata;

use crate::bpe::Bpe;
use crate::ends::ends;
use crate::specials::{Part, SpecialTokens};
use crate::spm::SentencePiece;
use crate::vocabulary::{Kind, Vocabulary, Writing};
use crate::{Error, Result};

/// Whether control tokens that are spelled in a text are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// `<|im_start|>` is the token: for rendered templates.
    Parse,
    /// It is eleven letters: for text as it stands.
    Plain,
}

/// Text to ids and back.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    specials: SpecialTokens,
    method: Method,
    bos: Option<u32>,
    eos: Option<u32>,
    adds_bos: bool,
    adds_eos: bool,
    ends: Vec<u32>,
}

enum Method {
    Bpe(Box<Bpe>),
    SentencePiece(SentencePiece),
}

impl Tokenizer {
    /// The tokenizer that a model's file describes.
    ///
    /// # Errors
    /// When the description is damaged, or of a kind that hob does not know.
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer> {
        let kind = metadata.str_required("tokenizer.ggml.model")?;
        let (mut vocabulary, method, adds_bos) = match kind {
            "gpt2" => {
                let vocabulary = Vocabulary::read(metadata, Writing::ByteLetters)?;
                let bpe = Bpe::read(metadata, &vocabulary)?;
                let adds_bos = bpe.adds_bos();
                (vocabulary, Method::Bpe(Box::new(bpe)), adds_bos)
            }
            "llama" => {
                let vocabulary = Vocabulary::read(metadata, Writing::Sentence)?;
                let sentence = SentencePiece::read(metadata, &vocabulary)?;
                (vocabulary, Method::SentencePiece(sentence), true)
            }
            other => return Err(Error::Kind(other.to_owned())),
        };
        // SentencePiece's own numbers, where a file is silent; byte-level files have no such
        // custom.
        let usual = |id: u32| {
            let spm = matches!(method, Method::SentencePiece(_));
            (spm && vocabulary.kinds.get(id as usize) == Some(&Kind::Control)).then_some(id)
        };
        let id =
            |name: &str| vocabulary.id_of_key(metadata, &format!("tokenizer.ggml.{name}_token_id"));
        let (bos, eos) = (id("bos")?.or_else(|| usual(1)), id("eos")?.or_else(|| usual(2)));
        let named = [eos, id("eot")?, id("eom")?];
        let ends = ends(&mut vocabulary, &named);
        // GGUF does not carry that Phi-3's control tokens take the white space after them.
        let name = metadata.str("general.name")?.unwrap_or("").to_lowercase();
        let strips_after = name.contains("phi-3") || name.contains("phi3");
        let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.add_{name}_token"));
        Ok(Tokenizer {
            specials: SpecialTokens::new(&vocabulary, strips_after),
            adds_bos: flag("bos")?.unwrap_or(adds_bos),
            adds_eos: flag("eos")?.unwrap_or(false),
            vocabulary,
            method,
            bos,
            eos,
            ends,
        })
    }

    /// Ids of a text, without start or end tokens.
    #[must_use]
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut first = true;
        for part in self.specials.cut(text, specials == Specials::Parse) {
            match part {
                Part::Special(id) => {
                    ids.push(id);
                    first = true;
                }
                Part::Text(text) => {
                    match &self.method {
                        Method::Bpe(bpe) => bpe.encode(text, &mut ids),
                        Method::SentencePiece(sentence) => {
                            sentence.encode(&self.vocabulary, text, first, &mut ids);
                        }
                    }
                    first = false;
                }
            }
        }
        ids
    }

    /// Text of ids; bytes that are no text become U+FFFD. Ids outside the vocabulary are skipped.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .filter_map(|id| self.vocabulary.bytes.get(*id as usize))
            .flatten()
            .copied()
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match &self.method {
            Method::SentencePiece(sentence) if sentence.adds_space => {
                text.strip_prefix(' ').map_or(text.clone(), str::to_owned)
            }
            _ => text,
        }
    }

    /// The bytes a token stands for; empty outside the vocabulary.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// A token as the vocabulary writes it; empty outside.
    #[must_use]
    pub fn token_text(&self, id: u32) -> &str {
        self.vocabulary.texts.get(id as usize).map_or("", String::as_str)
    }

    /// Whether a token steers and is no text.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.vocabulary.kinds.get(id as usize), Some(Kind::Control | Kind::Unknown))
    }

    /// Number of tokens.
    #[must_use]
    pub fn vocab_len(&self) -> usize {
        self.vocabulary.len()
    }

    /// The start token.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The end token.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether a prompt begins with the start token.
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Whether a text ends with the end token.
    #[must_use]
    pub fn adds_eos(&self) -> bool {
        self.adds_eos
    }

    /// Whether a token ends an answer.
    #[must_use]
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Kind, as the file names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.method {
            Method::Bpe(_) => "gpt2",
            Method::SentencePiece(_) => "llama",
        }
    }
}
