//! One call while it is being written: from its start marker to its end.

use serde_json::{Map, Value};

use super::events::{ReadCall, Sink};
use super::payload::{self, Head, Shape};
use super::scan::{Begins, JsonScan, begins};
use super::schema;
use crate::dialects::Form;
use crate::tools::Tools;

/// A call that has begun.
pub(crate) struct Call {
    pub(crate) form: &'static Form,
    /// All of it as written, from the start marker on.
    pub(crate) raw: String,
    phase: Phase,
}

enum Phase {
    /// What it is has not been said yet.
    Head,
    /// Its arguments are JSON and are passed on as they come.
    Arguments { index: usize, scan: JsonScan, start: usize, wrapped: Option<usize> },
    /// The object around the arguments ends.
    Wrapper { index: usize, scan: JsonScan, open: usize },
    /// A JSON value that is read once it is whole.
    Json { scan: JsonScan, start: usize },
    /// XML parameters, passed on one by one.
    Parameters(Parameters),
    /// It is read once its end marker is there; found up to this byte it is not.
    UpToEnd { searched: usize },
    /// It is complete; what follows may be its end marker.
    Closing { at: usize, calls: Vec<ReadCall> },
}

/// XML parameters: where the next one begins.
struct Parameters {
    index: usize,
    tool: String,
    at: usize,
    /// Up to this byte the parameter's end was looked for.
    searched: usize,
    count: usize,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It needs more text.
    More,
    /// It ended before this byte of its text.
    Done(usize),
    /// It is none; its text up to this byte is not one, and what follows may be anything.
    Broken { upto: usize, index: Option<usize> },
}

/// Whether a phase is over.
enum Turn {
    Next(Phase),
    Stop(Step),
}

/// What closes a fence.
const FENCE: &str = "```";
/// Bytes within which a call must say what it is, and within which it must close once it is over.
const HEAD_BYTES_MAX: usize = 4096;

/// The part of a text that decides, and whether it is all that will decide.
fn bounded(text: &str, last: bool) -> (&str, bool) {
    let bound = text.floor_char_boundary(HEAD_BYTES_MAX);
    (&text[..bound], last || text.len() > HEAD_BYTES_MAX)
}

impl Call {
    pub(crate) fn new(form: &'static Form, text: &str) -> Call {
        Call { form, raw: text.to_owned(), phase: Phase::Head }
    }

    /// Reads on. `last` says that no more text comes.
    pub(crate) fn step(&mut self, tools: &Tools, sink: &mut Sink, last: bool) -> Step {
        loop {
            let phase = std::mem::replace(&mut self.phase, Phase::Head);
            let index = phase.index();
            let turn = self.turn(phase, (tools, last), sink);
            let step = match turn {
                Turn::Next(phase) => {
                    self.phase = phase;
                    continue;
                }
                Turn::Stop(step) => step,
            };
            return match step {
                Step::More if last => Step::Broken { upto: self.raw.len(), index },
                other => other,
            };
        }
    }

    fn turn(&mut self, phase: Phase, (tools, last): (&Tools, bool), sink: &mut Sink) -> Turn {
        match phase {
            Phase::Head => self.head((tools, last), sink),
            Phase::Arguments { index, mut scan, start, wrapped } => {
                let from = scan.at;
                let ended = scan.advance(&self.raw, u32::from(wrapped.is_some()));
                sink.arguments(index, &self.raw[from..scan.at]);
                if !ended {
                    return self.wait(Phase::Arguments { index, scan, start, wrapped });
                }
                if serde_json::from_str::<Map<String, Value>>(&self.raw[start..scan.at]).is_err() {
                    return self.broken(scan.at, Some(index));
                }
                match wrapped {
                    Some(open) => Turn::Next(Phase::Wrapper { index, scan, open }),
                    None => {
                        sink.end(index);
                        Turn::Next(Phase::Closing { at: scan.at, calls: Vec::new() })
                    }
                }
            }
            Phase::Wrapper { index, mut scan, open } => {
                if !scan.advance(&self.raw, 0) {
                    return self.wait(Phase::Wrapper { index, scan, open });
                }
                if serde_json::from_str::<Map<String, Value>>(&self.raw[open..scan.at]).is_err() {
                    return self.broken(scan.at, Some(index));
                }
                sink.end(index);
                Turn::Next(Phase::Closing { at: scan.at, calls: Vec::new() })
            }
            Phase::Json { mut scan, start } => {
                if !scan.advance(&self.raw, 0) {
                    return self.wait(Phase::Json { scan, start });
                }
                match payload::calls_of_json(&self.raw[start..scan.at]) {
                    Some(calls) if self.offered(&calls, tools) => {
                        Turn::Next(Phase::Closing { at: scan.at, calls })
                    }
                    _ => self.broken(scan.at, None),
                }
            }
            Phase::Parameters(parameters) => self.parameter(parameters, (tools, last), sink),
            Phase::UpToEnd { searched } => self.up_to_end(searched, tools, last),
            Phase::Closing { at, calls } => self.closing(at, calls, last, sink),
        }
    }

