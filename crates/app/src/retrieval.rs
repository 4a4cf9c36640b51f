//! Embeddings and scores of pairs, from texts to numbers.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use engine::{Engine, RetrievalRequest, TEXTS_MAX, TextTokens};
use gguf::GgufFile;
use model::ModelSpec;
use tokenizer::{Specials, Tokenizer};

use crate::loaded::{PAGE_LEN, STEP_TOKENS_MAX};
use crate::watch::Watch;
use crate::{Energy, Error, ErrorKind, Result};

/// Longest text unless asked otherwise, where a text goes in one step: its working memory grows
/// with it.
pub(crate) const TEXT_LEN_DEFAULT: u32 = 2048;
/// Texts beyond those that fill their pages that one step may have.
const SHORT_TEXTS: u32 = 32;
/// Where a template takes the texts of a pair.
const QUERY: &str = "{query}";
const DOCUMENT: &str = "{document}";
/// Times that a document is cut again until what is made of it fits.
const CUTS_MAX: usize = 8;

/// What is embedded.
#[derive(Clone, Debug)]
pub enum Passage {
    /// A text; start and end tokens are added where the model wants them.
    Text(String),
    /// Token ids as they stand.
    Tokens(Vec<u32>),
}

/// Embed texts.
#[derive(Clone, Debug)]
pub struct EmbedRequest {
    /// Each by itself.
    pub passages: Vec<Passage>,
    /// Keep so many of the first values, for models that were trained so; all where none.
    pub dimensions: Option<u32>,
    /// Whether texts that are too long are cut; they are refused else.
    pub truncate: bool,
}

/// Score documents by a query.
#[derive(Clone, Debug)]
pub struct RerankRequest {
    /// What is asked.
    pub query: String,
    /// What may answer it.
    pub documents: Vec<String>,
    /// Whether documents that are too long are cut; they are refused else.
    pub truncate: bool,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Retrieved {
    /// Of each text in order: an embedding of length 1, or one score of 0 to 1.
    pub values: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub prompt_tokens: u32,
    /// What it drew.
    pub energy: Energy,
}

/// Rows of a step and pages of its cache: nothing is kept from one text to the next.
pub(crate) fn room(spec: &ModelSpec, context_len: u32) -> (u32, u32) {
    let whole = if spec.is_bidirectional() { context_len } else { 0 };
    let rows = whole.max(STEP_TOKENS_MAX);
    (rows, rows.max(context_len).div_ceil(PAGE_LEN) + SHORT_TEXTS)
}

/// What a model for retrieval makes of texts.
pub(crate) struct Retriever {
    /// Width of an embedding; none of a model that scores pairs.
    width: Option<usize>,
    /// Whether the second text of a pair has a type of its own.
    typed: bool,
    /// How a pair becomes one text, with `{query}` and `{document}`.
    pair: Option<String>,
    /// Whether texts of a pair are one behind the other without it.
    joins: bool,
}

/// A request in tokens, and what its numbers become.
pub(crate) struct Asked {
    texts: Vec<TextTokens>,
    shape: Shape,
    /// The request field that has the texts.
    field: &'static str,
}

#[derive(Clone, Copy)]
enum Shape {
    /// So many values, made of length 1.
    Embedding(usize),
    /// A probability.
    Score,
}

/// How the texts of pairs are made.
enum Form<'a> {
    /// A template with both texts in it.
    Filled(&'a str),
    /// What comes before each document.
    Joined(Vec<u32>),
}

/// The tokenizer, and the most tokens of a text.
type Words<'a> = (&'a Tokenizer, u32);

