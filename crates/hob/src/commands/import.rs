//! `hob import`: takes a GGUF file into hob's folder.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Row};
use crate::text;

pub(super) const ROW: Row = Row { name: "import", place: 10, arguments: Args::augment_args, run };

/// Take a GGUF file from this machine
///
/// The file is checked and kept in hob's folder under a name; the original stays where it is.
#[derive(Debug, clap::Args)]
struct Args {
    /// The GGUF file; of a split one, the first part
    file: PathBuf,
    /// What to call it [default: the file's name]
    #[arg(long)]
    name: Option<String>,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let entry = context.app.import(&args.file, args.name.as_deref())?;
    let size = text::bytes(entry.size_bytes);
    Ok(writeln!(io::stdout(), "imported {} ({size}); try: hob run {}", entry.name, entry.name)?)
}
