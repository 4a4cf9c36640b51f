//! How a model is spoken to and understood: its template, its dialect, and the answer in parts.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use chat::{
    Dialect, Hold, OutputEvent, OutputParser, ParseOptions, RenderOptions, Template, Tools,
};
use engine::Markers;
use gguf::GgufFile;
use grammar::Syntax;
use tokenizer::Tokenizer;

use crate::constraint::{Constraint, Held, syntax_of};
use crate::{
    CallEvent, ChatRequest, Error, ErrorKind, Event, Finished, Result, TokenText, ToolChoice, clock,
};

/// A model's template and dialect.
pub(crate) struct Voice {
    template: Template,
    /// Name of hob's own template, where the model brought none.
    stand_in: Option<&'static str>,
    /// Whether its part for images was left out.
    is_without_images: bool,
    /// Tokens of the vocabulary that the dialect knows as markers.
    pub(crate) markers: Arc<Markers>,
    /// The markers of the dialect that the vocabulary has as tokens.
    tokens: HashSet<&'static str>,
}

/// A conversation that is ready to be answered.
pub(crate) struct Ready {
    pub(crate) prompt: String,
    pub(crate) speech: Speech,
    /// What the answer is held to.
    pub(crate) held: Option<Held>,
}

impl Voice {
    pub(crate) fn of(file: &GgufFile, tokenizer: &Tokenizer) -> Result<Voice> {
        let text = |id: Option<u32>| id.map_or("", |id| tokenizer.token_text(id)).to_owned();
        let (bos, eos) = (text(tokenizer.bos()), text(tokenizer.eos()));
        let (template, stand_in) = match file.metadata().str("tokenizer.chat_template")? {
            Some(source) => {
                let template = Template::new(source, &bos, &eos).map_err(|error| {
                    let message = format!("the model's chat template cannot be used: {error}");
                    Error::new(ErrorKind::BadModel, message)
                })?;
                (template, None)
            }
            None => {
                let has_token = |text: &str| tokenizer.token_id(text).is_some();
                let (template, name) = Template::default_for(has_token, &bos, &eos);
                (template, Some(name))
            }
        };
        let dialect = template.dialect();
        let markers = Arc::new(markers(dialect, tokenizer));
        let is_token = |text: &&'static str| tokenizer.token_id(text).is_some();
        let tokens = dialect.markers().into_iter().filter(is_token).collect();
        let not_read = file.metadata().str(checkpoint::NOT_READ)?;
        let is_without_images = not_read == Some("images");
        Ok(Voice { template, stand_in, is_without_images, markers, tokens })
    }

    /// What a person should know, a line each.
    pub(crate) fn notes(&self, model: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(name) = self.stand_in {
            notes.push(format!(
                "{model} brings no chat template; hob uses its own `{name}`, which may not be what \
                 the model was trained with"
            ));
        }
        if self.is_without_images {
            notes.push(format!("{model} knows images too; hob runs its text part, and reads none"));
        }
        if self.template.merges_system() {
            notes.push(format!(
                "{model} knows no system message: it is put before the first question"
            ));
        }
        notes
    }

    /// Renders the conversation.
    pub(crate) fn prepare(&self, request: &ChatRequest) -> Result<Ready> {
        if request.messages.is_empty() {
            return Err(Error::parameter("messages", "there are no messages".to_owned()));
        }
        let (tools, calls) = tools(request)?;
        let forced = matches!(calls, Calls::This);
        let wishes = &request.wishes;
        let options = RenderOptions {
            add_generation_prompt: true,
            tools: tools.source().cloned(),
            // A call that is asked for comes at once.
            enable_thinking: if forced { Some(false) } else { wishes.thinking },
            reasoning_effort: wishes.reasoning_effort.clone(),
            extra: wishes.variables.clone(),
            now: Some(clock::moment()),
        };
        let mut prompt = self
            .template
            .render(&request.messages, &options)
            .map_err(|error| Error::parameter("messages", error.to_string()))?;
        let asked = Asked { calls, tools: &tools, constraint: request.constraint.as_ref() };
        let Answer { said, held } = self.answer(&asked, &prompt, request.one_call)?;
        let parse = ParseOptions {
            tools,
            prompt: tail(&prompt).to_owned(),
            hold: held.as_ref().map_or(Hold::Free, |held| held.hold),
            id_seed: RandomState::new().hash_one(clock::unique_id("")),
        };
        prompt.push_str(&said);
        let one_call = request.one_call || forced;
        let speech = Speech::new(OutputParser::new(self.template.dialect(), parse), said, one_call);
        Ok(Ready { prompt, speech, held })
    }