impl Retriever {
    /// None for a model that makes text.
    pub(crate) fn of(file: &GgufFile, spec: &ModelSpec) -> Result<Option<Retriever>> {
        if spec.pooling.is_none() {
            return Ok(None);
        }
        let key = "tokenizer.chat_template.rerank";
        let pair = file.metadata().str(key)?.map(str::to_owned);
        if pair.as_ref().is_some_and(|text| !text.contains(QUERY) || !text.contains(DOCUMENT)) {
            let message = format!("{key} has no place for {QUERY} or {DOCUMENT}");
            return Err(Error::new(ErrorKind::BadModel, message));
        }
        Ok(Some(Retriever {
            width: spec.classifier.is_none().then_some(spec.d),
            typed: spec.entry.types.is_some_and(|types| types > 1),
            pair,
            joins: spec.is_bidirectional(),
        }))
    }

    pub(crate) fn embed(&self, request: EmbedRequest, words: Words<'_>) -> Result<Asked> {
        let Some(width) = self.width else {
            let message =
                "this model scores pairs of texts and embeds none: choose one that embeds";
            return Err(Error::parameter("model", message.to_owned()));
        };
        let dimensions = request.dimensions.map_or(width, |wish| wish as usize);
        if dimensions == 0 || dimensions > width {
            let message = format!("{dimensions} dimensions: this model has 1 to {width}");
            return Err(Error::parameter("dimensions", message));
        }
        check_count(request.passages.len(), "input")?;
        let text = |passage| {
            let mut tokens = match passage {
                Passage::Text(text) => around(words.0, words.0.encode(&text, Specials::Plain)),
                Passage::Tokens(tokens) => tokens,
            };
            let excess = excess(&tokens, words);
            if excess > 0 && request.truncate {
                cut(&mut tokens, excess, ends(words.0));
            }
            TextTokens { tokens, types: Vec::new() }
        };
        let texts = request.passages.into_iter().map(text).collect();
        Ok(Asked { texts, shape: Shape::Embedding(dimensions), field: "input" })
    }

    pub(crate) fn rerank(&self, request: RerankRequest, words: Words<'_>) -> Result<Asked> {
        if self.width.is_some() {
            let message = "this model embeds texts and scores no pairs: choose a reranker";
            return Err(Error::parameter("model", message.to_owned()));
        }
        let RerankRequest { query, documents, truncate } = request;
        check_count(documents.len(), "documents")?;
        let of = (words, truncate);
        let form = match &self.pair {
            Some(template) => {
                check_query(&filled_tokens(words.0, template, (&query, "")), words)?;
                Form::Filled(template)
            }
            None if self.joins => {
                let head = head(words.0, &query);
                check_query(&head, words)?;
                Form::Joined(head)
            }
            None => {
                let message = "this reranker says nowhere how query and document become one text \
                               (tokenizer.chat_template.rerank)";
                return Err(Error::new(ErrorKind::BadModel, message.to_owned()));
            }
        };
        let mut texts = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            let text = match &form {
                Form::Filled(template) => templated(template, (&query, document), of)?,
                Form::Joined(head) => self.joined(head, document, of),
            };
            // The others need not be looked at: it is refused.
            if excess(&text.tokens, words) > 0 {
                let (len, context_len) = (text.tokens.len(), words.1);
                let error = engine::Error::TextTooLong { index, len, context_len };
                return Err(Error { parameter: Some("documents"), ..error.into() });
            }
            texts.push(text);
        }
        Ok(Asked { texts, shape: Shape::Score, field: "documents" })
    }

    /// A head, then `document [SEP]`.
    fn joined(&self, head: &[u32], document: &str, of: (Words<'_>, bool)) -> TextTokens {
        let (words, truncate) = of;
        let end = words.0.eos();
        let mut tokens = head.to_vec();
        tokens.extend(words.0.encode(document, Specials::Plain));
        tokens.extend(end);
        let excess = excess(&tokens, words);
        if excess > 0 && truncate {
            cut(&mut tokens, excess, end);
        }
        let types = (0..tokens.len()).map(|at| u32::from(at >= head.len()));
        TextTokens { types: types.filter(|_| self.typed).collect(), tokens }
    }
}

