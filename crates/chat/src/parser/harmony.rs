//! gpt-oss's answers: messages with a header each, which names a channel and may name a recipient.

use serde_json::{Map, Value};

use super::events::Sink;
use super::scan::{Found, find};
use crate::tools::Tools;

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const CONSTRAIN: &str = "<|constrain|>";
const MESSAGE: &str = "<|message|>";
/// What ends a message.
const ENDS: &[&str] = &["<|end|>", "<|call|>", "<|return|>", START, CHANNEL];
/// All tokens that the format is made of.
pub(crate) const MARKERS: [&str; 7] =
    [START, CHANNEL, CONSTRAIN, MESSAGE, "<|end|>", "<|call|>", "<|return|>"];
/// Longest header, in bytes: a channel, a recipient and a format are short.
const HEADER_BYTES_MAX: usize = 1024;

/// What ends the reasoning of an answer that is held to a grammar, and nothing else does.
pub(crate) const HELD_CLOSE: &str = "<|end|><|start|>assistant";

/// The parser of such answers.
pub(crate) struct Harmony {
    tools: Tools,
    /// Whether the answer is held to a grammar: then one message follows the reasoning, and what it
    /// says is no marker.
    held: bool,
    state: State,
    buffer: String,
}

enum State {
    /// Before a header; at the beginning of an answer plain text may stand here.
    Between,
    /// In a header, up to [`MESSAGE`].
    Header,
    Reasoning,
    Content,
    /// A call's arguments, and the header before them.
    Call {
        index: usize,
        header: String,
        arguments: String,
    },
    /// A message to somebody who was not offered: its text so far.
    Stray(String),
}

impl Harmony {
    pub(crate) fn new(tools: Tools, held: bool) -> Harmony {
        Harmony { tools, held, state: State::Between, buffer: String::new() }
    }

    pub(crate) fn push(&mut self, text: &str, sink: &mut Sink) {
        self.buffer.push_str(text);
        while self.step(false, sink) {}
    }

    pub(crate) fn finish(&mut self, sink: &mut Sink) {
        while self.step(true, sink) {}
        self.close(sink);
        let rest = std::mem::take(&mut self.buffer);
        if !rest.trim().is_empty() {
            sink.malformed(None, &rest);
        }
    }

    fn step(&mut self, last: bool, sink: &mut Sink) -> bool {
        match self.state {
            State::Between => self.between(last),
            State::Header => self.header(last, sink),
            State::Reasoning | State::Content | State::Call { .. } | State::Stray(_) => {
                self.body(last, sink)
            }
        }
    }

    fn between(&mut self, last: bool) -> bool {
        let body = self.buffer.trim_start();
        if body.is_empty() {
            return false;
        }
        let words = [START, CHANNEL, MESSAGE, "to="];
        match find(body, &words, last) {
            Found::Maybe(0) => return false,
            Found::At { at: 0, .. } => self.state = State::Header,
            Found::Nothing | Found::Maybe(_) | Found::At { .. } => self.state = State::Content,
        }
        true
    }

    fn header(&mut self, last: bool, sink: &mut Sink) -> bool {
        let Found::At { at, .. } = find(&self.buffer, &[MESSAGE], last) else {
            if self.buffer.len() > HEADER_BYTES_MAX {
                self.not_a_header(sink);
                return true;
            }
            return false;
        };
        if at > HEADER_BYTES_MAX {
            self.not_a_header(sink);
            return true;
        }
        let end = at + MESSAGE.len();
        let header: String = self.buffer.drain(..end).collect();
        if is_header(&header) {
            self.state = self.message(&header, sink);
        } else {
            sink.malformed(None, &header);
            self.state = State::Content;
        }
        true
    }

    fn not_a_header(&mut self, sink: &mut Sink) {
        let end = self.buffer.floor_char_boundary(HEADER_BYTES_MAX);
        let text: String = self.buffer.drain(..end).collect();
        sink.malformed(None, &text);
        self.state = State::Content;
    }

    /// What a header announces.
    fn message(&self, header: &str, sink: &mut Sink) -> State {
        let channel = header.rsplit_once(CHANNEL).map_or("", |(_, rest)| rest);
        let word = |text: &str| {
            let end = text.find(|letter: char| letter.is_whitespace() || letter == '<');
            text[..end.unwrap_or(text.len())].to_owned()
        };
        let recipient = header.rsplit_once("to=").map(|(_, rest)| word(rest));
        match recipient.as_deref() {
            None | Some("assistant" | "") => match word(channel).as_str() {
                "analysis" => State::Reasoning,
                _ => State::Content,
            },
            Some(name) => match name.strip_prefix("functions.") {
                Some(name) if self.tools.get(name).is_some() && sink.has_room() => {
                    let index = sink.start(None, name);
                    State::Call { index, header: header.to_owned(), arguments: String::new() }
                }
                _ => State::Stray(header.to_owned()),
            },
        }
    }

    fn body(&mut self, last: bool, sink: &mut Sink) -> bool {
        let ends: &[&str] = match self.state {
            State::Reasoning if self.held => &[HELD_CLOSE],
            _ if self.held => &[],
            _ => ENDS,
        };
        let found = find(&self.buffer, ends, last);
        let end = match found {
            Found::Nothing => self.buffer.len(),
            Found::Maybe(at) | Found::At { at, .. } => at,
        };
        let text: String = self.buffer.drain(..end).collect();
        match &mut self.state {
            State::Reasoning => sink.reasoning(&text),
            State::Content => sink.content(&text),
            State::Call { index, arguments, .. } => {
                sink.arguments(*index, &text);
                arguments.push_str(&text);
            }
            State::Stray(said) => said.push_str(&text),
            State::Between | State::Header => {}
        }
        let Found::At { marker, .. } = found else { return false };
        self.close(sink);
        // The next message's own first words belong to its header.
        if ![START, CHANNEL].contains(&ends[marker]) {
            self.buffer.drain(..ends[marker].len());
        }
        true
    }

    /// Ends a message.
    fn close(&mut self, sink: &mut Sink) {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Call { index, header, arguments } => {
                if serde_json::from_str::<Map<String, Value>>(&arguments).is_ok() {
                    sink.end(index);
                } else {
                    sink.malformed(Some(index), &format!("{header}{arguments}"));
                }
            }
            State::Stray(said) => sink.malformed(None, &said),
            State::Between | State::Header | State::Reasoning | State::Content => {}
        }
    }
}

/// Whether a header says nothing but what headers say: else its words would be lost.
fn is_header(header: &str) -> bool {
    const WORDS: &[&str] = &["assistant", "analysis", "commentary", "final", "json", "code"];
    let markers = [START, CHANNEL, CONSTRAIN, MESSAGE];
    let text = markers.iter().fold(header.to_owned(), |text, mark| text.replace(mark, " "));
    text.split_whitespace().all(|word| WORDS.contains(&word) || word.starts_with("to="))
}
