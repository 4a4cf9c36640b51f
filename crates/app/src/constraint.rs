//! What an answer must fit: compiled for a model's tokens.

use std::sync::Arc;

use chat::{CallPart, Hold, ReasoningMarks};
use engine::Markers;
use grammar::{Grammar, Kind, Matcher, Reasoning, Syntax, Vocabulary};
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

/// What the answer to one request is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) syntax: Syntax,
    /// The request field that asked for it.
    pub(crate) field: &'static str,
    /// Where the answer may reason first.
    pub(crate) reasoning: Option<ReasoningMarks>,
    /// What its markers mean then.
    pub(crate) hold: Hold,
}

impl Held {
    /// To a constraint, from the first token on.
    pub(crate) fn to(constraint: &Constraint) -> Held {
        let Constraint { kind, source, field } = constraint;
        Held { syntax: Syntax::of(*kind, source), field, reasoning: None, hold: Hold::CallsOrWords }
    }

    /// What holds the answer, after its reasoning.
    pub(crate) fn matcher(
        &self,
        vocabulary: &Arc<Vocabulary>,
        has_token: &dyn Fn(&str) -> bool,
    ) -> Result<Matcher> {
        let grammar = Grammar::of(vocabulary, &self.syntax);
        let grammar = grammar.map_err(|error| refusal(&error, self.field))?;
        // A model without such a token was not made to reason; letters alone are no sign of it.
        let reasons = |marks: &ReasoningMarks| marks.is_open || has_token(marks.sign);
        let reasoning = self.reasoning.filter(reasons).map(|marks| Reasoning {
            open: (!marks.open.is_empty()).then(|| marks.open.to_owned()),
            close: marks.close.to_owned(),
            is_open: marks.is_open,
        });
        Ok(grammar.matcher(reasoning.as_ref()))
    }
}

/// Most calls that are numbered in their text.
const NUMBERED_MAX: usize = 128;

/// Parts of calls as a grammar knows them.
pub(crate) fn syntax_of(parts: &[CallPart]) -> Syntax {
    let each = |part: &CallPart| match part {
        CallPart::Text(text) => Syntax::Text(text.clone()),
        CallPart::Marker(name) => Syntax::Marker((*name).to_owned()),
        CallPart::Number => {
            let numbers = 0..NUMBERED_MAX;
            Syntax::OneOf(numbers.map(|number| Syntax::Text(number.to_string())).collect())
        }
        CallPart::Json { tool, schema } => Syntax::Source {
            kind: Kind::JsonSchema,
            source: schema.clone(),
            owner: Some(format!("tool `{tool}`")),
        },
        CallPart::Free { without, end, least, most } => Syntax::Free {
            without: (*without).to_owned(),
            end: end.clone(),
            least: *least,
            most: *most,
        },
        CallPart::Words { not_first, without, end } => {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let (not_first, without) = (owned(not_first), owned(without));
            Syntax::Words { not_first, without, end: end.map(str::to_owned) }
        }
        CallPart::OneOf(rows) => Syntax::OneOf(rows.iter().map(|row| syntax_of(row)).collect()),
        CallPart::Maybe(row) => Syntax::Maybe(Box::new(syntax_of(row))),
        CallPart::Several(item, between) => Syntax::Several {
            item: Box::new(syntax_of(item)),
            between: Box::new(syntax_of(between)),
        },
    };
    Syntax::Row(parts.iter().map(each).collect())
}

/// A model's tokens as grammars see them.
pub(crate) struct Words {
    vocabulary: grammar::Result<Arc<Vocabulary>>,
    /// Whether the vocabulary has a text as one token.
    has_token: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Words {
    pub(crate) fn of(tokenizer: &Arc<Tokenizer>, markers: &Markers) -> Words {
        let vocabulary = engine::vocabulary(tokenizer, markers);
        let tokenizer = Arc::clone(tokenizer);
        let has_token = Box::new(move |text: &str| tokenizer.token_id(text).is_some());
        Words { vocabulary, has_token }
    }

    /// What holds an answer.
    pub(crate) fn matcher(&self, held: &Held) -> Result<Matcher> {
        let vocabulary = self.vocabulary.as_ref();
        let vocabulary = vocabulary.map_err(|error| refusal(error, held.field))?;
        held.matcher(vocabulary, &*self.has_token)
    }
}

/// Why an answer cannot be held; `field` asked for it, where no tool is to blame.
fn refusal(error: &grammar::Error, field: &'static str) -> Error {
    let message = error.to_string();
    match error {
        grammar::Error::Busy { .. } => Error::new(ErrorKind::Busy, message),
        grammar::Error::Vocabulary(_) => Error::new(ErrorKind::BadModel, message),
        grammar::Error::Of { .. } => Error::parameter("tools", message),
        grammar::Error::Source { .. }
        | grammar::Error::TooLong { .. }
        | grammar::Error::TooDeep { .. }
        | grammar::Error::TooSlow { .. }
        | grammar::Error::Refused(_)
        | grammar::Error::Stuck(_) => Error::parameter(field, message),
    }
}