    /// What an answer begins with and is held to.
    fn answer(&self, asked: &Asked<'_>, prompt: &str, one_call: bool) -> Result<Answer> {
        let Asked { calls, tools, constraint } = asked;
        let dialect = self.template.dialect();
        let written = |several| {
            let has_token = |text: &str| self.tokens.contains(text);
            let parts = dialect.calls(tools, several, &has_token);
            parts.map_err(|error| Error::parameter("tools", error.to_string()))
        };
        let words = |constraint: &Constraint| {
            let source = Syntax::of(constraint.kind, &constraint.source);
            match &*dialect.before_words(prompt) {
                [] => source,
                before => Syntax::Row(vec![syntax_of(before), source]),
            }
        };
        let reasoning = dialect.reasoning_marks(prompt);
        let hold = Hold::CallsOrWords;
        let after_reasoning = |syntax, field| Some(Held { syntax, field, reasoning, hold });
        let nothing = String::new();
        Ok(match (calls, constraint) {
            (Calls::Maybe, Some(constraint)) if !tools.is_empty() => {
                let calls = syntax_of(&written(!one_call)?);
                let either = Syntax::OneOf(vec![calls, words(constraint)]);
                Answer { said: nothing, held: after_reasoning(either, constraint.field) }
            }
            (Calls::Maybe, Some(constraint)) => {
                Answer { said: nothing, held: after_reasoning(words(constraint), constraint.field) }
            }
            (Calls::Maybe, None) if tools.iter().any(|tool| tool.strict) => {
                let has_token = |text: &str| self.tokens.contains(text);
                let parts = dialect.calls_or_words(tools, !one_call, prompt, &has_token);
                let (parts, hold) =
                    parts.map_err(|error| Error::parameter("tools", error.to_string()))?;
                let syntax = syntax_of(&parts);
                let held = Held { syntax, field: "tools", reasoning, hold };
                Answer { said: nothing, held: Some(held) }
            }
            (Calls::Maybe, None) => Answer { said: nothing, held: None },
            (Calls::Some, _) => {
                let calls = syntax_of(&written(!one_call)?);
                Answer { said: nothing, held: after_reasoning(calls, "tools") }
            }
            (Calls::This, _) => {
                let (begun, rest) = chat::beginning(&written(false)?);
                let said = dialect.end_of_reasoning(prompt) + &begun;
                let held = Held { syntax: syntax_of(&rest), field: "tools", reasoning: None, hold };
                Answer { said, held: Some(held) }
            }
        })
    }
}

/// Whether an answer calls.
#[derive(Clone, Copy, Debug)]
enum Calls {
    /// As the model likes.
    Maybe,
    /// Some of the tools, one at least.
    Some,
    /// The only tool, once.
    This,
}

/// What a request asks of an answer.
struct Asked<'a> {
    calls: Calls,
    tools: &'a Tools,
    constraint: Option<&'a Constraint>,
}

/// What an answer begins with, and what the rest of it is held to.
struct Answer {
    said: String,
    held: Option<Held>,
}

/// The tools that the model is shown, and whether it must call.
fn tools(request: &ChatRequest) -> Result<(Tools, Calls)> {
    let wrong = |message: String| Error::parameter("tool_choice", message);
    match &request.tool_choice {
        ToolChoice::Auto => Ok((request.tools.clone(), Calls::Maybe)),
        ToolChoice::None => Ok((Tools::default(), Calls::Maybe)),
        ToolChoice::Named(name) => {
            let only = request.tools.only(name);
            let tools = only.ok_or_else(|| wrong(format!("no tool named `{name}` is offered")))?;
            Ok((tools, Calls::This))
        }
        ToolChoice::Required => {
            let calls = match request.tools.iter().count() {
                0 => return Err(wrong("asks for a call and no `tools` are offered".to_owned())),
                1 => Calls::This,
                _ => Calls::Some,
            };
            Ok((request.tools.clone(), calls))
        }
    }
}

/// The end of a prompt: all that says how an answer begins.
fn tail(prompt: &str) -> &str {
    const TAIL_BYTES: usize = 256;
    &prompt[prompt.ceil_char_boundary(prompt.len().saturating_sub(TAIL_BYTES))..]
}

