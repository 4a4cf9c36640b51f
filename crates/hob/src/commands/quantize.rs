//! `hob quantize`: a smaller file of a model.

use std::io::{self, Write};
use std::path::PathBuf;

use app::QuantizeOptions;
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Row};
use crate::interrupt::Interruptible;
use crate::{args, models, text};

pub(super) const ROW: Row = Row { name: "quantize", place: 17, arguments: Args::augment_args, run };

/// Make a smaller file of a model
///
/// From a GGUF file or a folder of safetensors in F16, BF16 or F32. TYPE is a mix such as Q4_K_M
/// (small, good), Q6_K, Q8_0 (next to no loss), Q4_0 or F16; the types of all tensors are those of
/// llama.cpp's recipes, and the file runs there too (one that was made of a folder runs in hob
/// only). What it cost in quality:
///
///     hob perplexity TEXT -m MADE --kl-base SOURCE
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Name, GGUF file or folder of safetensors
    model: String,
    /// What to make, e.g. Q4_K_M
    #[arg(value_name = "TYPE")]
    file_type: String,
    /// The file to write [default: next to the source, with the type in its name]
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Take a source that is quantised already: what it lost stays lost
    #[arg(long)]
    again: bool,
    /// Replace the file when it is there
    #[arg(long)]
    replace: bool,
    /// Threads [default: the machine's cores]
    #[arg(long, short, value_name = "N", value_parser = args::threads)]
    threads: Option<usize>,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let source = models::find_here(&context.app, &args.model)?;
    let options = QuantizeOptions {
        file_type: args.file_type,
        to: args.output,
        again: args.again,
        replace: args.replace,
        threads: args.threads,
    };
    let label = format!("making {} of {}", options.file_type.to_uppercase(), source.name);
    let mut bar = context.terminal.bytes_progress(&label);
    let press = Interruptible::new(|| {});
    let report = context.app.quantize(&source, &options, press.flag(), &mut |done, total| {
        bar.update(done, Some(total), 0);
    });
    drop(bar);
    let report = report?;
    let (before, after) = report.size_bytes;
    let bits = after as f64 * 8.0 / report.weights as f64;
    let (before, after) = (text::bytes(before), text::bytes(after));
    let path = report.path.display();
    let made = report.file_type;
    Ok(writeln!(io::stdout(), "{path}: {made}, {after} of {before}, {bits:.2} bits a weight")?)
}
