//! Prometheus' text format: a help line, a type line and the samples of each metric.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write as _;

use app::{Histogram, Status};

/// A row: one metric.
pub(crate) struct Metric {
    /// With its prefix and, for a counter, `_total`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Names of its labels, as the documentation lists them.
    pub(crate) labels: &'static [&'static str],
    /// What it tells, with its unit; no line break.
    pub(crate) help: &'static str,
    pub(crate) read: fn(&Status, &mut Sheet),
}

/// What sort of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The samples of a metric.
pub(crate) struct Sheet {
    name: &'static str,
    labels: &'static [&'static str],
    text: String,
}

impl Sheet {
    /// A number.
    pub(crate) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        self.check(labels);
        self.line("", labels, value);
    }

    /// A number, where it is known.
    pub(crate) fn add_known(&mut self, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// Buckets, sum and count.
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        self.check(labels);
        let count = histogram.count() as f64;
        let buckets = histogram.cumulative().map(|(end, count)| (number(end), count as f64));
        for (end, count) in buckets.chain([("+Inf".to_owned(), count)]) {
            let labels = [labels, &[("le", &end)]].concat();
            self.line("_bucket", &labels, count);
        }
        self.line("_sum", labels, histogram.sum().as_secs_f64());
        self.line("_count", labels, count);
    }

    fn check(&self, labels: &[(&str, &str)]) {
        let names = labels.iter().map(|(name, _)| *name);
        debug_assert!(names.eq(self.labels.iter().copied()), "{} has other labels", self.name);
    }

    fn line(&mut self, end: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        self.text.push_str(end);
        for (place, (name, value)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            // Writing into a String cannot fail.
            let _ = write!(self.text, "{open}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", number(value));
    }
}

/// All of it; a metric without a sample is told too, so that a reader knows that it exists.
pub(crate) fn write(metrics: &[Metric], status: &Status) -> String {
    let mut text = String::new();
    for metric in metrics {
        let Metric { name, kind, labels, help, read } = metric;
        let help = help.replace('\\', "\\\\");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        let mut sheet = Sheet { name, labels, text };
        read(status, &mut sheet);
        text = sheet.text;
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}