    fn head(&mut self, (tools, last): (&Tools, bool), sink: &mut Sink) -> Turn {
        let skipped = self.form.start.len();
        // A head says what it is within few words; a longer one says nothing.
        let (text, last) = bounded(&self.raw[skipped..], last);
        let head = match self.form.shape {
            Shape::Object => payload::object_head(text, last),
            Shape::Mistral => payload::mistral_head(text, last),
            Shape::DeepSeek => payload::deepseek_head(text, last),
            Shape::NameAndJson => payload::named_head(text, last),
            Shape::Functions => payload::functions_head(text, last),
            Shape::KeysAndValues => payload::keys_head(text, last),
            Shape::Kimi => payload::kimi_head(text, last),
            Shape::Dict | Shape::PythonCalls | Shape::PythonTag => Head::UpToEnd,
        };
        let known = |name: &str| self.form.marked || tools.get(name).is_some();
        match head {
            Head::More if last => self.broken(skipped, None),
            Head::More => self.wait(Phase::Head),
            Head::Broken => self.broken(skipped, None),
            Head::Arguments { name, .. } | Head::Parameters { name, .. } if !known(&name) => {
                self.broken(skipped, None)
            }
            Head::Arguments { id, name, at, wrapped } => {
                let index = sink.start(id, &name);
                let start = skipped + at;
                // Where an object is around the arguments, they begin one level down.
                let from = wrapped.map_or(start, |open| skipped + open);
                let mut scan = JsonScan::new(from);
                if wrapped.is_some() {
                    scan.skip_to(&self.raw, start);
                }
                let wrapped = wrapped.map(|open| skipped + open);
                Turn::Next(Phase::Arguments { index, scan, start, wrapped })
            }
            Head::Json { at } => {
                let start = skipped + at;
                Turn::Next(Phase::Json { scan: JsonScan::new(start), start })
            }
            Head::Parameters { name, at } => {
                let index = sink.start(None, &name);
                let (at, searched) = (skipped + at, skipped + at);
                let parameters = Parameters { index, tool: name, at, searched, count: 0 };
                Turn::Next(Phase::Parameters(parameters))
            }
            Head::UpToEnd => Turn::Next(Phase::UpToEnd { searched: skipped }),
        }
    }

    /// The next XML parameter, or the end of the function.
    fn parameter(
        &mut self,
        mut this: Parameters,
        (tools, last): (&Tools, bool),
        sink: &mut Sink,
    ) -> Turn {
        let keys = self.form.shape == Shape::KeysAndValues;
        let (open, close) =
            if keys { ("<arg_key>", "</arg_value>") } else { ("<parameter=", "</parameter>") };
        this.at = self.raw.len() - self.raw[this.at..].trim_start().len();
        let (at, index) = (this.at, this.index);
        let rest = &self.raw[at..];
        match (begins(rest, self.form.end, last), begins(rest, open, last)) {
            (Begins::Yes, _) => {
                sink.arguments(index, if this.count == 0 { "{}" } else { "}" });
                sink.end(index);
                return Turn::Next(Phase::Closing { at, calls: Vec::new() });
            }
            (Begins::Maybe, _) | (_, Begins::Maybe) => {
                return self.wait(Phase::Parameters(this));
            }
            (_, Begins::No) => return self.broken(at, Some(index)),
            (Begins::No, Begins::Yes) => {}
        }
        let from = this.searched.max(at + open.len());
        let Some(found) = self.raw[from..].find(close) else {
            let again = self.raw.len().saturating_sub(close.len()).max(from);
            this.searched = self.raw.floor_char_boundary(again);
            return self.wait(Phase::Parameters(this));
        };
        let inner = &self.raw[at + open.len()..from + found];
        let (key, value) = if keys {
            let parts = inner.split_once("</arg_key>");
            let parts = parts.and_then(|(key, value)| {
                Some((key, value.trim_start().strip_prefix("<arg_value>")?))
            });
            let Some(parts) = parts else { return self.broken(at, Some(index)) };
            parts
        } else {
            inner.split_once('>').unwrap_or((inner, ""))
        };
        // A value on lines of its own has them for show; one on the tag's line has none to lose.
        let shown = value.strip_prefix('\n').filter(|_| !keys);
        let shown = shown.map(|value| value.strip_suffix('\n').unwrap_or(value));
        let json = schema::typed_value(tools, &this.tool, key.trim(), shown.unwrap_or(value));
        let comma = if this.count == 0 { "{" } else { ", " };
        sink.arguments(index, &format!("{comma}{}: {json}", Value::from(key.trim())));
        this.at = from + found + close.len();
        this.searched = this.at;
        this.count += 1;
        Turn::Next(Phase::Parameters(this))
    }

