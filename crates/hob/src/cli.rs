//! The command line as typed: global flags, and the commands from their rows.

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::commands::COMMANDS;
use crate::config::VARIABLES;
use crate::failure::EXIT_CODES_HELP;

const EXAMPLES: &str = "\
Examples:
  hob run smollm2 \"Why is the sky blue?\"
  hob run                                  a chat with smollm2
  cat report.txt | hob run smollm2 \"Summarise this:\"
  hob serve                                OpenAI's interface on 127.0.0.1:11434";

/// What was typed.
pub(crate) struct Typed {
    /// `--offline`.
    pub(crate) offline: bool,
    /// The command and its own arguments.
    pub(crate) command: String,
    pub(crate) matches: ArgMatches,
}

/// The whole command line.
pub(crate) fn command() -> Command {
    let offline = Arg::new("offline")
        .long("offline")
        .global(true)
        .action(ArgAction::SetTrue)
        .help("Nothing leaves this machine: no downloads");
    let mut command = Command::new("hob")
        .about("Runs language models on this machine")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .arg(offline)
        .after_help(EXAMPLES)
        .after_long_help(format!("{EXAMPLES}\n\n{}\n\n{EXIT_CODES_HELP}", environment_help()));
    for row in COMMANDS {
        let arguments = (row.arguments)(Command::new(row.name)).display_order(row.place);
        command = command.subcommand(arguments);
    }
    command
}

/// Parses; what clap has to say for itself (help, version, a mistake) has been printed when this
/// is an error, and the code is the one to end with.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Typed, ExitCode> {
    let mut matches = command().try_get_matches_from(arguments).map_err(|error| {
        let shows_help = matches!(
            error.kind(),
            ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        // Nobody is left to tell when even this cannot be printed.
        let _ = if shows_help {
            error.print()
        } else {
            writeln!(std::io::stderr(), "{}", mistake(&error))
        };
        ExitCode::from(if error.exit_code() == 0 { 0 } else { crate::failure::USAGE })
    })?;
    let (command, matches) = matches.remove_subcommand().expect("clap requires a command");
    // The flag is global, so that clap hands it down to every command.
    let offline = matches.get_flag("offline");
    Ok(Typed { offline, command, matches })
}

/// What clap says of a mistake, in one line: the fault, its tip, and where to read on.
fn mistake(error: &clap::Error) -> String {
    let said = error.render().to_string();
    let parts: Vec<&str> = said
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    format!("{} (--help says more)", parts.join("; ").replace(":; ", ": "))
}

fn environment_help() -> String {
    let width = VARIABLES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = VARIABLES.iter().map(|(name, what)| format!("\n  {name:<width$}  {what}"));
    format!("Environment:{}", lines.collect::<String>())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
