//! Finding, fetching and loading a model, with progress on stderr.

use app::{App, ErrorKind, LoadOptions, LoadedModel, ModelRef, PullEvent, Speculation};

use crate::args::EngineArgs;
use crate::failure::usage;
use crate::interrupt::Interruptible;
use crate::terminal::{BytesProgress, Terminal};
use crate::text;

/// The model on this machine, if it is here.
///
/// # Errors
/// When `spec` names neither a model that hob knows nor a file nor a repository.
pub(crate) fn find(app: &App, spec: &str) -> anyhow::Result<Option<ModelRef>> {
    Ok(app.find(spec)?)
}

/// The model on this machine.
///
/// # Errors
/// When it is not here.
pub(crate) fn find_here(app: &App, spec: &str) -> anyhow::Result<ModelRef> {
    find(app, spec)?.ok_or_else(|| {
        anyhow::anyhow!("{spec} is not on this machine: hob pull {}", text::shell_word(spec))
    })
}

/// The model on this machine; fetched first when it is not here.
///
/// # Errors
/// What the sources answered, or that there is no such model.
pub(crate) fn find_or_pull(app: &App, spec: &str, terminal: Terminal) -> anyhow::Result<ModelRef> {
    match find(app, spec)? {
        Some(model) => Ok(model),
        None => pull(app, spec, terminal),
    }
}

/// Fetches it. Ctrl-C stops in good order; what has come is kept for the next time.
///
/// # Errors
/// What the sources answered, or that it was interrupted.
pub(crate) fn pull(app: &App, spec: &str, terminal: Terminal) -> anyhow::Result<ModelRef> {
    let work = Interruptible::new(|| ());
    let mut shown = PullShown { spec, terminal, progress: None };
    let pulled = app.pull(spec, work.flag(), &mut |event| shown.show(event));
    drop(shown);
    Ok(pulled?)
}

/// These options with what the engine is asked for; a draft model is fetched when it is not here.
///
/// # Errors
/// As [`find_or_pull`], and for a draft model that would draft nothing.
pub(crate) fn engine_options(
    app: &App,
    args: &EngineArgs,
    options: LoadOptions,
    terminal: Terminal,
) -> anyhow::Result<LoadOptions> {
    let speculation = args.speculation.unwrap_or_default();
    if args.draft_model.is_some() && speculation == Speculation::Off {
        return Err(usage("--draft-model drafts nothing with --speculation off: leave one out"));
    }
    let find = |spec: &String| find_or_pull(app, spec, terminal);
    let draft = args.draft_model.as_ref().map(find).transpose()?;
    Ok(LoadOptions { speculation, draft, ..options })
}

/// Loads it; a bar shows only what takes long enough to see.
///
/// # Errors
/// When the file is damaged or does not fit.
pub(crate) fn load(
    app: &App,
    model: &ModelRef,
    options: &LoadOptions,
    terminal: Terminal,
) -> anyhow::Result<LoadedModel> {
    let label = format!("loading {}", model.name);
    // Lines in a log would say nothing: loading takes seconds.
    let mut bar = terminal.stderr.then(|| terminal.bytes_progress(&label));
    let loaded = app.load(model, options, &mut |done, total| {
        if let Some(bar) = &mut bar {
            bar.update(done, Some(total), 0);
        }
    });
    drop(bar);
    Ok(loaded?)
}

/// Says what a person should know of the model before they judge its answers, and what drafts
/// them.
pub(crate) fn tell_notes(model: &LoadedModel, terminal: Terminal) {
    if let Some(draft) = model.draft() {
        terminal.say(&terminal.faint(&format!("note: {} drafts its answers", draft.name)));
    }
    for note in model.notes() {
        terminal.say(&terminal.faint(&format!("note: {note}")));
    }
}

/// Adds what to type, where a prompt may have been given in place of a model; `words` are all that
/// were given.
pub(crate) fn explain_missing(error: anyhow::Error, spec: &str, words: &str) -> anyhow::Error {
    let is_missing =
        error.downcast_ref::<app::Error>().is_some_and(|error| error.kind == ErrorKind::NotFound);
    if !is_missing || spec.contains(['/', '\\', '.']) {
        return error;
    }
    // The cause stays in the chain, so that programs still see its kind.
    let message = format!("{error}; if it is a prompt: {}", run_command(words));
    match error.downcast::<app::Error>() {
        Ok(cause) => app::Error { message, ..cause }.into(),
        Err(other) => other,
    }
}

/// The command that asks the default model.
pub(crate) fn run_command(prompt: &str) -> String {
    format!("hob run {} {}", crate::commands::MODEL_DEFAULT, text::shell_word(prompt))
}

struct PullShown<'a> {
    spec: &'a str,
    terminal: Terminal,
    progress: Option<BytesProgress>,
}

impl PullShown<'_> {
    fn show(&mut self, event: PullEvent) {
        let terminal = self.terminal;
        match event {
            PullEvent::Source { index, of, what } => {
                self.progress = None;
                if index == 1 {
                    terminal.say(&format!("{} is not here yet; fetching it", self.spec));
                }
                terminal.say(&terminal.faint(&format!("source {index} of {of}: {what}")));
            }
            PullEvent::SourceFailed { what: _, why } => {
                self.progress = None;
                terminal.say(&terminal.faint(&format!("  no: {why}")));
            }
            PullEvent::Progress { done_bytes, total_bytes, resumed_bytes } => {
                let label = "fetching";
                let progress = self.progress.get_or_insert_with(|| {
                    if resumed_bytes > 0 {
                        let had = text::bytes(resumed_bytes);
                        terminal.say(&terminal.faint(&format!("  going on after {had}")));
                    }
                    terminal.bytes_progress(label)
                });
                progress.update(done_bytes, total_bytes, resumed_bytes);
            }
            PullEvent::Verifying { total_bytes } => {
                self.progress = None;
                let size = text::bytes(total_bytes);
                terminal.say(&terminal.faint(&format!("checking the SHA-256 of {size}")));
            }
            PullEvent::Done { path } => {
                self.progress = None;
                terminal.say(&terminal.faint(&format!("kept in {}", path.display())));
            }
        }
    }
}
