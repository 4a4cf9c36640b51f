//! What a model said, piece by piece and as a whole.

use serde_json::{Map, Value, json};

use crate::limits::CALLS_MAX;

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Which call it is; the answer to it names it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments by name.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// The call as [`crate::Message::tool_calls`] lists it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let function = json!({ "name": self.name, "arguments": self.arguments });
        json!({ "id": self.id, "type": "function", "function": function })
    }
}

/// A piece of what the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// More of its reasoning.
    ReasoningDelta(String),
    /// More of its answer.
    ContentDelta(String),
    /// It calls a tool.
    ToolCallStart {
        /// Which of the answer's calls, from 0.
        index: usize,
        /// The model's own id for it, or one made for it.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More of a call's arguments: the pieces together are a JSON object.
    ToolCallArgumentsDelta {
        /// Which call.
        index: usize,
        /// The next piece.
        text: String,
    },
    /// A call is complete, and its arguments are a JSON object.
    ToolCallEnd {
        /// Which call.
        index: usize,
    },
    /// What looked like a call and is none: it counts as content, so that nothing is lost.
    Malformed {
        /// The call that was begun and is void; none where none had begun.
        index: Option<usize>,
        /// The text as the model wrote it.
        text: String,
    },
}

/// All that a model said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Its reasoning.
    pub reasoning: String,
    /// Its answer, with what looked like a call and is none.
    pub content: String,
    /// Its calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Texts in `content` that were meant as calls and cannot be read as such.
    pub malformed: Vec<String>,
}

impl Output {
    /// Puts the pieces together.
    #[must_use]
    pub fn from_events(events: &[OutputEvent]) -> Output {
        let mut output = Output::default();
        let mut open: Option<(String, String, String)> = None;
        for event in events {
            match event {
                OutputEvent::ReasoningDelta(text) => output.reasoning.push_str(text),
                OutputEvent::ContentDelta(text) => output.content.push_str(text),
                OutputEvent::ToolCallStart { id, name, .. } => {
                    open = Some((id.clone(), name.clone(), String::new()));
                }
                OutputEvent::ToolCallArgumentsDelta { text, .. } => {
                    if let Some((_, _, arguments)) = &mut open {
                        arguments.push_str(text);
                    }
                }
                OutputEvent::ToolCallEnd { .. } => {
                    let call = open.take().and_then(|(id, name, arguments)| {
                        let arguments = serde_json::from_str(&arguments).ok()?;
                        Some(ToolCall { id, name, arguments })
                    });
                    output.tool_calls.extend(call);
                }
                OutputEvent::Malformed { text, .. } => {
                    open = None;
                    output.content.push_str(text);
                    output.malformed.push(text.clone());
                }
            }
        }
        output
    }
}

/// Where a parser writes its events.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    events: Vec<OutputEvent>,
    /// Calls begun.
    calls: usize,
    /// Their ids.
    ids: Vec<String>,
    id_seed: u64,
}

/// A call as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReadCall {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// A JSON object.
    pub(crate) arguments: String,
}

impl Sink {
    pub(crate) fn new(id_seed: u64) -> Sink {
        Sink { id_seed, ..Sink::default() }
    }

    pub(crate) fn take(&mut self) -> Vec<OutputEvent> {
        std::mem::take(&mut self.events)
    }

    /// Whether another call fits.
    pub(crate) fn has_room(&self) -> bool {
        self.calls < CALLS_MAX
    }

    /// Whether anything was called.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    pub(crate) fn content(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.events.last_mut() {
            Some(OutputEvent::ContentDelta(before)) => before.push_str(text),
            _ => self.events.push(OutputEvent::ContentDelta(text.to_owned())),
        }
    }

    pub(crate) fn reasoning(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.events.last_mut() {
            Some(OutputEvent::ReasoningDelta(before)) => before.push_str(text),
            _ => self.events.push(OutputEvent::ReasoningDelta(text.to_owned())),
        }
    }

    /// Begins a call and gives its number. An id that another call has is made anew: an answer to
    /// it must say which call it means.
    pub(crate) fn start(&mut self, id: Option<String>, name: &str) -> usize {
        let index = self.calls;
        self.calls += 1;
        let id = id.filter(|id| !self.ids.contains(id));
        let id = id.unwrap_or_else(|| call_id(self.id_seed, index));
        self.ids.push(id.clone());
        self.events.push(OutputEvent::ToolCallStart { index, id, name: name.to_owned() });
        index
    }

    pub(crate) fn arguments(&mut self, index: usize, text: &str) {
        if !text.is_empty() {
            let text = text.to_owned();
            self.events.push(OutputEvent::ToolCallArgumentsDelta { index, text });
        }
    }

    pub(crate) fn end(&mut self, index: usize) {
        self.events.push(OutputEvent::ToolCallEnd { index });
    }

    pub(crate) fn malformed(&mut self, index: Option<usize>, text: &str) {
        self.events.push(OutputEvent::Malformed { index, text: text.to_owned() });
    }

    /// A call that came whole.
    pub(crate) fn call(&mut self, call: ReadCall) {
        let index = self.start(call.id, &call.name);
        self.arguments(index, &call.arguments);
        self.end(index);
    }
}

/// Nine letters and digits: the one form that every template takes, Mistral's included.
pub(crate) fn call_id(seed: u64, index: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // splitmix64, so that neighbouring numbers look nothing alike.
    let mut state = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 31;
    let mut id = String::new();
    for _ in 0..9 {
        id.push(char::from(LETTERS[(state % 62) as usize]));
        state /= 62;
    }
    id
}
