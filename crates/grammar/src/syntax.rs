//! Grammars put together from parts: what a model writes around values that fit a schema.

use std::fmt::Write as _;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};

use crate::{Error, Kind, Result, Vocabulary, gbnf, source};

/// What an answer must fit, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// This text, letter by letter.
    Text(String),
    /// The control token of this name; where the vocabulary has none, its name as text.
    Marker(String),
    /// Characters of any kind, and an end.
    Free {
        /// What does not stand among the characters.
        without: String,
        /// What ends it, at the first place where it stands: a text or the name of a control token.
        end: String,
        /// Least number of characters.
        least: usize,
        /// Most characters.
        most: Option<usize>,
    },
    /// Words as their writer likes, one at least where nothing ends them.
    Words {
        /// What they do not begin with, white space aside.
        not_first: Vec<String>,
        /// What does not stand among them.
        without: Vec<String>,
        /// What ends them: a text or the name of a control token; else the answer ends with them.
        end: Option<String>,
    },
    /// What fits a source.
    Source {
        /// What it is written in.
        kind: Kind,
        /// A schema, grammar or expression.
        source: String,
        /// Whose it is, to say so where it is wrong; none where it is all that was asked for.
        owner: Option<String>,
    },
    /// One after another.
    Row(Vec<Syntax>),
    /// One of these.
    OneOf(Vec<Syntax>),
    /// This or nothing.
    Maybe(Box<Syntax>),
    /// Once or more.
    Several {
        /// What comes again.
        item: Box<Syntax>,
        /// What stands between two of them.
        between: Box<Syntax>,
    },
}

impl Syntax {
    /// A source alone.
    #[must_use]
    pub fn of(kind: Kind, source: &str) -> Syntax {
        Syntax::Source { kind, source: source.to_owned(), owner: None }
    }

    /// All sources in it.
    pub(crate) fn sources(&self) -> Vec<&Syntax> {
        match self {
            Syntax::Source { .. } => vec![self],
            Syntax::Row(parts) | Syntax::OneOf(parts) => {
                parts.iter().flat_map(Syntax::sources).collect()
            }
            Syntax::Maybe(inner) => inner.sources(),
            Syntax::Several { item, between } => [item.sources(), between.sources()].concat(),
            Syntax::Text(_) | Syntax::Marker(_) | Syntax::Free { .. } | Syntax::Words { .. } => {
                Vec::new()
            }
        }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Syntax::Source { kind, .. } => kind.name(),
            Syntax::Text(_)
            | Syntax::Marker(_)
            | Syntax::Free { .. }
            | Syntax::Words { .. }
            | Syntax::Row(_)
            | Syntax::OneOf(_)
            | Syntax::Maybe(_)
            | Syntax::Several { .. } => "grammar of the answer",
        }
    }
}

/// What llguidance reads for a syntax.
pub(crate) fn read(vocabulary: &Vocabulary, syntax: &Syntax) -> Result<TopLevelGrammar> {
    if let Syntax::Source { kind, source, .. } = syntax {
        return source::read(vocabulary, *kind, source, &vocabulary.limits);
    }
    let (name, limit) = (syntax.name(), vocabulary.limits.syntax_bytes);
    let length = |part: &&Syntax| match part {
        Syntax::Source { source, .. } => source.len(),
        _ => 0,
    };
    let bytes = syntax.sources().iter().map(length).sum();
    if bytes > limit {
        return Err(Error::TooLong { kind: name, bytes, limit });
    }
    let mut writer = Writer { vocabulary, rules: String::new(), parts: Vec::new(), names: 0 };
    let start = writer.expression(syntax)?;
    let lark = format!("start: {start}\n{}", writer.rules);
    let mut grammars = TopLevelGrammar::from_lark(lark).grammars;
    grammars.append(&mut writer.parts);
    Ok(TopLevelGrammar { grammars, max_tokens: None })
}

/// Writes a syntax as rules of Lark; its sources become grammars of their own.
struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    rules: String,
    parts: Vec<GrammarWithLexer>,
    names: usize,
}

