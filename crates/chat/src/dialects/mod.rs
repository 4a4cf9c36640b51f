//! How families of models write reasoning and calls: a row a family. The template's text says which
//! row it is; without a template the architecture does.

mod calls;
mod chatml;
mod command_r;
mod deepseek;
mod gemma;
mod generic;
mod glm4;
mod granite;
mod harmony;
mod kimi_k2;
mod llama3;
mod mistral;
mod qwen3_coder;
mod seed_oss;

pub use calls::{CallPart, beginning};

use crate::parser::{HARMONY_HELD_CLOSE, HARMONY_MARKERS, Shape};

/// What stands right before the answer of a model with channels.
const HARMONY_FINAL: &str = "<|channel|>final<|message|>";

/// The dialects, by name.
pub const DIALECTS: &[&Dialect] = &[
    &chatml::CHATML,
    &command_r::COMMAND_R,
    &deepseek::DEEPSEEK,
    &gemma::GEMMA,
    &generic::GENERIC,
    &glm4::GLM4,
    &granite::GRANITE,
    &harmony::HARMONY,
    &kimi_k2::KIMI_K2,
    &llama3::LLAMA3,
    &mistral::MISTRAL,
    &qwen3_coder::QWEN3_CODER,
    &seed_oss::SEED_OSS,
];

/// How a family of models writes reasoning and calls.
#[derive(Debug)]
pub struct Dialect {
    /// Its name, lower case.
    pub name: &'static str,
    /// A template is of this dialect where it has all texts of one of these sets.
    pub(crate) signs: &'static [&'static [&'static str]],
    /// And none of these.
    pub(crate) never: &'static [&'static str],
    /// GGUF architectures that speak it when there is no template.
    pub(crate) architectures: &'static [&'static str],
    /// What stands around reasoning.
    pub(crate) reasoning: &'static [Tag],
    /// How calls are written.
    pub(crate) calls: &'static [Form],
    /// What may stand around one or several calls: what opens and what closes.
    pub(crate) wrappers: &'static [(&'static str, &'static str)],
    /// Markers that mean nothing to a reader.
    pub(crate) dropped: &'static [&'static str],
    /// Whether an answer consists of messages with channels, as gpt-oss's do.
    pub(crate) channels: bool,
    /// Whether a call inside the reasoning is meant and ends it.
    pub(crate) calls_end_reasoning: bool,
}

/// Where the reasoning of an answer begins and ends, for a layer that holds the rest to a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasoningMarks {
    /// The token that a model has which was made to reason.
    pub sign: &'static str,
    /// What sets it off.
    pub open: &'static str,
    /// What ends it.
    pub close: &'static str,
    /// Whether the prompt ends inside of it.
    pub is_open: bool,
}

/// What stands around reasoning.
#[derive(Debug, PartialEq)]
pub(crate) struct Tag {
    pub(crate) open: &'static str,
    pub(crate) close: &'static str,
    /// Whether it counts anywhere; else only before the first word, as people write about tags.
    pub(crate) anywhere: bool,
}

/// How a call is written.
#[derive(Debug, PartialEq)]
pub(crate) struct Form {
    /// What begins it; empty where it stands first, without a marker.
    pub(crate) start: &'static str,
    pub(crate) shape: Shape,
    /// What ends it; it may be missing at the end of an answer.
    pub(crate) end: &'static str,
    /// Whether the start says for certain that a call is meant. Where it does not, only the name of
    /// a tool that was offered makes it one, and all else is plain content.
    pub(crate) marked: bool,
    /// The text before the first call.
    pub(crate) open: &'static str,
    /// The text before the arguments, with `{name}` for the tool's and `{number}` for the call's.
    pub(crate) before: &'static str,
    /// The text after the arguments.
    pub(crate) after: &'static str,
    /// The text between two calls; none where an answer has one at most.
    pub(crate) between: Option<&'static str>,
    /// The text after the last call.
    pub(crate) close: &'static str,
}

impl Dialect {
    /// The dialect of a model: by its template, or by its architecture where it has none.
    #[must_use]
    pub fn detect(template: Option<&str>, architecture: &str) -> &'static Dialect {
        let found = match template {
            Some(template) => DIALECTS.iter().find(|dialect| dialect.is_of(template)),
            None => DIALECTS.iter().find(|dialect| dialect.architectures.contains(&architecture)),
        };
        found.copied().unwrap_or(&generic::GENERIC)
    }

    fn is_of(&self, template: &str) -> bool {
        let all = |set: &&[&str]| set.iter().all(|text| template.contains(text));
        self.signs.iter().any(all) && !self.never.iter().any(|text| template.contains(text))
    }

    /// All texts that its parser must see. Models write most of them as one control token, whose
    /// text is otherwise shown to nobody.
    #[must_use]
    pub fn markers(&self) -> Vec<&'static str> {
        let mut out: Vec<&'static str> = Vec::new();
        if self.channels {
            out.extend(HARMONY_MARKERS);
        }
        out.extend(self.reasoning.iter().flat_map(|tag| [tag.open, tag.close]));
        out.extend(self.calls.iter().flat_map(|form| [form.start, form.end]));
        out.extend(self.calls.iter().flat_map(|form| form.shape.markers()));
        out.extend(self.wrappers.iter().flat_map(|(before, after)| [*before, *after]));
        out.retain(|text| !text.is_empty());
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Of its markers, those that end a part of an answer and not all of it, whatever the
    /// vocabulary says of them.
    #[must_use]
    pub fn goes_on_after(&self) -> &'static [&'static str] {
        if self.channels { &["<|end|>"] } else { &[] }
    }

    /// What ends the reasoning that a prompt has opened; nothing where it has opened none.
    #[must_use]
    pub fn end_of_reasoning(&self, prompt: &str) -> String {
        self.open_reasoning(prompt).map_or_else(String::new, |tag| format!("{}\n\n", tag.close))
    }

    /// The reasoning that a prompt has opened.
    pub(crate) fn open_reasoning(&self, prompt: &str) -> Option<&'static Tag> {
        let prompt = prompt.trim_end();
        self.reasoning.iter().find(|tag| prompt.ends_with(tag.open))
    }

    /// Where an answer to this prompt may reason; none where it cannot any more.
    #[must_use]
    pub fn reasoning_marks(&self, prompt: &str) -> Option<ReasoningMarks> {
        if self.channels {
            let (open, close) = ("<|channel|>analysis<|message|>", HARMONY_HELD_CLOSE);
            let marks = ReasoningMarks { sign: "<|channel|>", open, close, is_open: false };
            return (!prompt.ends_with(HARMONY_FINAL)).then_some(marks);
        }
        let marks = |tag: &'static Tag, is_open| {
            let Tag { open, close, .. } = *tag;
            ReasoningMarks { sign: open, open, close, is_open }
        };
        if let Some(tag) = self.open_reasoning(prompt) {
            return Some(marks(tag, true));
        }
        let tag = self.reasoning.first()?;
        let is_over = prompt.trim_end().ends_with(tag.close);
        (!is_over).then(|| marks(tag, false))
    }

    /// Whether ids must be nine letters and digits, as Mistral's templates want them.
    pub(crate) fn short_ids(&self) -> bool {
        self.name == mistral::MISTRAL.name
    }

    /// The dialects that a template shows: one at most, where the rows are right.
    #[must_use]
    pub fn candidates(template: &str) -> Vec<&'static str> {
        DIALECTS.iter().filter(|row| row.is_of(template)).map(|row| row.name).collect()
    }
}