fn markers(dialect: &'static Dialect, tokenizer: &Tokenizer) -> Markers {
    let ids = |texts: &[&'static str]| -> HashSet<u32> {
        texts.iter().filter_map(|text| tokenizer.token_id(text)).collect()
    };
    Markers { shown: ids(&dialect.markers()), not_ends: ids(dialect.goes_on_after()) }
}

/// An answer while it is taken apart.
pub(crate) struct Speech {
    /// None once the answer is over.
    parser: Option<OutputParser>,
    /// What stands at the end of the prompt and belongs to the answer.
    said: String,
    one_call: bool,
    is_reasoning: bool,
    reasoning_tokens: u32,
    calls: u32,
}

impl Speech {
    fn new(parser: OutputParser, said: String, one_call: bool) -> Speech {
        let parser = Some(parser);
        Speech { parser, said, one_call, is_reasoning: false, reasoning_tokens: 0, calls: 0 }
    }

    /// What is known before the model says anything.
    pub(crate) fn begin(&mut self) -> Vec<Event> {
        let said = std::mem::take(&mut self.said);
        self.parse(|parser| parser.push(&said))
    }

    /// Takes a token's text. The token goes with the first words that it made, or with none.
    pub(crate) fn take(&mut self, text: &str, token: Option<TokenText>) -> Vec<Event> {
        let mut events = self.parse(|parser| parser.push(text));
        let Some(said) = token else { return events };
        self.reasoning_tokens += u32::from(self.is_reasoning);
        let words = events.iter_mut().find_map(|event| match event {
            Event::Reasoning { token, .. } | Event::Text { token, .. } => Some(token),
            Event::Queued { .. }
            | Event::Started { .. }
            | Event::Call(_)
            | Event::Finished(_)
            | Event::Failed(_) => None,
        });
        match words {
            Some(token) => *token = Some(said),
            None if self.is_reasoning => {
                events.push(Event::Reasoning { text: String::new(), token: Some(said) });
            }
            None => events.push(Event::Text { text: String::new(), token: Some(said) }),
        }
        events
    }

    /// The answer is over: what was held back.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        let Some(parser) = self.parser.take() else { return Vec::new() };
        let events = parser.finish();
        self.translate(events)
    }

    /// Whether no more is wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.one_call && self.calls > 0
    }

    pub(crate) fn reasoning_tokens(&self) -> u32 {
        self.reasoning_tokens
    }

    /// Why the answer ended, in view of what it said.
    pub(crate) fn finished(&self, finished: Finished) -> Finished {
        match finished {
            Finished::EndOfText | Finished::Stop if self.calls > 0 => Finished::Calls,
            Finished::EndOfText
            | Finished::Stop
            | Finished::Calls
            | Finished::Length
            | Finished::Context
            | Finished::Cancelled => finished,
        }
    }

    fn parse(&mut self, step: impl FnOnce(&mut OutputParser) -> Vec<OutputEvent>) -> Vec<Event> {
        let events = self.parser.as_mut().map_or_else(Vec::new, step);
        let events = self.translate(events);
        if self.is_done() {
            self.parser = None;
        }
        events
    }

    fn translate(&mut self, parts: Vec<OutputEvent>) -> Vec<Event> {
        let mut events = Vec::with_capacity(parts.len());
        for part in parts {
            if self.is_done() {
                break;
            }
            self.is_reasoning = matches!(part, OutputEvent::ReasoningDelta(_));
            let text = |text| Event::Text { text, token: None };
            match part {
                OutputEvent::ReasoningDelta(text) => {
                    events.push(Event::Reasoning { text, token: None });
                }
                OutputEvent::ContentDelta(said) => events.push(text(said)),
                OutputEvent::ToolCallStart { index, id, name } => {
                    events.push(Event::Call(CallEvent::Start { index, id, name }));
                }
                OutputEvent::ToolCallArgumentsDelta { index, text } => {
                    events.push(Event::Call(CallEvent::Arguments { index, text }));
                }
                OutputEvent::ToolCallEnd { index } => {
                    self.calls += 1;
                    events.push(Event::Call(CallEvent::End { index }));
                }
                OutputEvent::Malformed { index, text: said } => {
                    let void = index.map(|index| Event::Call(CallEvent::Void { index }));
                    events.extend(void);
                    events.push(text(said));
                }
            }
        }
        events
    }
}

#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod tests;
