//! What an answer must fit: compiled for a model's tokens.

use std::sync::Arc;

use chat::ReasoningMarks;
use engine::Markers;
use grammar::{Grammar, Kind, Matcher, Reasoning, Vocabulary};
use tokenizer::Tokenizer;

use crate::{Error, ErrorKind, Result};

/// What an answer must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// What the source is written in.
    pub kind: Kind,
    /// A schema, grammar or expression.
    pub source: String,
    /// The request field that asked for it, to say so where it is wrong.
    pub field: &'static str,
}

/// A model's tokens as grammars see them.
pub(crate) struct Words {
    vocabulary: grammar::Result<Arc<Vocabulary>>,
    /// Markers of reasoning that the vocabulary has as one token.
    has_token: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Words {
    pub(crate) fn of(tokenizer: &Arc<Tokenizer>, markers: &Markers) -> Words {
        let vocabulary = engine::vocabulary(tokenizer, markers);
        let tokenizer = Arc::clone(tokenizer);
        let has_token = Box::new(move |text: &str| tokenizer.token_id(text).is_some());
        Words { vocabulary, has_token }
    }

    /// What holds an answer to it, after the reasoning.
    pub(crate) fn matcher(
        &self,
        wish: &Constraint,
        reasoning: Option<ReasoningMarks>,
    ) -> Result<Matcher> {
        let wrong = |error: grammar::Error| {
            let message = error.to_string();
            match error {
                grammar::Error::Busy { .. } => Error::new(ErrorKind::Busy, message),
                grammar::Error::Vocabulary(_) => Error::new(ErrorKind::BadModel, message),
                grammar::Error::Source { .. }
                | grammar::Error::TooLong { .. }
                | grammar::Error::TooDeep { .. }
                | grammar::Error::TooSlow { .. }
                | grammar::Error::Refused(_)
                | grammar::Error::Stuck(_) => Error::parameter(wish.field, message),
            }
        };
        let vocabulary = self.vocabulary.as_ref().map_err(|error| wrong(error.clone()))?;
        let grammar = Grammar::compile(vocabulary, wish.kind, &wish.source).map_err(wrong)?;
        // A model without such a token was not made to reason; letters alone are no sign of it.
        let reasons = |marks: &ReasoningMarks| marks.is_open || (self.has_token)(marks.open);
        let reasoning = reasoning.filter(reasons).map(|marks| Reasoning {
            open: (!marks.open.is_empty()).then(|| marks.open.to_owned()),
            close: marks.close.to_owned(),
            is_open: marks.is_open,
        });
        Ok(grammar.matcher(reasoning.as_ref()))
    }
}
