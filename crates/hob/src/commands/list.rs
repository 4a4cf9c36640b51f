//! `hob list`: which models are here.

use std::io::{self, Write};

use app::ModelEntry;
use clap::{ArgMatches, Args as _, FromArgMatches};
use serde_json::json;

use super::{Context, Row};
use crate::text::{self, Side};

pub(super) const ROW: Row = Row { name: "list", place: 11, arguments: Args::augment_args, run };

/// List the models on this machine
#[derive(Debug, clap::Args)]
struct Args {
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let entries = context.app.list()?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &entries.iter().map(object).collect::<Vec<_>>())?;
        return Ok(writeln!(out)?);
    }
    if entries.is_empty() {
        context.terminal.say("no models yet; try: hob run smollm2");
        return Ok(());
    }
    for line in lines(&entries, app::unix_time_s()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn object(entry: &ModelEntry) -> serde_json::Value {
    json!({
        "name": entry.name,
        "path": entry.path.display().to_string(),
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "added_unix_s": entry.added_unix_s,
        "source": entry.source,
    })
}

fn lines(entries: &[ModelEntry], now_unix_s: u64) -> Vec<String> {
    let head = ["NAME", "SIZE", "ADDED", "SOURCE"].map(str::to_owned).to_vec();
    let row = |entry: &ModelEntry| {
        let age = text::age(now_unix_s.saturating_sub(entry.added_unix_s));
        vec![entry.name.clone(), text::bytes(entry.size_bytes), age, entry.source.clone()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(entries.iter().map(row)).collect();
    text::table(&[Side::Left, Side::Right, Side::Left, Side::Left], &rows)
}

#[cfg(test)]
mod tests {
    use super::lines;
    use app::ModelEntry;

    #[test]
    fn a_line_each() {
        let entry = ModelEntry {
            name: "smollm2".to_owned(),
            path: "/m.gguf".into(),
            size_bytes: 98_362_432,
            sha256: "b1".to_owned(),
            added_unix_s: 1_000,
            source: "the hub".to_owned(),
        };
        insta::assert_snapshot!(lines(&[entry], 1_000 + 7_200).join("\n"), @r"
        NAME        SIZE  ADDED        SOURCE
        smollm2  98.4 MB  2 hours ago  the hub
        ");
    }
}
