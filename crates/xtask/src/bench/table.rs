//! Figures of a case, as a line of the table and as evidence.

use serde_json::{Value, json};

use super::cases::Case;
use super::programs::FlashAttention;

/// What was measured of one case.
pub(crate) struct Row {
    pub(crate) case: Case,
    /// Tokens per second of every process.
    pub(crate) hob: Vec<f64>,
    pub(crate) peer: Vec<f64>,
    /// The peer's better setting.
    pub(crate) attention: FlashAttention,
    /// Tokens per second that the machine allows, as each of hob's processes found.
    pub(crate) limits: Vec<f64>,
}

/// The table's first two lines.
pub(crate) const HEADING: &str = "\
| case | hob t/s | llama.cpp t/s | ratio | at least | limit | share | llama.cpp's | spread |
|---|---:|---:|---:|---:|---:|---:|---:|---|";

impl Row {
    fn ratio(&self) -> f64 {
        median(&self.hob) / median(&self.peer)
    }

    fn limit(&self) -> f64 {
        median(&self.limits)
    }

    /// Whether it is as far ahead as is asked.
    pub(crate) fn is_enough(&self) -> bool {
        self.case.at_least.is_none_or(|at_least| self.ratio() >= at_least)
    }

    pub(crate) fn line(&self) -> String {
        let (hob, peer, limit) = (median(&self.hob), median(&self.peer), self.limit());
        let wanted = match self.case.at_least {
            Some(at_least) if self.is_enough() => format!("{at_least} ok"),
            Some(at_least) => format!("**{at_least} missed**"),
            None => "-".to_owned(),
        };
        format!(
            "| {} | {} | {} (fa {}) | {:.2} | {wanted} | {} | {:.0} % | {:.0} % | {}, {} |",
            self.case.name(),
            shown(hob),
            shown(peer),
            self.attention.word(),
            self.ratio(),
            shown(limit),
            100.0 * hob / limit,
            100.0 * peer / limit,
            spread(&self.hob),
            spread(&self.peer),
        )
    }

    /// One line of the evidence; `run` has what all lines share.
    pub(crate) fn evidence(&self, run: &Value) -> Value {
        let figures = |samples: &[f64]| {
            let (low, high) = range(samples);
            json!({ "median_ts": rounded(median(samples)), "min_ts": rounded(low),
                "max_ts": rounded(high), "repetitions": samples.len() })
        };
        let mut line = run.clone();
        line["case"] = self.case.name().into();
        line["hob"] = figures(&self.hob);
        line["llama_cpp"] = figures(&self.peer);
        line["llama_cpp"]["flash_attention"] = self.attention.word().into();
        line["ratio"] = rounded(self.ratio()).into();
        line["ratio_at_least"] = self.case.at_least.into();
        line["limit_ts"] = rounded(self.limit()).into();
        line["limit_share"] = rounded(median(&self.hob) / self.limit()).into();
        line
    }
}

/// The middle one; of two in the middle the mean.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

fn range(samples: &[f64]) -> (f64, f64) {
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    (low, samples.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn spread(samples: &[f64]) -> String {
    let (low, high) = range(samples);
    format!("{}-{}", shown(low), shown(high))
}

/// Three digits at least.
fn shown(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Row, median};
    use crate::bench::cases;
    use crate::bench::programs::FlashAttention;

    fn row() -> Row {
        Row {
            case: cases::quick()[0],
            hob: vec![760.0, 700.0, 755.0],
            peer: vec![240.0, 270.0],
            attention: FlashAttention::Off,
            limits: vec![5000.0],
        }
    }

    #[test]
    fn a_line_has_medians_ratio_share_and_spread() {
        let expected = "| SmolLM2 Q4_1 pp512 | 755 | 255 (fa off) | 2.96 | 2.5 ok | 5000 | 15 % \
                        | 5 % | 700-760, 240-270 |";
        assert_eq!(row().line(), expected);
        let slow = Row { hob: vec![25.5], ..row() };
        assert!(slow.line().contains("| 25.5 | 255 (fa off) | 0.10 | **2.5 missed** |"));
        assert!(row().is_enough() && !slow.is_enough());
    }

    #[test]
    fn evidence_is_one_object() {
        let line = row().evidence(&json!({ "commit": "abc" }));
        assert_eq!((&line["commit"], &line["case"]), (&"abc".into(), &"SmolLM2 Q4_1 pp512".into()));
        assert_eq!((&line["hob"]["max_ts"], &line["ratio"]), (&760.0.into(), &2.961.into()));
        assert!(median(&[]).is_nan());
    }
}