impl Writer<'_> {
    fn expression(&mut self, syntax: &Syntax) -> Result<String> {
        Ok(match syntax {
            Syntax::Text(text) => literal(text),
            Syntax::Marker(name) => self.marker(name),
            Syntax::Free { without, end, least, most } => self.free((without, end), *least, *most),
            Syntax::Words { not_first, without, end } => {
                self.words(not_first, without, end.as_deref())
            }
            Syntax::Source { kind, source, owner } => {
                let limits = &self.vocabulary.limits;
                let read = source::read(self.vocabulary, *kind, source, limits);
                let read = read.map_err(|error| error.of(owner.as_deref()))?;
                let name = self.name();
                let named = |part| GrammarWithLexer { name: Some(name.clone()), ..part };
                self.parts.extend(read.grammars.into_iter().map(named));
                format!("@{name}")
            }
            Syntax::Row(parts) if parts.is_empty() => literal(""),
            Syntax::Row(parts) => format!("({})", self.all(parts)?.join(" ")),
            Syntax::OneOf(parts) => format!("({})", self.all(parts)?.join(" | ")),
            Syntax::Maybe(inner) => format!("({})?", self.expression(inner)?),
            Syntax::Several { item, between } => {
                let (item, between) = (self.expression(item)?, self.expression(between)?);
                let name = self.name();
                // Strings are written, and that does not fail.
                let _ = writeln!(self.rules, "{name}: {item}");
                format!("({name} ({between} {name})*)")
            }
        })
    }

    fn all(&mut self, parts: &[Syntax]) -> Result<Vec<String>> {
        parts.iter().map(|part| self.expression(part)).collect()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("part_{}", self.names)
    }

    fn marker(&self, name: &str) -> String {
        match self.vocabulary.control(name.as_bytes()) {
            Some(id) => format!("<[{id}]>"),
            None => literal(name),
        }
    }

    fn free(&mut self, (without, end): (&str, &str), least: usize, most: Option<usize>) -> String {
        let name = self.name();
        let times = match (least, most) {
            (0, None) => "*".to_owned(),
            (_, None) => format!("{{{least},}}"),
            (_, Some(most)) => format!("{{{least},{most}}}"),
        };
        let control = self.vocabulary.control(end.as_bytes());
        // The shortest text that ends so has no such end in it.
        let bare = control.is_none() && without == end && (least, most) == (0, None);
        let not = gbnf::literal_regex(without);
        let but = if bare { String::new() } else { format!(" & ~/(?s:.)*{not}(?s:.)*/") };
        let characters = format!("/(?s:.){times}/{but}");
        // Strings are written, and that does not fail.
        let _ = match control {
            Some(id) => {
                let letters = name.to_uppercase();
                let often = if least == 0 { "?" } else { "" };
                let rule = format!("{name}: {letters}{often} <[{id}]>");
                writeln!(self.rules, "{letters}: {characters}\n{rule}")
            }
            None => writeln!(self.rules, "{name}[suffix={}]: {characters}", literal(end)),
        };
        name
    }

    fn words(&mut self, not_first: &[String], without: &[String], end: Option<&str>) -> String {
        let name = self.name();
        let letters = name.to_uppercase();
        let control = end.and_then(|end| self.vocabulary.control(end.as_bytes()));
        let first = one_of(not_first).map(|words| format!(" & ~/\\s*{words}(?s:.)*/"));
        let among = one_of(without).map(|words| format!(" & ~/(?s:.)*{words}(?s:.)*/"));
        let rules = [first, among].map(Option::unwrap_or_default).concat();
        // Strings are written, and that does not fail.
        let _ = match (control, end) {
            (Some(id), _) => {
                writeln!(self.rules, "{letters}: /(?s:.)+/{rules}\n{name}: {letters}? <[{id}]>")
            }
            (None, Some(end)) => {
                writeln!(self.rules, "{name}[suffix={}]: /(?s:.)*/{rules}", literal(end))
            }
            (None, None) => writeln!(self.rules, "{letters}: /(?s:.)+/{rules}\n{name}: {letters}"),
        };
        name
    }
}

/// An expression for any of these texts; none where there is none.
fn one_of(texts: &[String]) -> Option<String> {
    let texts: Vec<String> = texts.iter().map(|text| gbnf::literal_regex(text)).collect();
    (!texts.is_empty()).then(|| format!("({})", texts.join("|")))
}

/// A text as Lark writes it.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
