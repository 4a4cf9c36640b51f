//! Reads what a model says while it says it: reasoning, content, calls.
//!
//! **Invariant:** however the text is cut into pieces, the events are the same once neighbours are
//! joined. Nothing but markers and the white space beside them is lost.

mod call;
mod events;
mod harmony;
mod literal;
mod marked;
mod payload;
mod scan;
mod schema;

pub(crate) use events::call_id;
pub(crate) use harmony::{HELD_CLOSE as HARMONY_HELD_CLOSE, MARKERS as HARMONY_MARKERS};
pub(crate) use payload::{Shape, arguments_object, is_name};
pub(crate) use schema::{Written, written_text};

pub use events::{Output, OutputEvent, ToolCall};

use events::Sink;
use harmony::Harmony;
use marked::Marked;

use crate::dialects::Dialect;
use crate::tools::Tools;

/// A parser of one answer: text in pieces goes in, events come out.
pub struct OutputParser {
    machine: Machine,
    sink: Sink,
}

/// What a parser must know of the request.
#[derive(Clone, Debug, Default)]
pub struct ParseOptions {
    /// The tools that were offered; without any nothing is read as a call.
    pub tools: Tools,
    /// The end of the prompt: it says whether the answer begins inside the reasoning.
    pub prompt: String,
    /// What a grammar holds the answer to.
    pub hold: Hold,
    /// Ids are made from this for calls that have none; other for each answer.
    pub id_seed: u64,
}

/// What a grammar holds an answer to, as far as it changes what a marker means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Free,
    /// It reasons, then it calls or says words, and markers within these are text.
    CallsOrWords,
    /// It reasons, then it says words, or calls, or calls behind its words.
    CallsAfterWords,
}

enum Machine {
    Marked(Box<Marked>),
    Harmony(Box<Harmony>),
}

impl OutputParser {
    /// A parser for the next answer of a model that speaks this dialect.
    #[must_use]
    pub fn new(dialect: &'static Dialect, options: ParseOptions) -> OutputParser {
        let ParseOptions { tools, prompt, hold, id_seed } = options;
        let machine = if dialect.channels {
            Machine::Harmony(Box::new(Harmony::new(tools, hold != Hold::Free)))
        } else {
            Machine::Marked(Box::new(Marked::new((dialect, hold), tools, &prompt)))
        };
        OutputParser { machine, sink: Sink::new(id_seed) }
    }

    /// Takes the next piece of text; gives what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<OutputEvent> {
        match &mut self.machine {
            Machine::Marked(machine) => machine.push(text, &mut self.sink),
            Machine::Harmony(machine) => machine.push(text, &mut self.sink),
        }
        self.sink.take()
    }

    /// The answer is over: gives what was held back.
    #[must_use]
    pub fn finish(mut self) -> Vec<OutputEvent> {
        match &mut self.machine {
            Machine::Marked(machine) => machine.finish(&mut self.sink),
            Machine::Harmony(machine) => machine.finish(&mut self.sink),
        }
        self.sink.take()
    }

    /// A whole answer at once.
    #[must_use]
    pub fn parse(dialect: &'static Dialect, options: ParseOptions, text: &str) -> Output {
        let mut parser = OutputParser::new(dialect, options);
        let mut events = parser.push(text);
        events.extend(parser.finish());
        Output::from_events(&events)
    }
}
