//! `hob run`: an answer, or a chat when nothing is asked yet.

use std::io;
use std::path::Path;

use app::{Event, Finished, LoadOptions, LoadedModel, Message, ModelRef};
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, MODEL_DEFAULT, Row};
use crate::answer::Printer;
use crate::args::{AnswerArgs, EngineArgs, LoadArgs};
use crate::chat::{self, Chat};
use crate::failure::{Interrupted, usage};
use crate::{answer, events, input, models};

pub(super) const ROW: Row = Row { name: "run", place: 0, arguments: Args::augment_args, run };

/// Ask a model, or chat with it
///
/// With a PROMPT, hob answers it and ends. Text on standard input follows the prompt. Without
/// either, hob chats; /help in the chat lists what it can do. A model that is not on this machine
/// is fetched first.
#[derive(Debug, clap::Args)]
struct Args {
    /// Name, GGUF file, checkpoint or hub repository [default: smollm2]
    model: Option<String>,
    /// What to ask; several words are joined
    prompt: Vec<String>,
    /// Print events for programs, one JSON object a line
    #[arg(long)]
    json: bool,
    /// End with times and speeds, on standard error
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    answer: AnswerArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let done = run_args(&args, context);
    if let (Err(error), true) = (&done, args.json)
        && !error.is::<Interrupted>()
    {
        // The reader may be gone, which is what the error then says already.
        let _ = events::write_error(&mut io::stdout().lock(), error);
    }
    done
}

fn run_args(args: &Args, context: &Context) -> anyhow::Result<()> {
    let spec = args.model.as_deref().unwrap_or(MODEL_DEFAULT);
    if args.prompt.is_empty() && input::is_prompt_like(spec) && !Path::new(spec).exists() {
        let command = models::run_command(spec);
        return Err(usage(format!("`{spec}` is no model; to ask it: {command}")));
    }
    // What is asked is known to be good before anything is fetched or loaded.
    let prompt = match (context.terminal.stdin, args.prompt.is_empty()) {
        (true, true) => None,
        (true, false) => Some(input::prompt(&args.prompt, None)?),
        (false, _) => {
            let text = input::read_text(io::stdin().lock(), "standard input")?;
            Some(input::prompt(&args.prompt, Some(&text))?)
        }
    };
    if prompt.is_none() && args.json {
        return Err(usage("--json needs a prompt: write it after the model"));
    }
    if prompt.is_none() && !context.terminal.stdout {
        return Err(usage("a chat needs a terminal: write a prompt after the model"));
    }
    let model = find(args, spec, context)?;
    let adapters = args.engine.adapters(true);
    let options = LoadOptions { adapters, ..args.load.options() };
    let options = models::engine_options(&context.app, &args.engine, options, context.terminal)?;
    let loaded = models::load(&context.app, &model, &options, context.terminal)?;
    models::tell_notes(&loaded, context.terminal);
    match prompt {
        Some(prompt) => answer_once(args, &loaded, &prompt, context),
        None => {
            let mut chat = Chat {
                model: loaded,
                answer: args.answer.clone(),
                terminal: context.terminal,
                is_verbose: args.verbose,
                history: context.settings.app.home.join(chat::HISTORY_FILE),
                messages: Vec::new(),
            };
            chat.run()
        }
    }
}

fn find(args: &Args, spec: &str, context: &Context) -> anyhow::Result<ModelRef> {
    models::find_or_pull(&context.app, spec, context.terminal).map_err(|error| {
        let words: Vec<&str> = args.model.iter().chain(&args.prompt).map(String::as_str).collect();
        models::explain_missing(error, spec, &words.join(" "))
    })
}

fn answer_once(
    args: &Args,
    model: &LoadedModel,
    prompt: &str,
    context: &Context,
) -> anyhow::Result<()> {
    let system = args.answer.system.as_deref();
    let messages = chat::conversation(system, &[Message::new("user", prompt)]);
    let generation = model.chat(chat::request(&args.answer, messages))?;
    let mut out = io::stdout().lock();
    if args.json {
        events::write_loaded(&mut out, model)?;
    }
    let terminal = context.terminal;
    let answered = if args.json {
        answer::drive(generation, &mut |event| match event {
            // What failed is told once, where all failures are.
            Event::Failed(_) => Ok(()),
            event => events::write_event(&mut out, event),
        })
    } else {
        let mut printer = Printer::new(&mut out, terminal, args.answer.shows_reasoning());
        let answered = answer::drive(generation, &mut |event| printer.show(event));
        printer.end()?;
        answered
    };
    let usage = answered?;
    if args.verbose {
        let figures = answer::figures(model.load_time(), &usage).join("\n");
        let backend = model.backend();
        terminal.say(&terminal.faint(&format!("backend:             {backend}\n{figures}")));
    }
    match usage.finished {
        Finished::Cancelled => Err(Interrupted.into()),
        Finished::Context => {
            terminal.say(&terminal.faint("the context is full; --context gives more"));
            Ok(())
        }
        Finished::EndOfText | Finished::Length | Finished::Stop | Finished::Calls => Ok(()),
    }
}
