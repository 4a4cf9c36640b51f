//! `hob run --json`: one event a line, for programs. The fields are part of hob's promise: they
//! may grow in number, never change in meaning.

use std::io::Write;

use app::{Event, Finished, LoadedModel, TokenText, TokenUsage};
use serde::Serialize;

use crate::answer::Rates;

/// A line. Absent fields are left out.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Loaded {
        model: &'a str,
        backend: String,
        context: u32,
        load_ms: f64,
    },
    Queued {
        position: u32,
    },
    Started {
        prompt_tokens: u32,
        cached_tokens: u32,
    },
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob: Option<Logprob>,
    },
    Reasoning {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob: Option<Logprob>,
    },
    Finished {
        reason: &'static str,
        usage: Usage,
        timings: Timings,
        energy: Energy,
    },
    Error {
        kind: &'static str,
        message: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct Logprob {
    id: u32,
    token: String,
    logprob: f32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Logprob>,
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u32,
    cached_tokens: u32,
    completion_tokens: u32,
    reasoning_tokens: u32,
    draft_tokens: u32,
    accepted_tokens: u32,
}

#[derive(Debug, Serialize)]
struct Timings {
    queued_ms: f64,
    prefill_ms: f64,
    decode_ms: f64,
    first_token_ms: f64,
    busy_ms: f64,
    prompt_per_second: Option<f64>,
    answer_per_second: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Energy {
    joules: f64,
    basis: &'static str,
}

/// Writes that the model is ready.
///
/// # Errors
/// When the line cannot be written.
pub(crate) fn write_loaded(out: &mut dyn Write, model: &LoadedModel) -> anyhow::Result<()> {
    let load_ms = model.load_time().as_secs_f64() * 1e3;
    let (backend, context) = (model.backend(), model.context_len());
    write_line(out, &Line::Loaded { model: model.name(), backend, context, load_ms })
}

/// Writes an event; text that is held back makes no line.
///
/// # Errors
/// When the line cannot be written.
pub(crate) fn write_event(out: &mut dyn Write, event: &Event) -> anyhow::Result<()> {
    let line = match event {
        Event::Queued { position } => Line::Queued { position: *position },
        Event::Started { prompt_tokens, cached_tokens } => {
            Line::Started { prompt_tokens: *prompt_tokens, cached_tokens: *cached_tokens }
        }
        Event::Text { text, token } => {
            let logprob = token.as_ref().and_then(logprob);
            if text.is_empty() && logprob.is_none() {
                return Ok(());
            }
            Line::Text { text, logprob }
        }
        Event::Reasoning { text, token } => {
            let logprob = token.as_ref().and_then(logprob);
            if text.is_empty() && logprob.is_none() {
                return Ok(());
            }
            Line::Reasoning { text, logprob }
        }
        // No tools are offered here.
        Event::Call(_) => return Ok(()),
        Event::Finished(usage) => finished(usage),
        Event::Failed(error) => Line::Error { kind: kind(error.kind), message: &error.message },
    };
    write_line(out, &line)
}

/// Writes a failure that came before any event.
///
/// # Errors
/// When the line cannot be written.
pub(crate) fn write_error(out: &mut dyn Write, error: &anyhow::Error) -> anyhow::Result<()> {
    let kind = error.downcast_ref::<app::Error>().map_or("failed", |error| kind(error.kind));
    write_line(out, &Line::Error { kind, message: &error.to_string() })
}

fn write_line(out: &mut dyn Write, line: &Line<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn logprob(token: &TokenText) -> Option<Logprob> {
    let line = |id: u32, bytes: &[u8], logprob: f32, top: Vec<Logprob>| Logprob {
        id,
        token: String::from_utf8_lossy(bytes).into_owned(),
        logprob,
        top,
    };
    let top = token.top.iter().map(|(id, bytes, value)| line(*id, bytes, *value, Vec::new()));
    Some(line(token.id, &token.bytes, token.logprob?, top.collect()))
}

fn finished(usage: &TokenUsage) -> Line<'static> {
    let rates = Rates::of(usage);
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Line::Finished {
        reason: match usage.finished {
            Finished::EndOfText => "end_of_text",
            Finished::Stop => "stop",
            Finished::Calls => "calls",
            Finished::Length => "length",
            Finished::Context => "context",
            Finished::Cancelled => "cancelled",
        },
        usage: Usage {
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            completion_tokens: usage.completion_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            draft_tokens: usage.draft_tokens,
            accepted_tokens: usage.accepted_tokens,
        },
        timings: Timings {
            queued_ms: ms(usage.queued),
            prefill_ms: ms(usage.prefill),
            decode_ms: ms(usage.decode),
            first_token_ms: ms(rates.first_token),
            busy_ms: ms(usage.busy),
            prompt_per_second: rates.prompt_per_s,
            answer_per_second: rates.answer_per_s,
        },
        energy: Energy { joules: usage.energy.joules, basis: usage.energy.basis.name() },
    }
}

fn kind(kind: app::ErrorKind) -> &'static str {
    match kind {
        app::ErrorKind::BadRequest => "bad_request",
        app::ErrorKind::ContextLength => "context_length",
        app::ErrorKind::NotFound => "not_found",
        app::ErrorKind::BadModel => "bad_model",
        app::ErrorKind::Machine => "machine",
        app::ErrorKind::Busy => "busy",
        app::ErrorKind::Cancelled => "cancelled",
        app::ErrorKind::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::{write_error, write_event};
    use app::{Event, Finished, TokenText, TokenUsage};
    use std::time::Duration;

    fn check(event: &Event, expect: &str) {
        let mut out = Vec::new();
        write_event(&mut out, event).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn text_is_one_line() {
        let text = "a\n\"b\"".to_owned();
        check(
            &Event::Text { text, token: None },
            "{\"event\":\"text\",\"text\":\"a\\n\\\"b\\\"\"}\n",
        );
        check(&Event::Text { text: String::new(), token: None }, "");
    }

    #[test]
    fn log_probabilities() {
        let top = vec![(8, b"y".to_vec(), -1.5)];
        let token = Some(TokenText { id: 7, bytes: b"x".to_vec(), logprob: Some(-0.5), top });
        check(
            &Event::Text { text: "x".to_owned(), token },
            "{\"event\":\"text\",\"text\":\"x\",\"logprob\":{\"id\":7,\"token\":\"x\",\
             \"logprob\":-0.5,\"top\":[{\"id\":8,\"token\":\"y\",\"logprob\":-1.5}]}}\n",
        );
    }

    #[test]
    fn the_end_has_usage_and_timings() {
        let usage = TokenUsage {
            finished: Finished::Length,
            prompt_tokens: 4,
            cached_tokens: 0,
            completion_tokens: 1,
            reasoning_tokens: 0,
            draft_tokens: 0,
            accepted_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
            queued: Duration::ZERO,
            prefill: Duration::from_millis(500),
            decode: Duration::ZERO,
            busy: Duration::from_millis(250),
            energy: app::Energy { joules: 1.5, basis: app::meter::Basis::Modelled },
        };
        check(
            &Event::Finished(usage),
            "{\"event\":\"finished\",\"reason\":\"length\",\"usage\":{\"prompt_tokens\":4,\
             \"cached_tokens\":0,\"completion_tokens\":1,\"reasoning_tokens\":0,\
             \"draft_tokens\":0,\"accepted_tokens\":0},\"timings\":{\"queued_ms\":0.0,\
             \"prefill_ms\":500.0,\"decode_ms\":0.0,\"first_token_ms\":500.0,\
             \"busy_ms\":250.0,\"prompt_per_second\":8.0,\"answer_per_second\":null},\
             \"energy\":{\"joules\":1.5,\"basis\":\"modelled\"}}\n",
        );
    }

    #[test]
    fn failures_before_any_event() {
        let mut out = Vec::new();
        write_error(&mut out, &anyhow::anyhow!("no")).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "{\"event\":\"error\",\"kind\":\"failed\",\"message\":\"no\"}\n");
    }
}
