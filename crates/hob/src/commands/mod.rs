//! The commands, a file each. A row ties a name to its arguments and what it does.

mod bench;
mod calibrate;
mod check;
mod cost;
mod doctor;
mod fit;
mod import;
mod list;
mod machines;
mod perplexity;
mod pull;
mod quantize;
mod rm;
mod run;
mod serve;
mod show;
mod tokenize;
mod top;

use app::App;
use clap::{ArgMatches, Command};

use crate::config::Settings;
use crate::terminal::Terminal;

/// The model when none is named.
pub(crate) const MODEL_DEFAULT: &str = "smollm2";

/// A command.
pub(crate) struct Row {
    /// As typed.
    pub(crate) name: &'static str,
    /// Where it stands in the help: most used first.
    pub(crate) place: usize,
    /// Adds its help and arguments.
    pub(crate) arguments: fn(Command) -> Command,
    /// Does it.
    pub(crate) run: fn(&ArgMatches, &Context) -> anyhow::Result<()>,
}

/// Sorted by name.
pub(crate) static COMMANDS: &[Row] = &[
    bench::ROW,
    calibrate::ROW,
    check::ROW,
    cost::ROW,
    doctor::ROW,
    fit::ROW,
    import::ROW,
    list::ROW,
    machines::ROW,
    perplexity::ROW,
    pull::ROW,
    quantize::ROW,
    rm::ROW,
    run::ROW,
    serve::ROW,
    show::ROW,
    tokenize::ROW,
    top::ROW,
];

/// What every command is handed.
pub(crate) struct Context {
    /// The roof.
    pub(crate) app: App,
    /// What the environment said.
    pub(crate) settings: Settings,
    /// What can be shown.
    pub(crate) terminal: Terminal,
}
