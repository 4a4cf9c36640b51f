//! `hob bench`: speed, measured and named as llama-bench does.

use std::io::{self, Write};

use app::{BenchCase, BenchLimit, BenchResult, ModelInfo};
use clap::{ArgMatches, Args as _, FromArgMatches};
use serde::Serialize;

use super::{Context, MODEL_DEFAULT, Row};
use crate::args::LoadArgs;
use crate::failure::usage;
use crate::models;
use crate::text::{self, Side};

pub(super) const ROW: Row = Row { name: "bench", place: 14, arguments: Args::augment_args, run };

/// Repetitions that are believed to end.
const REPETITIONS_MAX: i64 = 1000;
/// Conversations that a model can be loaded for.
const SEQUENCES_MAX: i64 = 256;

/// Measure a model's speed, as llama-bench defines it
///
/// -p and -n are tests of their own: reading so many tokens (pp), and making so many (tg); 0 leaves
/// one out. -d puts so many tokens before. Lists are separated by commas. Beside each rate: the
/// most that this machine allows, by its bandwidth and arithmetic, and the share that was reached.
#[derive(Debug, clap::Args)]
struct Args {
    /// Name, GGUF file, checkpoint or hub repository
    #[arg(long, short, default_value = MODEL_DEFAULT)]
    model: String,
    /// Tokens of prompt to read
    #[arg(long, short = 'p', value_name = "N,..", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<u32>,
    /// Tokens to make
    #[arg(long, short = 'n', value_name = "N,..", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<u32>,
    /// Tokens that stand before
    #[arg(long, short = 'd', value_name = "N,..", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<u32>,
    /// Conversations at once
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=SEQUENCES_MAX))]
    sequences: Vec<u32>,
    /// Repetitions of each test
    #[arg(long, short, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=REPETITIONS_MAX))]
    repetitions: u32,
    /// Print JSON with llama-bench's field names
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: LoadArgs,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let cases = cases(&args);
    if cases.is_empty() {
        return Err(usage("nothing to measure: give a -p or -n above 0"));
    }
    let model = models::find_or_pull(&context.app, &args.model, context.terminal)?;
    let mut options = args.load.options();
    // Asked for explicitly, so that the number that is reported is the one that was used.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let n_threads = *options.threads.get_or_insert(cores);
    let subject = Subject {
        info: context.app.show(&model)?,
        backend: options.backend.clone().unwrap_or_else(|| "cpu".to_owned()),
        kv: app::kv_type(&options)?.to_owned(),
        n_threads,
    };
    let limits = context.app.bench_limits(&model, &options, &cases)?;
    let mut out = io::stdout().lock();
    if !args.json {
        for line in heading(&subject) {
            writeln!(out, "{line}")?;
        }
    }
    let mut results = Vec::new();
    for (case, limit) in cases.into_iter().zip(&limits) {
        let result = context.app.bench(&model, &options, case, args.repetitions)?;
        if !args.json {
            writeln!(out, "{}", row(&subject, &result, limit))?;
        }
        results.push(result);
    }
    if args.json {
        let rows = results.iter().zip(&limits).map(|(r, limit)| json_row(&subject, r, limit));
        serde_json::to_writer_pretty(&mut out, &rows.collect::<Vec<_>>())?;
        writeln!(out)?;
    } else {
        writeln!(out, "\n{}", footnote(&limits))?;
    }
    Ok(())
}

/// What is measured.
struct Subject {
    info: ModelInfo,
    backend: String,
    kv: String,
    n_threads: usize,
}

