//! `hob rm`: removes models.

use std::io::{self, Write};

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Row};
use crate::text;

pub(super) const ROW: Row = Row { name: "rm", place: 13, arguments: Args::augment_args, run };

/// Remove models from hob's folder
///
/// Only hob's own copies go; files elsewhere on this machine stay.
#[derive(Debug, clap::Args)]
struct Args {
    /// Names, as `hob list` shows them
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    for name in &args.models {
        let freed = context.app.remove(name)?;
        writeln!(io::stdout(), "removed {name}; {} freed", text::bytes(freed))?;
    }
    Ok(())
}
