//! `hob pull`: fetches a model.

use std::io::{self, Write};

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Row};
use crate::models;

pub(super) const ROW: Row = Row { name: "pull", place: 2, arguments: Args::augment_args, run };

/// Fetch a model
///
/// Sources are tried in order and each is shown. An interrupted download goes on where it stopped
/// when you run the same command again.
#[derive(Debug, clap::Args)]
struct Args {
    /// Name or hub repository, e.g. smollm2
    model: String,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let had = models::find(&context.app, &args.model)?;
    let (model, what) = match had {
        Some(model) => (model, "is here already"),
        None => (models::pull(&context.app, &args.model, context.terminal)?, "is here"),
    };
    Ok(writeln!(io::stdout(), "{} {what}: {}", model.name, model.path.display())?)
}
