//! An answer as it comes: events of the roof to a sink, Ctrl-C to a cancellation, and the figures
//! of `--verbose`.

use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use app::{Energy, Event, Finished, Generation, TokenUsage};

use crate::interrupt::Interruptible;
use crate::terminal::Terminal;

/// Feeds every event to `sink` until the last. Ctrl-C cancels the generation; its `Finished` still
/// comes. When the sink fails (nobody reads any more) the generation is dropped, which stops it.
///
/// # Errors
/// The sink's, or the generation's.
pub(crate) fn drive(
    mut generation: Generation,
    sink: &mut dyn FnMut(&Event) -> anyhow::Result<()>,
) -> anyhow::Result<TokenUsage> {
    let here = thread::current();
    let work = Interruptible::new(move || here.unpark());
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if work.is_pressed() {
            generation.cancel();
        }
        let event = match generation.poll_recv(&mut context) {
            // Either waker unparks; a press between the look above and here is not lost, because
            // an unpark before the park makes it return at once.
            Poll::Pending => {
                thread::park();
                continue;
            }
            Poll::Ready(event) => event,
        };
        let event = event.expect("the last event is Finished or Failed, and ends this loop");
        sink(&event)?;
        match event {
            Event::Finished(usage) => return Ok(usage),
            Event::Failed(error) => return Err(error.into()),
            Event::Queued { .. }
            | Event::Started { .. }
            | Event::Reasoning { .. }
            | Event::Call(_)
            | Event::Text { .. } => {}
        }
    }
}

/// Prints an answer for people: what is said to standard output, what is thought faintly to
/// standard error, so that a pipe gets the answer alone.
pub(crate) struct Printer<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
    shows_reasoning: bool,
    /// All that was said.
    pub(crate) said: String,
    /// All that was thought.
    pub(crate) thought: String,
}

impl Printer<'_> {
    pub(crate) fn new(
        out: &mut dyn Write,
        terminal: Terminal,
        shows_reasoning: bool,
    ) -> Printer<'_> {
        let (said, thought) = (String::new(), String::new());
        Printer { out, terminal, shows_reasoning, said, thought }
    }

    /// Prints what is to be read of an event.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn show(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Text { text, .. } if !text.is_empty() => {
                if self.said.is_empty() {
                    self.end_thought("\n");
                }
                self.said.push_str(text);
                self.out.write_all(text.as_bytes())?;
                self.out.flush()?;
            }
            Event::Reasoning { text, .. } => {
                self.thought.push_str(text);
                if self.shows_reasoning {
                    self.terminal.hint(&self.terminal.faint(text));
                }
            }
            // No tools are offered here, and the other events are the caller's.
            Event::Queued { .. }
            | Event::Started { .. }
            | Event::Call(_)
            | Event::Text { .. }
            | Event::Finished(_)
            | Event::Failed(_) => {}
        }
        Ok(())
    }

    /// Ends the last line.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        if self.said.is_empty() {
            self.end_thought("");
        } else if !self.said.ends_with('\n') {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn end_thought(&self, space: &str) {
        if self.shows_reasoning && !self.thought.is_empty() {
            let end = if self.thought.ends_with('\n') { "" } else { "\n" };
            self.terminal.hint(&format!("{end}{space}"));
        }
    }
}

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The figures that `--verbose` ends with, a line each.
pub(crate) fn figures(load_time: Duration, usage: &TokenUsage) -> Vec<String> {
    let rates = Rates::of(usage);
    let cached = match usage.cached_tokens {
        0 => String::new(),
        count => format!(" ({count} known already)"),
    };
    let rate = |rate: Option<f64>| match rate {
        Some(rate) => format!("{rate:.1} tokens/s"),
        None => "too short to measure".to_owned(),
    };
    let (prompt, made) = (usage.prompt_tokens, usage.completion_tokens);
    let thought = match usage.reasoning_tokens {
        0 => String::new(),
        count => format!(" ({count} of them reasoning)"),
    };
    let drafts = match usage.draft_tokens {
        0 => "none".to_owned(),
        count => format!("{} of {count} tokens accepted", usage.accepted_tokens),
    };
    vec![
        format!("load time:           {:.3} s", load_time.as_secs_f64()),
        format!("prompt:              {prompt} tokens{cached}, {}", rate(rates.prompt_per_s)),
        format!("answer:              {made} tokens{thought}, {}", rate(rates.answer_per_s)),
        format!("drafts:              {drafts}"),
        format!("time to first token: {:.3} s", rates.first_token.as_secs_f64()),
        format!("energy:              {}", energy(usage)),
        format!("ended by:            {}", reason(usage.finished)),
    ]
}

