//! The events of one request, in the words of both faces.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use engine::FinishReason;
use tokenizer::Tokenizer;

use crate::speech::Speech;
use crate::watch::Watch;
use crate::{Error, Event, Finished, TokenText, TokenUsage};

/// The events of one request. Dropping it stops the generation within one token.
pub struct Generation {
    events: engine::Generation,
    tokenizer: Arc<Tokenizer>,
    watch: Arc<Watch>,
    /// Takes a chat's answer apart; a continued text has no parts.
    speech: Option<Speech>,
    /// Made of the engine's last event, and not told yet.
    queue: VecDeque<Event>,
    ended: bool,
}

impl Generation {
    pub(crate) fn new(
        events: engine::Generation,
        tokenizer: Arc<Tokenizer>,
        watch: Arc<Watch>,
    ) -> Generation {
        let (speech, queue) = (None, VecDeque::new());
        Generation { events, tokenizer, watch, speech, queue, ended: false }
    }

    /// The same, taken apart.
    pub(crate) fn spoken(self, mut speech: Speech) -> Generation {
        let queue = VecDeque::from(speech.begin());
        Generation { speech: Some(speech), queue, ..self }
    }

    /// The next event; none after the last. Blocks.
    pub fn recv(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let event = self.events.recv();
            self.take(event);
        }
    }

    /// The next event, for async callers.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match self.events.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(event) => self.take(event),
            }
        }
    }

    /// Asks the engine to stop; a `Finished` with `Cancelled` follows.
    pub fn cancel(&self) {
        self.events.cancel();
    }

    /// Queues what an event of the engine means; one that went down without a word gets one said.
    fn take(&mut self, event: Option<engine::Event>) {
        let Some(event) = event else {
            self.ended = true;
            return self.queue.push_back(Event::Failed(Error::ended_early()));
        };
        match event {
            engine::Event::Queued { position } => self.queue.push_back(Event::Queued { position }),
            engine::Event::Started { prompt_tokens, cached_tokens } => {
                self.queue.push_back(Event::Started { prompt_tokens, cached_tokens });
            }
            engine::Event::Tail(text) => self.said(text, None),
            engine::Event::Token(token) => {
                let words = self.words(&token);
                self.said(token.text, Some(words));
            }
            engine::Event::Finished { reason, usage } => {
                let mut finished = finished(reason);
                let mut reasoning_tokens = 0;
                if let Some(speech) = &mut self.speech {
                    self.queue.extend(speech.end());
                    finished = speech.finished(finished);
                    reasoning_tokens = speech.reasoning_tokens();
                }
                self.ended = true;
                let energy = self.watch.charge(&usage, Instant::now());
                self.queue.push_back(Event::Finished(TokenUsage {
                    finished,
                    prompt_tokens: usage.prompt_tokens,
                    cached_tokens: usage.cached_tokens,
                    completion_tokens: usage.completion_tokens,
                    reasoning_tokens,
                    draft_tokens: usage.draft_tokens,
                    accepted_tokens: usage.accepted_tokens,
                    accepted_prediction_tokens: usage.accepted_prediction_tokens,
                    rejected_prediction_tokens: usage.rejected_prediction_tokens,
                    queued: usage.queued,
                    prefill: usage.prefill,
                    decode: usage.decode,
                    busy: usage.busy,
                    energy,
                }));
            }
            engine::Event::Failed(error) => {
                self.ended = true;
                self.queue.push_back(Event::Failed(error.into()));
            }
        }
    }

    fn said(&mut self, text: String, token: Option<TokenText>) {
        let Some(speech) = &mut self.speech else {
            return self.queue.push_back(Event::Text { text, token });
        };
        self.queue.extend(speech.take(&text, token));
        if speech.is_done() {
            self.events.enough();
        }
    }

    fn words(&self, token: &engine::TokenEvent) -> TokenText {
        let bytes = |id: u32| self.tokenizer.token_bytes(id).to_vec();
        let (logprob, top) = match &token.logprob {
            None => (None, Vec::new()),
            Some(found) => {
                let top = found.top.iter().map(|(id, value)| (*id, bytes(*id), *value));
                (Some(found.logprob), top.collect())
            }
        };
        TokenText { id: token.id, bytes: bytes(token.id), logprob, top }
    }
}

fn finished(reason: FinishReason) -> Finished {
    match reason {
        FinishReason::EndOfText => Finished::EndOfText,
        FinishReason::Stop => Finished::Stop,
        FinishReason::Length => Finished::Length,
        FinishReason::Context => Finished::Context,
        FinishReason::Cancelled | FinishReason::Failed => Finished::Cancelled,
    }
}
