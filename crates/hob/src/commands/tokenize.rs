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
    let mut out = io::stdout().lock();
    if args.ids {
        let mut line = Vec::new();
        context.app.tokenize(&model, &text, !args.plain, &mut |id, _| push_id(&mut line, id))?;
        line.pop_if(|last| *last == b' ');
        line.push(b'\n');
        return Ok(out.write_all(&line)?);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    context.app.tokenize(&model, &text, !args.plain, &mut |id, bytes| {
        rows.push(vec![id.to_string(), shown(bytes)]);
    })?;
    for line in text::table(&[Side::Right, Side::Left], &rows) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Appends an id and a space; a text of 10 MB has millions, so that none becomes a text of its own.
fn push_id(line: &mut Vec<u8>, id: u32) {
    let mut digits = [0; 10];
    let (mut at, mut rest) = (digits.len(), id);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
    line.push(b' ');
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
    use super::{push_id, shown};

    #[test]
    fn ids_are_written_in_full() {
        let mut line = Vec::new();
        [0, 7, 10, 4_294_967_295].into_iter().for_each(|id| push_id(&mut line, id));
        assert_eq!(line, b"0 7 10 4294967295 ");
    }

    #[test]
    fn tokens_show_blanks_and_half_characters() {
        assert_eq!(shown(" the".as_bytes()), "\" the\"");
        assert_eq!(shown("\n\"é".as_bytes()), "\"\\n\\\"é\"");
        assert_eq!(shown(&[b'a', 0xc3]), "\"a\\xc3\"");
    }
}