/// `12.3 J, 0.15 J a token (modelled)`.
fn energy(usage: &TokenUsage) -> String {
    let Energy { joules, basis } = usage.energy;
    let each = match usage.completion_tokens {
        0 => String::new(),
        made => format!(", {:.2} J a token", joules / f64::from(made)),
    };
    format!("{joules:.1} J{each} ({})", basis.name())
}

/// Speeds, where there is enough to measure.
pub(crate) struct Rates {
    /// Prompt tokens read in a second; those known already do not count.
    pub(crate) prompt_per_s: Option<f64>,
    /// Tokens made in a second, after the first.
    pub(crate) answer_per_s: Option<f64>,
    /// From asking to the first token.
    pub(crate) first_token: Duration,
}

impl Rates {
    pub(crate) fn of(usage: &TokenUsage) -> Rates {
        let rate = |count: u32, time: Duration| {
            (count > 0 && !time.is_zero()).then(|| f64::from(count) / time.as_secs_f64())
        };
        let read = usage.prompt_tokens.saturating_sub(usage.cached_tokens);
        Rates {
            prompt_per_s: rate(read, usage.prefill),
            // The clock of the decode starts with the first token.
            answer_per_s: rate(usage.completion_tokens.saturating_sub(1), usage.decode),
            first_token: usage.queued + usage.prefill,
        }
    }
}

/// Why it ended, for people.
pub(crate) fn reason(finished: Finished) -> &'static str {
    match finished {
        Finished::EndOfText => "the model",
        Finished::Stop => "a stop text",
        Finished::Calls => "a call of a tool",
        Finished::Length => "--max-tokens",
        Finished::Context => "the end of the context",
        Finished::Cancelled => "you",
    }
}

#[cfg(test)]
mod tests {
    use super::{Energy, Finished, Rates, TokenUsage, figures};
    use app::meter::Basis;
    use std::time::Duration;

    const USAGE: TokenUsage = TokenUsage {
        finished: Finished::EndOfText,
        prompt_tokens: 30,
        cached_tokens: 10,
        completion_tokens: 101,
        reasoning_tokens: 40,
        draft_tokens: 50,
        accepted_tokens: 30,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
        queued: Duration::from_millis(10),
        prefill: Duration::from_millis(200),
        decode: Duration::from_secs(2),
        busy: Duration::from_secs(2),
        energy: Energy { joules: 61.2, basis: Basis::Modelled },
    };

    #[test]
    fn figures_for_people() {
        let lines = figures(Duration::from_millis(412), &USAGE).join("\n");
        insta::assert_snapshot!(lines, @r"
        load time:           0.412 s
        prompt:              30 tokens (10 known already), 100.0 tokens/s
        answer:              101 tokens (40 of them reasoning), 50.0 tokens/s
        drafts:              30 of 50 tokens accepted
        time to first token: 0.210 s
        energy:              61.2 J, 0.61 J a token (modelled)
        ended by:            the model
        ");
    }

    #[test]
    fn one_token_has_no_rate() {
        let usage = TokenUsage { completion_tokens: 1, decode: Duration::ZERO, ..USAGE };
        assert_eq!(Rates::of(&usage).answer_per_s, None);
        let usage = TokenUsage { cached_tokens: 30, ..USAGE };
        assert_eq!(Rates::of(&usage).prompt_per_s, None);
    }
}
