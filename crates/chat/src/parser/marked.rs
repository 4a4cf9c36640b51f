//! Answers of plain text in which markers set off reasoning and calls: nearly all models.

use super::Hold;
use super::call::{Call, Step};
use super::events::Sink;
use super::scan::{Found, find};
use crate::dialects::{Dialect, Form, Tag};
use crate::limits::CALL_BYTES_MAX;
use crate::tools::Tools;

/// The parser of such answers.
pub(crate) struct Marked {
    dialect: &'static Dialect,
    /// Where a grammar holds the answer, what is within its reasoning is no marker.
    hold: Hold,
    tools: Tools,
    state: State,
    /// Text that nothing is known of yet.
    buffer: String,
    /// White space and wrappers: they belong to what follows, or to nothing.
    held: String,
    /// Whether anything but white space was said as content.
    has_content: bool,
    /// Whether a call was the last thing said.
    after_call: bool,
}

enum State {
    Text,
    Reasoning {
        tag: &'static Tag,
        /// Whether none of it was said yet.
        fresh: bool,
    },
    Call {
        call: Box<Call>,
        /// The reasoning that it stands in, where it is one that calls may end.
        inside: Option<&'static Tag>,
    },
}

/// Whether a bare call begins here.
enum Bare {
    No,
    Begun,
    /// More text decides.
    Wait,
}

