//! What one request brings forth, event by event, from the step thread to whoever asked: blocking
//! or async.
//!
//! Its own channel, because the receiver is polled by an async server and blocked on by a
//! command line, and because dropping the receiver is how a request is cancelled.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use scheduler::FinishReason;

use crate::CancelToken;
use crate::sampling::TokenLogprob;

/// What happens to a request, in order. `Finished` or `Failed` is always the last.
#[derive(Clone, Debug)]
pub enum Event {
    /// It waits behind `position` others.
    Queued {
        /// 0 is next.
        position: u32,
    },
    /// Its prompt is being read.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Of these, taken from the prefix cache.
        cached_tokens: u32,
    },
    /// A token was made.
    Token(TokenEvent),
    /// Text that was held back as a possible stop text, and was none.
    Tail(String),
    /// Done.
    Finished {
        /// Why.
        reason: FinishReason,
        /// Counts and times.
        usage: Usage,
    },
    /// It could not be finished.
    Failed(crate::Error),
}

/// One token.
#[derive(Clone, Debug)]
pub struct TokenEvent {
    /// Id.
    pub id: u32,
    /// Text to append; whole characters only, may be empty.
    pub text: String,
    /// Log-probabilities, when asked for.
    pub logprob: Option<TokenLogprob>,
}

/// Counts and times of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, taken from the prefix cache.
    pub cached_tokens: u32,
    /// Tokens made.
    pub completion_tokens: u32,
    /// Draft tokens computed for it.
    pub draft_tokens: u32,
    /// Of these, accepted.
    pub accepted_tokens: u32,
    /// Of the accepted, those that were predicted.
    pub accepted_prediction_tokens: u32,
    /// Draft tokens that were predicted, and what was said was another.
    pub rejected_prediction_tokens: u32,
    /// From submission to the first step.
    pub queued: Duration,
    /// From the first step to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Its part of the time that steps took: of each step its rows of all rows.
    pub busy: Duration,
}

/// The receiving end. Dropping it stops the request within one step.
pub struct Receiver<E> {
    shared: Arc<Shared<E>>,
    cancel: CancelToken,
}

/// The events of a request that makes text.
pub type Generation = Receiver<Event>;

/// The sending end, held by the step thread.
pub(crate) struct Sender<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    state: Mutex<State<E>>,
    ready: Condvar,
}

/// Bounded by the request itself: one event a token, and tokens are bounded by the context.
struct State<E> {
    events: VecDeque<E>,
    closed: bool,
    waker: Option<Waker>,
}

pub(crate) fn channel<E>(cancel: CancelToken) -> (Sender<E>, Receiver<E>) {
    let state = State { events: VecDeque::new(), closed: false, waker: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), ready: Condvar::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, cancel })
}

impl<E> Sender<E> {
    pub(crate) fn send(&self, event: E) {
        let mut state = self.shared.lock();
        state.events.push_back(event);
        self.shared.notify(state);
    }
}

impl<E> Drop for Sender<E> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.notify(state);
    }
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().expect("no code panics while it holds a stream's lock")
    }

    fn notify(&self, mut state: MutexGuard<'_, State<E>>) {
        let waker = state.waker.take();
        drop(state);
        self.ready.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<E> Receiver<E> {
    /// The next event; none after the last. Blocks.
    pub fn recv(&mut self) -> Option<E> {
        let waiting = |state: &mut State<E>| state.events.is_empty() && !state.closed;
        let guard = self.shared.ready.wait_while(self.shared.lock(), waiting);
        guard.expect("no code panics while it holds a stream's lock").events.pop_front()
    }

    /// The next event, for async callers; ready with none after the last.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<E>> {
        let mut state = self.shared.lock();
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Stops the request within one step; what makes text still tells its end.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends the answer within one token, because it has all that was wanted: a `Finished` with
    /// `Stop` follows.
    pub fn enough(&self) {
        self.cancel.enough();
    }
}

impl<E> Drop for Receiver<E> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
