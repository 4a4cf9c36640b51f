//! The chat of `hob run` without a prompt: several turns at a terminal.

mod line;
mod saved;
mod settings;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use app::{ChatRequest, Finished, LoadedModel, Message};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::answer::{self, Printer};
use crate::args::AnswerArgs;
use crate::terminal::Terminal;
use line::{Composer, Slash, Typed};

/// Name of the file of typed lines, in hob's folder.
pub(crate) const HISTORY_FILE: &str = "history.txt";

const PROMPT: &str = "> ";
const PROMPT_MORE: &str = "… ";

/// A chat.
pub(crate) struct Chat {
    pub(crate) model: LoadedModel,
    pub(crate) answer: AnswerArgs,
    pub(crate) terminal: Terminal,
    /// Prints the figures after every answer.
    pub(crate) is_verbose: bool,
    /// Where typed lines are kept.
    pub(crate) history: PathBuf,
    /// What was said, without the instruction.
    pub(crate) messages: Vec<Message>,
}

impl Chat {
    /// Talks until the person leaves.
    ///
    /// # Errors
    /// When the terminal fails; failures of an answer are told and the chat goes on.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        let mut editor = DefaultEditor::new().context("cannot read from this terminal")?;
        // The first chat has no history yet; one that cannot be read is no reason not to talk.
        let _ = editor.load_history(&self.history);
        let name = self.model.name();
        self.terminal.say(&self.terminal.faint(&format!("{name}: /help lists what you can do")));
        let mut composer = Composer::default();
        let mut is_leaving = false;
        loop {
            let prompt = if composer.is_open() { PROMPT_MORE } else { PROMPT };
            match editor.readline(prompt) {
                Ok(line) => {
                    is_leaving = false;
                    self.remember(&mut editor, &line);
                    if !self.take(composer.push(&line))? {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Interrupted) if is_leaving => return Ok(()),
                Err(ReadlineError::Interrupted) => {
                    is_leaving = true;
                    composer.reset();
                    self.terminal.say(&self.terminal.faint("Ctrl-C again or Ctrl-D leaves"));
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error).context("cannot read from this terminal"),
            }
        }
    }

    /// Keeps the line at once, so that a crash or another chat loses none.
    fn remember(&self, editor: &mut DefaultEditor, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        // A history that cannot be written (read-only folder, full disk) is no reason to stop.
        let _ = editor.add_history_entry(line);
        if let Some(folder) = self.history.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = editor.append_history(&self.history);
    }

    /// Does what was typed; false to leave.
    fn take(&mut self, typed: Typed) -> anyhow::Result<bool> {
        match typed {
            Typed::Nothing | Typed::More => {}
            Typed::Wrong(why) => self.terminal.say(&why),
            Typed::Slash(Slash::Bye) => return Ok(false),
            Typed::Slash(slash) => {
                if let Err(error) = self.act(slash) {
                    self.complain(&error);
                }
            }
            Typed::Message(text) => self.turn(&text)?,
        }
        Ok(true)
    }

    fn act(&mut self, slash: Slash) -> anyhow::Result<()> {
        let done = match slash {
            Slash::Bye => unreachable!("the caller leaves"),
            Slash::Clear => {
                self.messages.clear();
                "forgotten".to_owned()
            }
            Slash::Help => line::HELP.to_owned(),
            Slash::Load(file) => self.load(Path::new(&file))?,
            Slash::Save(file) => {
                let messages = self.conversation();
                saved::save(Path::new(&file), self.model.name(), &messages)?;
                format!("{} messages kept in {file}", messages.len())
            }
            Slash::Set(None) => settings::list(&self.answer),
            Slash::Set(Some((name, value))) => settings::set(&mut self.answer, &name, &value)?,
            Slash::System(None) => match &self.answer.system {
                Some(text) => text.clone(),
                None => "there is no instruction: /system TEXT gives one".to_owned(),
            },
            Slash::System(Some(text)) => {
                self.answer.system = Some(text);
                "instruction set; /clear as well to begin anew".to_owned()
            }
        };
        self.terminal.say(&done);
        Ok(())
    }

    fn load(&mut self, file: &Path) -> anyhow::Result<String> {
        let mut messages = saved::load(file)?;
        let count = messages.len();
        let has_system = messages.first().is_some_and(|message| message.role == "system");
        self.answer.system = has_system.then(|| messages.remove(0).content);
        self.messages = messages;
        Ok(format!("{count} messages from {}", file.display()))
    }

    /// The instruction, then what was said.
    fn conversation(&self) -> Vec<Message> {
        conversation(self.answer.system.as_deref(), &self.messages)
    }

    /// One message and its answer. A failed turn leaves the conversation as it was; what was
    /// said until Ctrl-C stays in it.
    fn turn(&mut self, text: &str) -> anyhow::Result<()> {
        self.messages.push(Message::new("user", text));
        let request = request(&self.answer, self.conversation());
        let mut out = io::stdout().lock();
        let mut printer = Printer::new(&mut out, self.terminal, self.answer.shows_reasoning());
        let answered = self.model.chat(request).map_err(anyhow::Error::from);
        let answered = answered
            .and_then(|generation| answer::drive(generation, &mut |event| printer.show(event)));
        printer.end()?;
        let (said, thought) = (printer.said, printer.thought);
        if said.is_empty() && thought.is_empty() {
            self.messages.pop();
        } else {
            let reasoning_content = Some(thought).filter(|text| !text.is_empty());
            let message = Message { reasoning_content, ..Message::new("assistant", &said) };
            self.messages.push(message);
        }
        match answered {
            Ok(usage) => {
                self.tell_end(usage.finished);
                if self.is_verbose {
                    let figures = answer::figures(self.model.load_time(), &usage).join("\n");
                    self.terminal.say(&self.terminal.faint(&figures));
                }
                Ok(())
            }
            Err(error) if error.is::<app::Error>() => {
                self.complain(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn tell_end(&self, finished: Finished) {
        let told = match finished {
            Finished::EndOfText | Finished::Stop | Finished::Calls => return,
            Finished::Length => "cut at max-tokens; /set max-tokens N allows more",
            Finished::Context => "the context is full; /clear begins anew, --context gives more",
            Finished::Cancelled => "stopped",
        };
        self.terminal.say(&self.terminal.faint(told));
    }

    fn complain(&self, error: &anyhow::Error) {
        self.terminal.say(&format!("{} {error:#}", self.terminal.alarming("error:")));
    }
}

/// The instruction, if any, before the messages.
pub(crate) fn conversation(system: Option<&str>, messages: &[Message]) -> Vec<Message> {
    let system = system.filter(|text| !text.is_empty()).map(|text| Message::new("system", text));
    system.into_iter().chain(messages.iter().cloned()).collect()
}

/// What to ask with these settings.
pub(crate) fn request(answer: &AnswerArgs, messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        messages,
        tokens_max: answer.max_tokens,
        sampling: answer.sampling.params(),
        stop: answer.stop.clone(),
        wishes: answer.wishes(),
        constraint: answer.constraint(),
        ..ChatRequest::default()
    }
}
