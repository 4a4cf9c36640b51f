//! What others say of the same machines and models: rules of thumb on the same measurements, and
//! errors of published programs as measured on a larger set.

use super::cross::Held;
use super::sample::Sample;
use super::table::{Line, Table, line};

/// The rule of thumb that does best: that share of bandwidth.
const USUAL_SHARE: f64 = 0.7;
const USUAL: &str = "70 % of bandwidth";

/// Share of the peak of arithmetic that is often assumed.
const NAIVE_SHARE: f64 = 0.3;

const GIGA: f64 = 1e9;

/// Median errors of published programs and rules, percent, in the columns of the table: their own
/// code with right geometry and bandwidth over 911 measurements (2026; `docs/planner.md`).
const QUOTED: &[(&str, [f64; 10])] = &[
    ("llmfit, 911 rows", [21.3, 19.6, 31.9, 16.3, 27.9, 24.5, 20.1, 15.3, 108.0, 22.9]),
    ("whichllm, 911 rows", [29.1, 31.1, 24.2, 18.2, 41.6, 24.0, 37.4, 29.9, 44.6, 30.2]),
    ("canirun.ai, 911 rows", [20.4, 17.2, 65.8, 18.8, 19.9, 22.6, 18.9, 20.7, 58.2, 43.6]),
    ("gguf-parser, 911 rows", [55.9, 45.4, 73.2, 56.1, 74.3, 56.2, 44.4, 53.4, 92.3, 68.8]),
    ("all of bandwidth, 911 rows", [56.5, 51.8, 88.5, 51.9, 36.2, 67.1, 49.2, 62.1, 111.0, 37.3]),
    ("70 % of bandwidth, 911 rows", [14.7, 12.7, 32.0, 8.0, 13.9, 18.2, 13.3, 13.8, 47.5, 13.0]),
];

/// Lines of others, for writing.
pub(super) fn decode_lines(samples: &[&Sample]) -> Vec<Line> {
    let resident =
        |sample: &Sample| sample.file_bytes + sample.demand.kv_bytes(sample.context, 1.0);
    let mut lines = vec![
        line("all of bandwidth", samples, &rooflines(samples, active)),
        usual_share(samples),
        line("all experts read, as gguf-parser", samples, &rooflines(samples, resident)),
    ];
    lines.extend(QUOTED.iter().map(|(name, medians)| Line {
        name: (*name).to_owned(),
        medians: medians.iter().copied().map(Some).collect(),
        tail: None,
    }));
    lines
}

/// The rule of thumb that does best.
pub(super) fn usual_share(samples: &[&Sample]) -> Line {
    line(USUAL, samples, &rooflines(samples, |sample| active(sample) / USUAL_SHARE))
}

/// Bytes that a token reads.
fn active(sample: &Sample) -> f64 {
    sample.demand.dense_bytes
        + sample.demand.routed_bytes()
        + sample.demand.kv_bytes(sample.context, 1.0)
}

/// The best of what is published, in each column: percent.
pub(super) fn fewest_errors(table: &Table) -> Vec<f64> {
    let quoted: Vec<&str> = QUOTED.iter().map(|(name, _)| *name).collect();
    let public = || {
        table.lines.iter().filter(|line| quoted.contains(&line.name.as_str()) || line.name == USUAL)
    };
    let least = |index: usize| {
        public().filter_map(|line| line.medians[index]).fold(f64::INFINITY, f64::min)
    };
    table.columns.iter().map(|column| least(column.index)).collect()
}

/// Errors of a rule: so many bytes over the whole bandwidth.
fn rooflines(samples: &[&Sample], bytes: impl Fn(&Sample) -> f64) -> Vec<Held> {
    held(samples, |sample| {
        Some(bytes(sample) / (sample.site().bandwidth_gbs * GIGA) * sample.decode_tps?)
    })
}

/// Errors of a rule for prompts that knows weights only.
pub(super) fn naive_prefill(samples: &[&Sample]) -> Vec<Held> {
    held(samples, |sample| {
        let flops = sample.site().fp16_tflops? * 1e12 * NAIVE_SHARE;
        Some(2.0 * sample.demand.prompt_weights() / flops * sample.prefill_tps?)
    })
}

/// Errors from estimated over measured times.
fn held(samples: &[&Sample], ratio: impl Fn(&Sample) -> Option<f64>) -> Vec<Held> {
    let each = samples.iter().enumerate().filter_map(|(index, sample)| {
        let error = -ratio(sample)?.ln();
        Some(Held { index, error, unbounded: error })
    });
    each.collect()
}
