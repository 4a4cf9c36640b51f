//! `hob perplexity`: how well a model foresees a text.

use std::io::{self, Write};
use std::path::PathBuf;

use app::KlReport;
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, MODEL_DEFAULT, Row};
use crate::args::LoadArgs;
use crate::{input, models};

pub(super) const ROW: Row =
    Row { name: "perplexity", place: 15, arguments: Args::augment_args, run };

/// Tokens of a chunk, as in llama.cpp.
const CHUNK_LEN_DEFAULT: u32 = 512;

/// Measure how well a model foresees a text
///
/// As llama.cpp defines it: the text is cut into chunks of -c tokens, and the second half of each
/// is scored. Lower is better. The last line ends with the figure.
///
/// With --kl-base, what quantising a model cost is measured too: how far its probabilities of the
/// next token are from those of the file it was made from (Kullback-Leibler divergence in nats; 0
/// is the same), and how often both find the same token most likely. The base keeps its keys and
/// values in f16: the model as its own base and --kv show what another type of those costs.
#[derive(Debug, clap::Args)]
struct Args {
    /// A UTF-8 text; `-` is standard input
    textfile: PathBuf,
    /// Name, GGUF file, checkpoint or hub repository
    #[arg(long, short, default_value = MODEL_DEFAULT)]
    model: String,
    /// The model to compare with, such as the same in F16: name, file, folder or hub repository
    #[arg(long, value_name = "MODEL")]
    kl_base: Option<String>,
    #[command(flatten)]
    load: LoadArgs,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let text = input::read_file(&args.textfile)?;
    let mut options = args.load.options();
    options.context_len.get_or_insert(CHUNK_LEN_DEFAULT);
    let terminal = context.terminal;
    let model = models::find_or_pull(&context.app, &args.model, terminal)?;
    let base = args.kl_base.as_deref();
    let base = base.map(|name| models::find_or_pull(&context.app, name, terminal)).transpose()?;
    let mut told = 0;
    let models = (&model, base.as_ref());
    let report =
        context.app.perplexity(models, &options, &text, &mut |chunk, chunks, perplexity| {
            // A line at most every twentieth of the way.
            let step = (chunk * 20).checked_div(chunks).unwrap_or(0);
            if step > told {
                told = step;
                let line = format!("chunk {chunk} of {chunks}: {perplexity:.4} so far");
                terminal.say(&terminal.faint(&line));
            }
        })?;
    let mut out = io::stdout().lock();
    writeln!(out, "chunks = {}, tokens scored = {}", report.chunks, report.tokens_scored)?;
    if let Some(kl) = report.kl {
        writeln!(out, "perplexity of the base = {:.4}", kl.base_perplexity)?;
        writeln!(out, "same most likely token = {:.2} %", kl.top_1 * 100.0)?;
        let KlReport { mean, median, percentile_99, highest, .. } = kl;
        let spread =
            format!("median {median:.3e}, 99 % {percentile_99:.3e}, highest {highest:.3e}");
        writeln!(out, "KL divergence = {mean:.3e} ({spread})")?;
    }
    writeln!(out, "standard error = {:.4}", report.error)?;
    Ok(writeln!(out, "perplexity = {:.4}", report.perplexity)?)
}
