//! The tokens of a model as a tree of bytes, built once.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::ParserFactory;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

use crate::cache::Cache;
use crate::error::one_line;
use crate::limits::{CACHED_MAX, WORD_BYTES_MAX};
use crate::reasoning::{self, Breakers};
use crate::{Error, Limits, Result};

/// One token, as a grammar sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Bytes of an answer's text.
    Text(&'a [u8]),
    /// A control token and what it is called: never text, only what a grammar or the end of
    /// reasoning names.
    Control(&'a [u8]),
}

impl<'a> Word<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Word::Text(bytes) | Word::Control(bytes) => bytes,
        }
    }
}

/// The tokens of a model, shared by all its grammars.
pub struct Vocabulary {
    pub(crate) factory: ParserFactory,
    pub(crate) cache: Mutex<Cache>,
    pub(crate) compiling: Arc<AtomicUsize>,
    pub(crate) limits: Limits,
    /// Ids of control tokens by what they are called.
    controls: HashMap<Vec<u8>, u32>,
    ends: Vec<u32>,
    words: Vec<Box<[u8]>>,
    breakers: Mutex<Vec<Known>>,
}

/// A marker, and the tokens that go on behind it.
type Known = (Box<[u8]>, Arc<Breakers>);

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Vocabulary of {} tokens", self.words.len())
    }
}

impl Vocabulary {
    /// `words` by id; `ends` are the tokens that end an answer. An end is allowed only where the
    /// grammar may end.
    ///
    /// # Errors
    /// There are no tokens, or more than a grammar can tell apart, or an end that is none of them.
    pub fn new<'a>(
        words: impl IntoIterator<Item = Word<'a>>,
        ends: &[u32],
        limits: Limits,
    ) -> Result<Arc<Vocabulary>> {
        /// What the tree of tokens can hold.
        const TOKENS_MAX: usize = 1 << 21;
        let words: Vec<Word<'a>> = words.into_iter().take(TOKENS_MAX + 1).collect();
        if words.is_empty() || words.len() > TOKENS_MAX {
            let len = words.len();
            return Err(Error::Vocabulary(format!("{len} tokens; 1 to {TOKENS_MAX} are possible")));
        }
        let ends = ends.to_vec();
        if let Some(end) = ends.iter().find(|end| **end as usize >= words.len()) {
            return Err(Error::Vocabulary(format!("its end token {end} is none of its tokens")));
        }
        let mut controls = HashMap::new();
        for (id, word) in (0..).zip(&words) {
            if let Word::Control(name) = word {
                controls.entry(name.to_vec()).or_insert(id);
            }
        }
        let factory = factory(&words, &ends, &limits)
            .map_err(|error| Error::Vocabulary(one_line(&error.to_string())))?;
        Ok(Arc::new(Vocabulary {
            factory,
            cache: Mutex::default(),
            compiling: Arc::default(),
            limits,
            controls,
            ends,
            words: words.into_iter().map(|word| word.bytes().into()).collect(),
            breakers: Mutex::default(),
        }))
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never: a vocabulary has tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Bytes of a token; of a control token what it is called.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.words.get(id as usize).map_or(&[], |word| word)
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..).zip(self.words.iter().map(|word| &**word))
    }

    /// See [`Breakers`]; a model has a marker or two.
    pub(crate) fn breakers(&self, close: &[u8]) -> Arc<Breakers> {
        let mut known = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known.iter().find(|(its, _)| &**its == close) {
            return Arc::clone(found);
        }
        let found = Arc::new(reasoning::breakers(close, self));
        if known.len() < CACHED_MAX {
            known.push((close.into(), Arc::clone(&found)));
        }
        found
    }

    /// The control token of this name.
    pub(crate) fn control(&self, name: &[u8]) -> Option<u32> {
        self.controls.get(name).copied()
    }

    /// The token with exactly this text, control tokens first.
    pub(crate) fn named(&self, text: &[u8]) -> Option<u32> {
        self.control(text).or_else(|| self.factory.tok_env().tok_trie().token_id(text))
    }
}

fn factory(
    words: &[Word<'_>],
    ends: &[u32],
    limits: &Limits,
) -> std::result::Result<ParserFactory, Box<dyn std::error::Error + Send + Sync>> {
    let marker = TokTrie::SPECIAL_TOKEN_MARKER;
    let bytes: Vec<Vec<u8>> = words
        .iter()
        .map(|word| match word {
            Word::Text(bytes) if bytes.len() <= WORD_BYTES_MAX && !bytes.contains(&marker) => {
                bytes.to_vec()
            }
            Word::Control(name) if name.len() < WORD_BYTES_MAX => [&[marker][..], name].concat(),
            // Empty ones are never drawn; no text has the byte 255.
            Word::Text(_) | Word::Control(_) => Vec::new(),
        })
        .collect();
    let len = u32::try_from(bytes.len())?;
    let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
    let mut trie = TokTrie::from(&TokRxInfo::new(len, end), &bytes);
    if !ends.is_empty() {
        trie = trie.with_eos_tokens(ends);
    }
    let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let mut factory = ParserFactory::new_simple(&env)?;
    factory.quiet();
    let cost = factory.limits_mut();
    cost.max_grammar_size = limits.symbols;
    cost.max_lexer_states = limits.lexer_states;
    cost.step_lexer_fuel = limits.mask_lexer_work;
    cost.step_max_items = limits.mask_items;
    cost.verbose_errors = false;
    Ok(factory)
}