/// What a marker stands for.
#[derive(Clone, Copy)]
enum Meaning {
    Open(&'static Tag),
    Close,
    Call(&'static Form),
    /// Stands before calls.
    Before,
    /// Stands after calls.
    After,
    /// Means nothing.
    Dropped,
}

impl Marked {
    /// `prompt` is what the model continues: it may have opened the reasoning.
    pub(crate) fn new(
        (dialect, hold): (&'static Dialect, Hold),
        tools: Tools,
        prompt: &str,
    ) -> Marked {
        let open = dialect.open_reasoning(prompt);
        let state = open.map_or(State::Text, |tag| State::Reasoning { tag, fresh: true });
        Marked {
            dialect,
            hold,
            tools,
            state,
            buffer: String::new(),
            held: String::new(),
            has_content: false,
            after_call: false,
        }
    }

    pub(crate) fn push(&mut self, text: &str, sink: &mut Sink) {
        self.buffer.push_str(text);
        while self.step(false, sink) {}
    }

    pub(crate) fn finish(&mut self, sink: &mut Sink) {
        while self.step(true, sink) {}
        if let State::Reasoning { .. } = self.state {
            sink.reasoning(&std::mem::take(&mut self.held));
        } else if !self.after_call {
            self.release(sink);
        }
    }

    /// Does what can be done with the buffer; whether there is more to do.
    fn step(&mut self, last: bool, sink: &mut Sink) -> bool {
        if let State::Call { call, .. } = &mut self.state {
            // What does not fit waits: the bound falls on one byte, however text is cut.
            let room = CALL_BYTES_MAX.saturating_sub(call.raw.len());
            let rest = self.buffer.split_off(self.buffer.floor_char_boundary(room));
            call.raw.push_str(&self.buffer);
            self.buffer = rest;
            let step = call.step(&self.tools, sink, last || !self.buffer.is_empty());
            return self.after_step(step, sink);
        }
        match self.bare_call(last, sink) {
            Bare::Begun => true,
            Bare::Wait => false,
            Bare::No => self.text(last, sink),
        }
    }

    fn after_step(&mut self, step: Step, sink: &mut Sink) -> bool {
        let used = match step {
            Step::More => return false,
            Step::Done(used) => used,
            Step::Broken { upto, .. } => upto,
        };
        let State::Call { call, inside } = std::mem::replace(&mut self.state, State::Text) else {
            return false;
        };
        let (said, rest) = call.raw.split_at(used);
        self.buffer.insert_str(0, rest);
        let Step::Broken { index, .. } = step else {
            self.held.clear();
            self.after_call = true;
            return true;
        };
        match inside {
            Some(tag) if index.is_none() => {
                self.state = State::Reasoning { tag, fresh: false };
                sink.reasoning(&std::mem::take(&mut self.held));
                sink.reasoning(said);
            }
            _ => {
                self.release(sink);
                self.has_content = true;
                self.after_call = false;
                if call.form.marked || index.is_some() {
                    sink.malformed(index, said);
                } else {
                    sink.content(said);
                }
            }
        }
        true
    }

    /// A JSON object where a call may stand without a marker: first of all, or after a call.
    fn bare_call(&mut self, last: bool, sink: &Sink) -> Bare {
        let form = self.dialect.calls.iter().find(|form| form.start.is_empty());
        let in_text = matches!(self.state, State::Text);
        let (Some(form), true) = (form, in_text && !self.has_content && !self.tools.is_empty())
        else {
            return Bare::No;
        };
        let between: &[char] = if self.after_call { &[';', ','] } else { &[] };
        let skipped = |letter: char| letter.is_whitespace() || between.contains(&letter);
        let body = self.buffer.trim_start_matches(skipped);
        let at = self.buffer.len() - body.len();
        if body.is_empty() && at > 0 && self.after_call && !last {
            return Bare::Wait;
        }
        if !body.starts_with(['{', '[']) || !sink.has_room() {
            return Bare::No;
        }
        let body = self.buffer.split_off(at);
        self.held.push_str(&std::mem::replace(&mut self.buffer, body));
        self.state = State::Call { call: Box::new(Call::new(form, "")), inside: None };
        Bare::Begun
    }

    /// Text up to the next marker.
    fn text(&mut self, last: bool, sink: &mut Sink) -> bool {
        let markers = self.markers(sink);
        let words: Vec<&str> = markers.iter().map(|(word, _)| *word).collect();
        let found = find(&self.buffer, &words, last);
        let end = match found {
            Found::Nothing => self.buffer.len(),
            Found::Maybe(at) | Found::At { at, .. } => at,
        };
        if end > 0 {
            // What was said may change what the next marker means: it is looked at anew.
            let rest = self.buffer.split_off(end);
            let said = std::mem::replace(&mut self.buffer, rest);
            self.say(&said, sink);
            return !self.buffer.is_empty();
        }
        let Found::At { marker, .. } = found else { return false };
        let (word, meaning) = markers[marker];
        self.buffer.drain(..word.len());
        self.marker(word, meaning);
        true
    }

    fn marker(&mut self, word: &str, meaning: Meaning) {
        match meaning {
            Meaning::Open(tag) => {
                self.held.clear();
                self.state = State::Reasoning { tag, fresh: true };
            }
            Meaning::Close => {
                self.held.clear();
                self.state = State::Text;
            }
            Meaning::Call(form) => {
                let inside = match self.state {
                    State::Reasoning { tag, .. } => Some(tag),
                    State::Text | State::Call { .. } => None,
                };
                self.state = State::Call { call: Box::new(Call::new(form, word)), inside };
            }
            Meaning::After if self.after_call => self.held.clear(),
            Meaning::Before | Meaning::After => self.held.push_str(word),
            Meaning::Dropped => {}
        }
    }

    /// The markers that mean something here.
    fn markers(&self, sink: &Sink) -> Vec<(&'static str, Meaning)> {
        let mut out: Vec<(&'static str, Meaning)> = Vec::new();
        let after_words = self.hold != Hold::Free && self.has_content;
        if after_words && self.hold == Hold::CallsOrWords {
            return out;
        }
        let mut may_call = !self.tools.is_empty() && sink.has_room();
        if let State::Reasoning { tag, fresh } = self.state {
            out.push((tag.close, Meaning::Close));
            if fresh {
                // A model that opens what the prompt has opened says nothing by it.
                out.push((tag.open, Meaning::Dropped));
            }
            may_call &= self.dialect.calls_end_reasoning && self.hold == Hold::Free;
        } else if !after_words {
            let first = !self.has_content && !sink.has_calls();
            let open = self.dialect.reasoning.iter().filter(|tag| tag.anywhere || first);
            out.extend(open.map(|tag| (tag.open, Meaning::Open(tag))));
            out.extend(self.dialect.dropped.iter().map(|word| (*word, Meaning::Dropped)));
        }
        if may_call {
            let marked = self.dialect.calls.iter().filter(|form| !form.start.is_empty());
            out.extend(marked.map(|form| (form.start, Meaning::Call(form))));
            for (before, after) in self.dialect.wrappers {
                out.push((before, Meaning::Before));
                out.push((after, Meaning::After));
            }
        }
        out
    }

    /// Text that is no marker: its white space at the end waits for what follows.
    fn say(&mut self, text: &str, sink: &mut Sink) {
        let body = text.trim_end();
        if !body.is_empty() {
            if let State::Reasoning { fresh, .. } = &mut self.state {
                let held = std::mem::take(&mut self.held);
                let first = std::mem::take(fresh) && held.trim().is_empty();
                sink.reasoning(if first { "" } else { &held });
                sink.reasoning(if first { body.trim_start() } else { body });
            } else {
                self.release(sink);
                sink.content(if self.has_content { body } else { body.trim_start() });
                self.has_content = true;
                self.after_call = false;
            }
        }
        self.held.push_str(&text[body.len()..]);
    }

    /// What was held is content after all; white space before the first word is not.
    fn release(&mut self, sink: &mut Sink) {
        let held = std::mem::take(&mut self.held);
        let said = if self.has_content { &held } else { held.trim_start() };
        self.has_content |= !said.is_empty();
        sink.content(said);
    }
}