/// llama-bench's order: at each depth the prompts, then the generations; then more sequences.
fn cases(args: &Args) -> Vec<BenchCase> {
    let of = |n_sequences: u32, n_depth: u32| {
        let case = BenchCase { n_prompt: 0, n_gen: 0, n_depth, n_sequences };
        let prompts = args.n_prompt.iter().map(move |n| BenchCase { n_prompt: *n, ..case });
        let generations = args.n_gen.iter().map(move |n| BenchCase { n_gen: *n, ..case });
        prompts.chain(generations)
    };
    let depths = |n: u32| args.n_depth.iter().flat_map(move |n_depth| of(n, *n_depth));
    let all = args.sequences.iter().flat_map(|n| depths(*n));
    all.filter(|case| case.n_prompt + case.n_gen > 0).collect()
}

/// `llama 135M Q4_1`: the type is the one that most bytes have.
fn model_type(info: &ModelInfo) -> String {
    let mut bytes = std::collections::BTreeMap::<&str, u64>::new();
    for tensor in &info.tensors {
        *bytes.entry(&tensor.format).or_default() += tensor.size_bytes;
    }
    let format = bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map_or("", |(format, _)| format);
    let millions = info.parameters as f64 / 1e6;
    let size = match millions {
        billions if billions >= 1000.0 => format!("{:.1}B", millions / 1000.0),
        _ => format!("{millions:.0}M"),
    };
    format!("{} {size} {format}", info.architecture)
}

/// `pp512`, `tg128 @ d4096`, `tg64 @ d256 x8`.
fn test_name(case: BenchCase) -> String {
    let name = match (case.n_prompt, case.n_gen) {
        (n_prompt, 0) => format!("pp{n_prompt}"),
        (0, n_gen) => format!("tg{n_gen}"),
        (n_prompt, n_gen) => format!("pp{n_prompt}+tg{n_gen}"),
    };
    let name = if case.n_depth == 0 { name } else { format!("{name} @ d{}", case.n_depth) };
    if case.n_sequences == 1 { name } else { format!("{name} x{}", case.n_sequences) }
}

const COLUMNS: [(&str, Side, usize); 9] = [
    ("model", Side::Left, 24),
    ("size", Side::Right, 10),
    ("params", Side::Right, 10),
    ("backend", Side::Left, 10),
    ("threads", Side::Right, 7),
    ("test", Side::Right, 16),
    ("t/s", Side::Right, 20),
    ("limit", Side::Right, 10),
    ("share", Side::Right, 6),
];

fn heading(subject: &Subject) -> [String; 2] {
    let width = |(_, _, width): &(&str, Side, usize)| *width;
    let model_width = model_type(&subject.info).chars().count();
    let names = COLUMNS.map(|(name, ..)| name.to_owned());
    let rules = COLUMNS.each_ref().map(|column| {
        let width =
            if column.0 == "model" { width(column).max(model_width) } else { width(column) };
        match column.1 {
            Side::Left => "-".repeat(width),
            Side::Right => format!("{}:", "-".repeat(width - 1)),
        }
    });
    [cells(subject, &names), cells(subject, &rules)]
}

fn row(subject: &Subject, result: &BenchResult, limit: &BenchLimit) -> String {
    let (mean, deviation) = text::mean_and_deviation(&result.samples_ts);
    let info = &subject.info;
    let row = [
        model_type(info),
        text::mebibytes(info.size_bytes),
        text::parameters(info.parameters),
        subject.backend.clone(),
        subject.n_threads.to_string(),
        test_name(result.case),
        format!("{mean:.2} ± {deviation:.2}"),
        format!("{:.2}", limit.limit_ts),
        format!("{:.0} %", 100.0 * mean / limit.limit_ts),
    ];
    cells(subject, &row)
}

/// What the last two columns mean.
fn footnote(limits: &[BenchLimit]) -> String {
    let range = |of: fn(&BenchLimit) -> f64, unit: f64, digits: usize| {
        let low = limits.iter().map(of).fold(f64::INFINITY, f64::min) / unit;
        let high = limits.iter().map(of).fold(0.0, f64::max) / unit;
        match (format!("{low:.digits$}"), format!("{high:.digits$}")) {
            (low, high) if low == high => low,
            (low, high) => format!("{low} to {high}"),
        }
    };
    let read = range(|limit| limit.read_rate, 1e9, 1);
    let (int8, float) =
        (range(|limit| limit.int8_rate, 1e12, 2), range(|limit| limit.float_rate, 1e12, 2));
    format!(
        "limit: every weight and all context read once a step at {read} GB/s, or every operation done \
         at {int8} TOPS (int8) and {float} TFLOP/s (floats), as measured here; share: how much of it \
         is reached"
    )
}

