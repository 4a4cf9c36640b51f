//! `hob tokenize`: how a model cuts a text.

use std::io::{self, Write};

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, MODEL_DEFAULT, Row};
use crate::text::{self, Side};
use crate::{input, models};

pub(super) const ROW: Row = Row { name: "tokenize", place: 16, arguments: Args::augment_args, run };

/// Show how a model cuts a text into tokens
#[derive(Debug, clap::Args)]
struct Args {
    /// The text [default: standard input]
    text: Vec<String>,
    /// Name, GGUF file, checkpoint or hub repository
    #[arg(long, short, default_value = MODEL_DEFAULT)]
    model: String,
    /// Only the ids, on one line
    #[arg(long)]
    ids: bool,
    /// Read <|im_start|> and its like as plain text, not as special tokens
    #[arg(long)]
    plain: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let text = if args.text.is_empty() {
        input::read_text(io::stdin().lock(), "standard input")?
    } else {
        args.text.join(" ")
    };
    let model = models::find_or_pull(&context.app, &args.model, context.terminal)?;
    let tokens = context.app.tokenize(&model, &text, !args.plain)?;
    let mut out = io::stdout().lock();
    if args.ids {
        let ids: Vec<String> = tokens.iter().map(|(id, _)| id.to_string()).collect();
        return Ok(writeln!(out, "{}", ids.join(" "))?);
    }
    let rows: Vec<Vec<String>> =
        tokens.iter().map(|(id, bytes)| vec![id.to_string(), shown(bytes)]).collect();
    for line in text::table(&[Side::Right, Side::Left], &rows) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A token as a Rust string literal: blanks are seen, and bytes of half a character too.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().flat_map(char::escape_debug));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn tokens_show_blanks_and_half_characters() {
        assert_eq!(shown(" the".as_bytes()), "\" the\"");
        assert_eq!(shown("\n\"é".as_bytes()), "\"\\n\\\"é\"");
        assert_eq!(shown(&[b'a', 0xc3]), "\"a\\xc3\"");
    }
}