/// What comes before a document: `[CLS] query [SEP]`, or with two separators where the
/// vocabulary is not BERT's, as RoBERTa was trained.
fn head(tokenizer: &Tokenizer, query: &str) -> Vec<u32> {
    let end = tokenizer.eos();
    let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokens.extend(tokenizer.encode(query, Specials::Plain));
    tokens.extend(end);
    if tokenizer.kind() != "bert" {
        tokens.extend(tokenizer.special_ids().separator.or(end));
    }
    tokens
}

/// A pair by its template.
fn templated(
    template: &str,
    (query, document): (&str, &str),
    of: (Words<'_>, bool),
) -> Result<TextTokens> {
    let (words, truncate) = of;
    let mut document = document.to_owned();
    for _ in 0..CUTS_MAX {
        let tokens = filled_tokens(words.0, template, (query, &document));
        let excess = excess(&tokens, words);
        if excess == 0 || !truncate {
            return Ok(TextTokens { tokens, types: Vec::new() });
        }
        let mut kept = words.0.encode(&document, Specials::Plain);
        kept.truncate(kept.len().saturating_sub(excess));
        document = words.0.decode(&kept);
    }
    let message = "a document cannot be cut to what the model takes: send a shorter one";
    Err(Error::parameter("documents", message.to_owned()))
}

/// The template's special tokens are meant; those that a text spells are letters.
fn filled_tokens(tokenizer: &Tokenizer, template: &str, texts: (&str, &str)) -> Vec<u32> {
    let (query, document) = texts;
    let has_special = |text: &str| {
        tokenizer.encode(text, Specials::Parse).iter().any(|id| tokenizer.is_special(*id))
    };
    if !has_special(query) && !has_special(document) {
        return tokenizer.encode(&filled(template, query, document), Specials::Parse);
    }
    let mut tokens = Vec::new();
    for (number, part) in template.split(QUERY).enumerate() {
        if number > 0 {
            tokens.extend(tokenizer.encode(query, Specials::Plain));
        }
        for (number, part) in part.split(DOCUMENT).enumerate() {
            if number > 0 {
                tokens.extend(tokenizer.encode(document, Specials::Plain));
            }
            tokens.extend(tokenizer.encode(part, Specials::Parse));
        }
    }
    tokens
}

/// Both marks at once, so that a query may hold the other's.
fn filled(template: &str, query: &str, document: &str) -> String {
    let fill = |part: &str| part.replace(DOCUMENT, document);
    template.split(QUERY).map(fill).collect::<Vec<_>>().join(query)
}

/// Refuses too many texts before any is looked at.
fn check_count(count: usize, field: &'static str) -> Result<()> {
    if (1..=TEXTS_MAX).contains(&count) {
        return Ok(());
    }
    let error = engine::Error::TextCount { count, max: TEXTS_MAX };
    Err(Error { parameter: Some(field), ..error.into() })
}

/// Refuses a query that leaves no room for any document.
fn check_query(tokens: &[u32], words: Words<'_>) -> Result<()> {
    if excess(tokens, words) == 0 {
        return Ok(());
    }
    let message = format!(
        "the query takes {} tokens and the model takes {} with a document: shorten the query",
        tokens.len(),
        words.1
    );
    let kind = ErrorKind::ContextLength;
    Err(Error { kind, ..Error::parameter("query", message) })
}

/// With start and end tokens, where the model wants them.
fn around(tokenizer: &Tokenizer, mut tokens: Vec<u32>) -> Vec<u32> {
    if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos()) {
        tokens.insert(0, bos);
    }
    tokens.extend(ends(tokenizer));
    tokens
}

fn ends(tokenizer: &Tokenizer) -> Option<u32> {
    tokenizer.eos().filter(|_| tokenizer.adds_eos())
}

fn excess(tokens: &[u32], (_, len_max): Words<'_>) -> usize {
    tokens.len().saturating_sub(len_max as usize)
}