fn cells(subject: &Subject, cells: &[String; 9]) -> String {
    let model_width = model_type(&subject.info).chars().count();
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (name, side, width))| {
        let width = if name == "model" { width.max(model_width) } else { width };
        text::pad(cell, side, width)
    });
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

/// llama-bench's field names.
#[derive(Debug, Serialize)]
struct JsonRow<'a> {
    build_commit: &'static str,
    backends: &'a str,
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    n_threads: usize,
    type_k: &'a str,
    type_v: &'a str,
    n_prompt: u32,
    n_gen: u32,
    n_depth: u32,
    /// hob's own, like the limits at the end.
    n_sequences: u32,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: &'a [f64],
    /// Tokens per second that this machine allows at most, and how much of it the mean is.
    limit_ts: f64,
    limit_share: f64,
    /// Bytes and operations per second behind the limit.
    limit_read: f64,
    limit_int8: f64,
    limit_float: f64,
}

fn json_row<'a>(subject: &'a Subject, result: &'a BenchResult, limit: &BenchLimit) -> JsonRow<'a> {
    let info = &subject.info;
    let (avg_ts, stddev_ts) = text::mean_and_deviation(&result.samples_ts);
    let nanoseconds: Vec<f64> = result.samples_s.iter().map(|seconds| seconds * 1e9).collect();
    let (avg_ns, stddev_ns) = text::mean_and_deviation(&nanoseconds);
    let whole = |value: f64| value.round() as u64;
    JsonRow {
        build_commit: concat!("hob ", env!("CARGO_PKG_VERSION")),
        backends: &subject.backend,
        model_filename: info.model.path.display().to_string(),
        model_type: model_type(info),
        model_size: info.size_bytes,
        model_n_params: info.parameters,
        n_threads: subject.n_threads,
        type_k: &subject.kv,
        type_v: &subject.kv,
        n_prompt: result.case.n_prompt,
        n_gen: result.case.n_gen,
        n_depth: result.case.n_depth,
        n_sequences: result.case.n_sequences,
        avg_ns: whole(avg_ns),
        stddev_ns: whole(stddev_ns),
        avg_ts,
        stddev_ts,
        samples_ns: nanoseconds.iter().copied().map(whole).collect(),
        samples_ts: &result.samples_ts,
        limit_ts: limit.limit_ts,
        limit_share: avg_ts / limit.limit_ts,
        limit_read: limit.read_rate,
        limit_int8: limit.int8_rate,
        limit_float: limit.float_rate,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::{Args, Subject, cases, footnote, heading, json_row, row, test_name};
    use app::{BenchCase, BenchLimit, BenchResult, ModelInfo, ModelRef, TensorLine};

    fn subject() -> Subject {
        let tensor = |format: &str, size_bytes| TensorLine {
            name: "w".to_owned(),
            shape: vec![32],
            format: format.to_owned(),
            size_bytes,
        };
        let info = ModelInfo {
            model: ModelRef { name: "smollm2".to_owned(), path: "/m.gguf".into() },
            architecture: "llama".to_owned(),
            title: None,
            licence: None,
            parameters: 134_515_008,
            size_bytes: 98_362_432,
            gguf_version: Some(3),
            context_len: 8192,
            vocab_len: 49_152,
            tokenizer: "gpt2".to_owned(),
            shape: (30, 576, 9, 3, 1536),
            blocks: Ok(Vec::new()),
            kv_bytes_per_token: 23_040,
            template: None,
            is_without_images: false,
            tensors: vec![tensor("F32", 10), tensor("Q4_1", 20), tensor("F32", 5)],
            metadata: Vec::new(),
        };
        Subject { info, backend: "cpu".to_owned(), kv: "f16".to_owned(), n_threads: 2 }
    }

    fn result() -> BenchResult {
        let case = BenchCase { n_prompt: 512, n_gen: 0, n_depth: 4096, n_sequences: 1 };
        BenchResult { case, samples_ts: vec![100.0, 104.0], samples_s: vec![5.12, 4.923_076_9] }
    }

    fn limit() -> BenchLimit {
        let (int8_rate, float_rate) = (1.5e12, 0.35e12);
        BenchLimit { limit_ts: 408.0, read_rate: 29.14e9, int8_rate, float_rate }
    }

    fn names(arguments: &[&str]) -> Vec<String> {
        let command = Args::augment_args(clap::Command::new("bench").no_binary_name(true));
        let args = Args::from_arg_matches(&command.get_matches_from(arguments)).unwrap();
        cases(&args).into_iter().map(test_name).collect()
    }

    #[test]
    fn tests_in_llama_benchs_order() {
        let found = names(&["-p", "512,0", "-d", "0,4096"]);
        assert_eq!(found, ["pp512", "tg128", "pp512 @ d4096", "tg128 @ d4096"]);
        assert!(names(&["-p", "0", "-n", "0", "-d", "0,1"]).is_empty());
        let found = names(&["-p", "0", "-n", "64", "-d", "256", "--sequences", "1,8"]);
        assert_eq!(found, ["tg64 @ d256", "tg64 @ d256 x8"]);
    }

    #[test]
    fn limits_are_explained() {
        let slower = BenchLimit { read_rate: 24.5e9, ..limit() };
        let one = "limit: every weight and all context read once a step at 29.1 GB/s, or";
        assert!(footnote(&[limit(), limit()]).starts_with(one), "{}", footnote(&[limit()]));
        assert!(footnote(&[limit(), slower]).contains("24.5 to 29.1 GB/s"));
        assert!(footnote(&[limit()]).contains("1.50 TOPS (int8) and 0.35 TFLOP/s"));
    }

    #[test]
    fn a_table_like_llama_benchs() {
        let [names, rules] = heading(&subject());
        insta::assert_snapshot!([names, rules, row(&subject(), &result(), &limit())].join("\n"), @r"
        | model                    |       size |     params | backend    | threads |             test |                  t/s |      limit |  share |
        | ------------------------ | ---------: | ---------: | ---------- | ------: | ---------------: | -------------------: | ---------: | -----: |
        | llama 135M Q4_1          |  93.81 MiB |   134.52 M | cpu        |       2 |    pp512 @ d4096 |        102.00 ± 2.83 |     408.00 |   25 % |
        ");
    }

    #[test]
    fn json_has_llama_benchs_names() {
        let (subject, result) = (subject(), result());
        let row = serde_json::to_value(json_row(&subject, &result, &limit())).unwrap();
        assert_eq!(
            (&row["n_prompt"], &row["n_gen"], &row["n_depth"]),
            (&512.into(), &0.into(), &4096.into())
        );
        assert_eq!((&row["n_threads"], &row["avg_ts"]), (&2.into(), &102.0.into()));
        assert_eq!(row["samples_ns"][0], 5_120_000_000_u64);
        assert_eq!(row["avg_ns"], 5_021_538_450_u64);
        for name in ["stddev_ts", "samples_ts", "stddev_ns", "model_filename", "model_type"] {
            assert!(!row[name].is_null(), "{name}");
        }
        assert_eq!((&row["model_size"], &row["backends"]), (&98_362_432.into(), &"cpu".into()));
        assert_eq!(row["model_n_params"], 134_515_008);
        assert_eq!((&row["limit_ts"], &row["limit_share"]), (&408.0.into(), &0.25.into()));
    }
}