    fn up_to_end(&mut self, searched: usize, tools: &Tools, last: bool) -> Turn {
        let end = self.form.end;
        let start = self.form.start.len();
        let found = if end.is_empty() { None } else { self.raw[searched..].find(end) };
        let at = match found {
            Some(found) => searched + found,
            None if last => self.raw.len(),
            None => {
                // An end marker that has begun is looked at again.
                let again = self.raw.len().saturating_sub(end.len()).max(searched);
                let searched = self.raw.floor_char_boundary(again).max(start);
                return self.wait(Phase::UpToEnd { searched });
            }
        };
        let calls = payload::calls_up_to_end(self.form.shape, &self.raw[start..at], tools);
        match calls {
            Some(calls) if self.offered(&calls, tools) => Turn::Next(Phase::Closing { at, calls }),
            _ => self.broken((at + if found.is_some() { end.len() } else { 0 }).max(start), None),
        }
    }

    /// White space and the end marker, where there is one.
    fn closing(&mut self, at: usize, calls: Vec<ReadCall>, last: bool, sink: &mut Sink) -> Turn {
        let end = self.form.end;
        if end.is_empty() {
            return self.done(at, calls, sink);
        }
        let (rest, last) = bounded(&self.raw[at..], last);
        let mut body = rest.trim_start();
        // A fence around the arguments closes before the call does.
        if !end.starts_with(FENCE) {
            match begins(body, FENCE, last) {
                Begins::Yes => body = body[FENCE.len()..].trim_start(),
                Begins::Maybe => return self.wait(Phase::Closing { at, calls }),
                Begins::No => {}
            }
        }
        match begins(body, end, last) {
            Begins::Maybe => self.wait(Phase::Closing { at, calls }),
            Begins::Yes => self.done(at + rest.len() - body.len() + end.len(), calls, sink),
            Begins::No => self.done(at, calls, sink),
        }
    }

    fn done(&mut self, used: usize, calls: Vec<ReadCall>, sink: &mut Sink) -> Turn {
        for call in calls {
            sink.call(call);
        }
        Turn::Stop(Step::Done(used))
    }

    /// Whether the calls may be made where nothing but their names marks them as calls.
    fn offered(&self, calls: &[ReadCall], tools: &Tools) -> bool {
        self.form.marked || calls.iter().all(|call| tools.get(&call.name).is_some())
    }

    fn wait(&mut self, phase: Phase) -> Turn {
        self.phase = phase;
        Turn::Stop(Step::More)
    }

    fn broken(&self, upto: usize, index: Option<usize>) -> Turn {
        Turn::Stop(Step::Broken { upto, index })
    }
}

impl Phase {
    /// The call that was begun and has not ended.
    fn index(&self) -> Option<usize> {
        match self {
            Phase::Arguments { index, .. }
            | Phase::Wrapper { index, .. }
            | Phase::Parameters(Parameters { index, .. }) => Some(*index),
            Phase::Head | Phase::Json { .. } | Phase::UpToEnd { .. } | Phase::Closing { .. } => {
                None
            }
        }
    }
}