/// Takes away so many of the last tokens, but not the end token.
fn cut(tokens: &mut Vec<u32>, excess: usize, end: Option<u32>) {
    let end = tokens.last().copied().filter(|last| Some(*last) == end);
    tokens.truncate(tokens.len().saturating_sub(excess));
    if let (Some(end), Some(last)) = (end, tokens.last_mut()) {
        *last = end;
    }
}

impl Asked {
    pub(crate) fn submit(self, engine: &Engine, watch: &Arc<Watch>) -> Result<Retrieval> {
        let told = engine.retrieve(RetrievalRequest { texts: self.texts });
        let events = told.map_err(|error| {
            let error = Error::from(error);
            Error { parameter: error.parameter.map(|_| self.field), ..error }
        })?;
        Ok(Retrieval { events, watch: Arc::clone(watch), shape: self.shape })
    }
}

/// A request on its way. Dropping it gives up what is not computed yet.
pub struct Retrieval {
    events: engine::Retrieval,
    watch: Arc<Watch>,
    shape: Shape,
}

impl Retrieval {
    /// What came of it. Blocks.
    ///
    /// # Errors
    /// When a step failed, or the engine went down.
    pub fn wait(mut self) -> Result<Retrieved> {
        let told = self.events.recv();
        self.finished(told)
    }

    /// What came of it, for async callers; not to be called again once it is ready.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Retrieved>> {
        self.events.poll_recv(context).map(|told| self.finished(told))
    }

    fn finished(&self, told: Option<engine::Retrieved>) -> Result<Retrieved> {
        let (values, usage) = told.ok_or_else(Error::ended_early)??;
        let values: Vec<Vec<f32>> =
            values.into_iter().map(|values| self.shape.of(values)).collect();
        if values.iter().flatten().any(|value| !value.is_finite()) {
            let message = "the model gave no finite numbers: its file may be damaged".to_owned();
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let energy = self.watch.charge(&usage, Instant::now());
        Ok(Retrieved { values, prompt_tokens: usage.prompt_tokens, energy })
    }
}

impl Shape {
    fn of(self, mut values: Vec<f32>) -> Vec<f32> {
        match self {
            Shape::Embedding(dimensions) => {
                values.truncate(dimensions);
                let square = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
                // Nothing has no direction.
                let factor = if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
                for value in &mut values {
                    *value = (f64::from(*value) * factor) as f32;
                }
            }
            Shape::Score => {
                for value in &mut values {
                    *value = (1.0 / (1.0 + (-f64::from(*value)).exp())) as f32;
                }
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, cut, filled};

    #[test]
    fn embeddings_have_length_one_and_scores_are_probabilities() {
        assert_eq!(Shape::Embedding(2).of(vec![3.0, 4.0, 9.0]), [0.6, 0.8]);
        assert_eq!(Shape::Embedding(3).of(vec![0.0; 3]), [0.0; 3]);
        assert_eq!(Shape::Score.of(vec![0.0]), [0.5]);
        assert!((Shape::Score.of(vec![3.0_f32.ln()])[0] - 0.75).abs() < 1e-6);
    }

    #[test]
    fn a_text_that_is_cut_keeps_its_end() {
        let check = |excess, end, wanted: &[u32]| {
            let mut tokens = vec![1, 5, 6, 7, 2];
            cut(&mut tokens, excess, end);
            assert_eq!(tokens, wanted);
        };
        check(2, Some(2), &[1, 5, 2]);
        check(2, None, &[1, 5, 6]);
        check(2, Some(9), &[1, 5, 6]);
        check(9, Some(2), &[]);
    }

    #[test]
    fn what_a_query_says_is_not_filled_in() {
        let text = filled("Q: {query} D: {document}.", "the {document}?", "a {query}");
        assert_eq!(text, "Q: the {document}? D: a {query}.");
    }
}
