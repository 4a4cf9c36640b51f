//! Reasoning before the answer: free text up to a marker, then what must fit.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Vocabulary;

/// White space that may stand between the end of reasoning and the answer.
const SPACE_BYTES_MAX: usize = 8;

/// How a model marks its reasoning, and where an answer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoning {
    /// What sets it off, such as `<think>`; none where a prompt always does.
    pub open: Option<String>,
    /// What ends it, such as `</think>`.
    pub close: String,
    /// Whether the prompt ends inside of it.
    pub is_open: bool,
}

/// Which part of an answer comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Reasoning, or at once the answer: nothing was written yet.
    Either,
    /// Reasoning.
    Free,
    /// Reasoning is over, and of the answer nothing was written.
    Between,
    /// The answer.
    Grammar,
}

/// Tokens that end the reasoning and go on, by how much of the marker was read before.
pub(crate) type Breakers = HashMap<usize, Vec<u32>>;

/// Where a sequence stands between reasoning and answer.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    open: Vec<u8>,
    close: Arc<[u8]>,
    part: Part,
    /// Bytes of the marker read so far, for `Either`.
    opened: usize,
    /// Whether what was read can only be the marker, for `Either`.
    only_open: bool,
    /// The end of what was read, shorter than the marker, for `Free`.
    tail: Vec<u8>,
    /// White space read, for `Between`.
    spaces: usize,
    breakers: Arc<Breakers>,
}

impl Spans {
    pub(crate) fn new(reasoning: &Reasoning, vocabulary: &Vocabulary) -> Spans {
        let open = reasoning.open.clone().unwrap_or_default().into_bytes();
        let close: Arc<[u8]> = reasoning.close.as_bytes().into();
        let part = match (reasoning.is_open, open.is_empty()) {
            _ if close.is_empty() => Part::Grammar,
            (true, _) => Part::Free,
            (false, false) => Part::Either,
            (false, true) => Part::Grammar,
        };
        let breakers = vocabulary.breakers(&close);
        Spans {
            open,
            close,
            part,
            opened: 0,
            only_open: false,
            tail: Vec::new(),
            spaces: 0,
            breakers,
        }
    }

    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// Whether the bytes are the next of the marker that sets reasoning off.
    pub(crate) fn opens(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && self.open[self.opened..].starts_with(bytes)
    }

    /// Tokens that are the next of the marker that sets reasoning off.
    pub(crate) fn openers<'a>(
        &'a self,
        vocabulary: &'a Vocabulary,
    ) -> impl Iterator<Item = u32> + 'a {
        let rest = &self.open[self.opened..];
        (1..=rest.len()).filter_map(|len| vocabulary.named(&rest[..len]))
    }

    /// After a token that opened, or fitted the grammar, or both.
    pub(crate) fn choose(&mut self, opens: bool, fits: bool, bytes: &[u8]) {
        if !opens {
            self.part = Part::Grammar;
            return;
        }
        self.opened += bytes.len();
        self.only_open |= !fits;
        if self.opened == self.open.len() {
            self.part = Part::Free;
            self.only_open = false;
        }
    }

    /// Whether what was read can only be the marker that sets reasoning off.
    pub(crate) fn only_opens(&self) -> bool {
        self.only_open
    }

    /// Takes in a token of the reasoning.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let close = &*self.close;
        let found = self.tail.windows(close.len()).position(|window| window == close);
        if let Some(at) = found {
            self.spaces = self.tail.len() - at - close.len();
            self.part = Part::Between;
            self.tail.clear();
            return;
        }
        let kept = self.tail.len().min(close.len() - 1);
        self.tail.drain(..self.tail.len() - kept);
    }

    /// Tokens that would end the reasoning and go on with what nobody checked.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = u32> + '_ {
        let reads = (0..self.close.len()).filter(|len| self.tail.ends_with(&self.close[..*len]));
        reads.filter_map(|len| self.breakers.get(&len)).flatten().copied()
    }

    pub(crate) fn breaks_off(&self, id: u32) -> bool {
        self.breakers().any(|breaker| breaker == id)
    }

    /// White space that may still come before the answer.
    pub(crate) fn separators<'a>(
        &'a self,
        vocabulary: &'a Vocabulary,
    ) -> impl Iterator<Item = u32> + 'a {
        let words: &[&[u8]] = &[b"\n", b"\n\n", b" "];
        let room = SPACE_BYTES_MAX.saturating_sub(self.spaces);
        let fitting = words.iter().filter(move |word| word.len() <= room);
        fitting.filter_map(|word| vocabulary.named(word))
    }

    pub(crate) fn separate(&mut self, bytes: &[u8]) -> bool {
        self.spaces += bytes.len();
        is_space(bytes) && self.spaces <= SPACE_BYTES_MAX
    }

    /// The answer has begun.
    pub(crate) fn begin(&mut self) {
        self.part = Part::Grammar;
    }
}

fn is_space(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b' ' | b'\n'))
}

/// For each number of the marker's bytes read before: the tokens that complete it and hold more.
pub(crate) fn breakers(close: &[u8], vocabulary: &Vocabulary) -> Breakers {
    let mut found = Breakers::new();
    if close.is_empty() {
        return found;
    }
    let goes_on = |rest: &[u8]| !rest.is_empty() && !is_space(rest);
    for (id, word) in vocabulary.words() {
        for read in 1..close.len() {
            if word.strip_prefix(&close[read..]).is_some_and(goes_on) {
                found.entry(read).or_default().push(id);
            }
        }
        let within = word.windows(close.len()).position(|window| window == close);
        if within.is_some_and(|at| goes_on(&word[at + close.len()..])) {
            found.entry(0).or_default().push(id);
        }
    }
    found
}
