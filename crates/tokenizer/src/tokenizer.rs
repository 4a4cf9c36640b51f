//! The tokenizer of a model.

use std::sync::Mutex;

use crate::Result;
use crate::bpe::Bpe;
use crate::ids::SpecialIds;
use crate::limits::SCRATCH_MAX;
use crate::merge::Merger;
use crate::normal::{Normal, apply};
use crate::pre::{Step, cut};
use crate::sentence::Sentence;
use crate::specials::{Part, SpecialTokens};
use crate::unigram::{Best, Unigram};
use crate::vocabulary::{Kind, Vocabulary};
use crate::wordpiece::WordPiece;
use crate::words::Words;

/// Whether control tokens that are spelled in a text are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// `<|im_start|>` is the token: for rendered templates.
    Parse,
    /// It is twelve letters: for text as it stands.
    Plain,
}

/// Text to ids and back.
pub struct Tokenizer {
    pub(crate) kind: &'static str,
    pub(crate) vocabulary: Vocabulary,
    /// Found in the text as it is.
    pub(crate) specials: SpecialTokens,
    /// Found after the normaliser's steps.
    pub(crate) later_specials: SpecialTokens,
    pub(crate) normal: Vec<Normal>,
    pub(crate) steps: Vec<Step>,
    /// Whether a text begins anew after a special token.
    pub(crate) starts_anew: bool,
    pub(crate) model: Model,
    /// Whether a text that is decoded loses one space at its start.
    pub(crate) strips_space: bool,
    pub(crate) ids: SpecialIds,
    pub(crate) adds_bos: bool,
    pub(crate) adds_eos: bool,
    pub(crate) ends: Vec<u32>,
    pub(crate) spare: Spare,
}

/// How words become ids.
pub(crate) enum Model {
    Bpe(Box<Bpe>),
    Sentence(Box<Sentence>),
    Unigram(Box<Unigram>),
    WordPiece(Box<WordPiece>),
}

impl Tokenizer {
    /// Ids of a text, without start or end tokens.
    #[must_use]
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        let mut scratch = self.spare.take();
        let parse = specials == Specials::Parse;
        let mut start = true;
        self.specials.cut(text, parse, &mut |part| match part {
            Part::Special(id) => {
                ids.push(id);
                start = self.starts_anew;
            }
            Part::Text(text) => {
                self.encode_text(text, Place { start, parse }, &mut scratch, &mut ids);
                start = false;
            }
        });
        self.spare.give_back(scratch);
        ids
    }

    /// Appends the ids of a text between special tokens.
    fn encode_text(
        &self,
        text: &str,
        Place { start, parse }: Place,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let Scratch { words, parts, normal: (out, spare) } = scratch;
        let mut encode = |text: &str, start: bool, ids: &mut Vec<u32>| {
            cut(&self.steps, text, start, &mut |word| {
                words.ids(word, ids, |word, ids| self.word(word, parts, ids));
            });
        };
        if self.normal.is_empty() && self.later_specials.is_empty() {
            encode(text, start, ids);
            return;
        }
        let text = apply(&self.normal, text, start, out, spare);
        let mut start = start;
        self.later_specials.cut(text, parse, &mut |part| {
            match part {
                Part::Special(id) => ids.push(id),
                Part::Text(text) => encode(text, start, ids),
            }
            start = false;
        });
    }

    fn word(&self, word: &str, parts: &mut Parts, ids: &mut Vec<u32>) {
        let vocabulary = &self.vocabulary;
        match &self.model {
            Model::Bpe(bpe) => bpe.word(vocabulary, word, &mut parts.merger, ids),
            Model::Sentence(model) => model.word(vocabulary, word, &mut parts.merger, ids),
            Model::Unigram(model) => model.word(vocabulary, word, &mut parts.best, ids),
            Model::WordPiece(model) => model.word(word, ids),
        }
    }

    /// Text of ids; bytes that are no text become U+FFFD. Ids outside the vocabulary are skipped.
    ///
    /// The space that a tokenizer put before the first word is taken away again.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> =
            ids.iter().flat_map(|id| self.vocabulary.bytes(*id)).copied().collect();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if self.strips_space && text.starts_with(' ') {
            text.remove(0);
        }
        text
    }

    /// The bytes a token stands for; empty outside the vocabulary.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// A token as the vocabulary writes it; empty outside.
    #[must_use]
    pub fn token_text(&self, id: u32) -> &str {
        self.vocabulary.text(id)
    }

    /// Id of a token as the vocabulary writes it.
    #[must_use]
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.vocabulary.id_of(text.as_bytes())
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

    /// Tokens that have a role.
    #[must_use]
    pub fn special_ids(&self) -> &SpecialIds {
        &self.ids
    }

    /// The start token.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.ids.bos
    }

    /// The end token.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.ids.eos
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

    /// Tells start and end tokens that stand beside a `tokenizer.json`, in the model's
    /// configuration. The first end is the end token; all of them end an answer.
    ///
    /// # Errors
    /// When an id is outside the vocabulary.
    pub fn name_ends(&mut self, bos: Option<u32>, ends: &[u32]) -> Result<()> {
        let len = self.vocab_len();
        if let Some(id) = bos.iter().chain(ends).find(|id| **id as usize >= len) {
            let what = format!("the configuration names token {id} and there are {len}");
            return Err(crate::Error::Vocabulary(what));
        }
        self.ids.bos = bos.or(self.ids.bos);
        self.ids.eos = ends.first().copied().or(self.ids.eos);
        self.ends.extend(ends);
        self.ends.sort_unstable();
        self.ends.dedup();
        Ok(())
    }

    /// Kind: as a GGUF file names it, or the model's type in a `tokenizer.json`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

/// Where a text stands, and whether control tokens in it are meant.
#[derive(Clone, Copy)]
struct Place {
    start: bool,
    parse: bool,
}

/// Working memory for one text.
pub(crate) struct Scratch {
    words: Words,
    parts: Parts,
    /// The text after each step of the normaliser.
    normal: (String, String),
}

#[derive(Default)]
struct Parts {
    merger: Merger,
    best: Vec<Best>,
}

/// Working memories that wait for the next text, so that words seen before are still known.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Scratch>>);

impl Spare {
    fn take(&self) -> Scratch {
        // A thread that panicked cannot leave one behind half done: they are taken out for use.
        let mut spare = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spare.pop().unwrap_or_else(|| Scratch {
            words: Words::new(),
            parts: Parts::default(),
            normal: Default::default(),
        })
    }

    fn give_back(&self, mut scratch: Scratch) {
        scratch.trim();
        let mut spare = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if spare.len() < SCRATCH_MAX {
            spare.push(scratch);
        }
    }
}

impl Scratch {
    /// Lets go of what only a huge text needed.
    fn trim(&mut self) {
        const KEPT_BYTES: usize = 1 << 20;
        if self.normal.0.capacity() > KEPT_BYTES {
            self.normal = Default::default();
        }
        if self.parts.merger.symbols.capacity() * 12 > KEPT_BYTES
            || self.parts.best.capacity() * 16 > KEPT_BYTES
        {
            self.parts = Parts::default();
        }
    }
}
