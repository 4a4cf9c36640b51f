//! The two ways to answer: whole, or as server-sent events that are dropped with the client.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use app::{CallEvent, Event, Generation, TokenText, TokenUsage};
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::Value;
use tokio::time::{self, Instant, Interval};

use super::Rejection;
use crate::limits::SILENCE_MAX;

/// A finished answer.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// Calls that are whole.
    pub(crate) calls: Vec<Call>,
    pub(crate) tokens: Vec<TokenText>,
}

/// A call of a tool.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON, as the model wrote it.
    pub(crate) arguments: String,
}

/// Waits for the whole answer. Dropping the future stops the generation.
pub(crate) async fn collect(mut generation: Generation) -> Result<(Answer, TokenUsage), Rejection> {
    let mut answer = Answer::default();
    let mut open = Call::default();
    loop {
        match poll_fn(|context| generation.poll_recv(context)).await {
            Some(Event::Text { text, token }) => {
                answer.text.push_str(&text);
                answer.tokens.extend(token);
            }
            Some(Event::Reasoning { text, .. }) => answer.reasoning.push_str(&text),
            Some(Event::Call(event)) => match event {
                CallEvent::Start { id, name, .. } => {
                    open = Call { id, name, arguments: String::new() };
                }
                CallEvent::Arguments { text, .. } => open.arguments.push_str(&text),
                CallEvent::End { .. } => answer.calls.push(std::mem::take(&mut open)),
                CallEvent::Void { .. } => open = Call::default(),
            },
            Some(Event::Finished(usage)) => return Ok((answer, usage)),
            Some(Event::Failed(error)) => return Err(error.into()),
            Some(Event::Queued { .. } | Event::Started { .. }) => {}
            None => return Err(Rejection::from(app::Error::ended_early())),
        }
    }
}

/// What one kind of endpoint sends for each event.
pub(crate) trait Chunks: Send + Unpin + 'static {
    /// Before any text.
    fn first(&mut self) -> Option<Value>;
    /// For text; none when there is nothing to say.
    fn text(&mut self, text: &str, token: Option<&TokenText>) -> Option<Value>;
    /// For reasoning; a text that is continued has none.
    fn reasoning(&mut self, text: &str) -> Option<Value> {
        let _ = text;
        None
    }
    /// For a call; a text that is continued has none.
    fn call(&mut self, call: &CallEvent) -> Option<Value> {
        let _ = call;
        None
    }
    /// At the end, in order.
    fn last(&mut self, usage: &TokenUsage) -> Vec<Value>;
}

/// Answers with server-sent events.
pub(crate) fn respond(generation: Generation, chunks: impl Chunks) -> Response {
    let first = Instant::now() + SILENCE_MAX;
    let silence = time::interval_at(first, SILENCE_MAX);
    let events = Events { generation, chunks, silence, begun: false, ended: false };
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// A comment, which clients pass over.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");

struct Events<C> {
    generation: Generation,
    chunks: C,
    /// Ticks when nothing was said for so long.
    silence: Interval,
    begun: bool,
    ended: bool,
}

impl<C: Chunks> Stream for Events<C> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.begun {
            this.begun = true;
            if let Some(first) = this.chunks.first() {
                return Poll::Ready(Some(Ok(frame(&[first]))));
            }
        }
        while !this.ended {
            let event = match this.generation.poll_recv(context) {
                Poll::Pending => {
                    return this.silence.poll_tick(context).map(|_| Some(Ok(ALIVE)));
                }
                Poll::Ready(event) => event,
            };
            this.silence.reset();
            let values = match event {
                Some(Event::Text { text, token }) => {
                    this.chunks.text(&text, token.as_ref()).into_iter().collect()
                }
                Some(Event::Reasoning { text, .. }) => {
                    this.chunks.reasoning(&text).into_iter().collect()
                }
                Some(Event::Call(call)) => this.chunks.call(&call).into_iter().collect(),
                Some(Event::Finished(usage)) => {
                    this.ended = true;
                    this.chunks.last(&usage)
                }
                Some(Event::Failed(error)) => {
                    this.ended = true;
                    vec![Rejection::from(error).body()]
                }
                Some(Event::Queued { .. } | Event::Started { .. }) => continue,
                None => return Poll::Ready(None),
            };
            if this.ended {
                let mut bytes = frame(&values).to_vec();
                bytes.extend_from_slice(b"data: [DONE]\n\n");
                return Poll::Ready(Some(Ok(bytes.into())));
            }
            if !values.is_empty() {
                return Poll::Ready(Some(Ok(frame(&values))));
            }
        }
        Poll::Ready(None)
    }
}

/// `data:` lines; never `id:` lines, which make OpenAI's client read blank lines as events.
fn frame(values: &[Value]) -> Bytes {
    values.iter().map(|value| format!("data: {value}\n\n")).collect::<String>().into()
}

#[cfg(test)]
mod tests;
