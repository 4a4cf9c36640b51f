//! `hob`: runs language models on this machine. The binary reads the command line and the
//! environment, shows what happens, and leaves the work to `app` and `server`.
//!
//! **Invariant:** the environment is read here (`config.rs`) and nowhere below.
//! **Invariant:** stdout carries results only; progress, notes and errors go to stderr.

mod answer;
mod args;
mod chat;
mod cli;
mod commands;
mod config;
mod events;
mod failure;
mod input;
mod interrupt;
mod live;
mod models;
mod screens;
mod terminal;
mod text;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use app::App;
use tracing_subscriber::EnvFilter;

use commands::{COMMANDS, Context};
use terminal::{Looks, Terminal};

fn main() -> ExitCode {
    let typed = match cli::parse(std::env::args_os()) {
        Ok(typed) => typed,
        Err(code) => return code,
    };
    // Until the environment is read nothing is known of colours, so there are none.
    let mut terminal = Terminal::detect(Looks::Dumb);
    let done = run(&typed, &mut terminal);
    let (code, message) = failure::verdict(&done);
    if let Some(message) = message {
        terminal.say(&format!("{} {message}", terminal.alarming("error:")));
    }
    failure::exit_code(code)
}

fn run(typed: &cli::Typed, terminal: &mut Terminal) -> anyhow::Result<()> {
    let settings =
        config::resolve(&config::variables()?, typed.offline, &|file: &Path| file.is_file())?;
    *terminal = Terminal::detect(settings.looks);
    start_log(&settings.log)?;
    interrupt::install()?;
    let app = App::new(settings.app.clone())?;
    let row = COMMANDS.iter().find(|row| row.name == typed.command);
    let row = row.expect("clap knows only the rows' names");
    (row.run)(&typed.matches, &Context { app, settings, terminal: *terminal })
}

fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .with_context(|| format!("HOB_LOG is `{filter}`: give e.g. `debug` or `store=trace`"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    Ok(())
}
