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
use app::planner::ModelFacts;
use clap::{ArgMatches, Command};

use crate::config::Settings;
use crate::failure::usage;
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

/// What bounds a context.
#[derive(Clone, Copy)]
enum Reach {
    /// What a model was trained for.
    Trained,
    /// The same, where `--rope-scaling` could be given.
    Scalable,
    /// `--rope-scaling`.
    Scaled,
}

/// Refuses a context longer than a model's facts allow.
fn check_context(facts: &ModelFacts, context: u64, reach: Reach) -> anyhow::Result<()> {
    let most = facts.context_max;
    if context <= most || most == 0 {
        return Ok(());
    }
    let (is, or) = match reach {
        Reach::Trained => ("was trained for", ""),
        Reach::Scalable => ("was trained for", ", or --rope-scaling yarn"),
        Reach::Scaled => ("is scaled to", ""),
    };
    let name = &facts.name;
    Err(usage(format!("{name} {is} {most} tokens: give --context {most} or less{or}")))
}
