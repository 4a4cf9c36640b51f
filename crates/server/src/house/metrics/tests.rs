//! That what is told can be read by whoever knows the format and nothing of hob: a strict reader of
//! its own stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use app::meter::{Basis, Cpu, Device, Memory, Power, Reading, Scope};
use app::{App, Config, Drawn, Event, LoadOptions, ModelRef, Status};
use testkit::TinyModel;

use super::rows::METRICS;
use super::text::{Kind, write};

/// A name that a careless writer would break a line with.
const NAME: &str = "tiny \"q4\"\\a\nb";
/// A word that stands in no metric.
const PROMPT: &str = "xylophone";

/// A sample: its name, labels and value.
type Sample = (String, BTreeMap<String, String>, f64);

/// A metric as read.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

/// Reads the format, and panics where it is not kept to the letter.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends too");
    let mut families = BTreeMap::<String, Family>::new();
    let (mut described, mut current) = (None::<String>, String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a text");
            assert!(!help.is_empty() && described.is_none(), "{line}");
            described = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(described.take().as_deref(), Some(name), "help comes right before");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            name.clone_into(&mut current);
        } else {
            let sample = sample(line);
            let family = families.get_mut(&current).expect("a type comes before");
            let ends: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let is_own = ends.iter().any(|end| sample.0 == format!("{current}{end}"));
            assert!(is_own, "{line} is not of {current}");
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> Sample {
    let at = line.find(['{', ' ']).expect("a name and a value");
    let (name, rest) = line.split_at(at);
    assert!(is_name(name, ":"), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        None => (BTreeMap::new(), rest),
        Some(rest) => labels(rest),
    };
    let value = value.strip_prefix(' ').expect("one space before the value");
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().expect("a number"),
    };
    (name.to_owned(), labels, value)
}

/// `name="value",...}` and what follows.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a name and a value");
        assert!(is_name(name, "") && !name.starts_with("__"), "{name}");
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect("the value ends") {
                (_, '\\') => value.push(match letters.next().expect("an escape ends").1 {
                    '\\' => '\\',
                    '"' => '"',
                    'n' => '\n',
                    other => panic!("\\{other} is no escape"),
                }),
                (at, '"') => break at,
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} comes twice");
        match after[end + 1..].split_at(1) {
            (",", after) => rest = after,
            ("}", after) => return (labels, after),
            (other, _) => panic!("{other} after a label"),
        }
    }
}

fn is_name(name: &str, more: &str) -> bool {
    let starts = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let is_of =
        |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || more.contains(letter);
    starts && name.chars().all(is_of)
}

/// What holds for any metric of its type.
fn check_family(name: &str, family: &Family) {
    let mut seen = BTreeSet::new();
    for (of, labels, value) in &family.samples {
        assert!(seen.insert((of, labels)), "{of} {labels:?} comes twice");
        assert!(family.kind == "gauge" || *value >= 0.0, "{of} {value}");
    }
    assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
    if family.kind != "histogram" {
        return;
    }
    let buckets = family.samples.iter().filter(|(of, ..)| of.ends_with("_bucket"));
    let buckets: Vec<(f64, f64)> = buckets
        .map(|(_, labels, count)| (labels["le"].replace('+', "").parse().expect("le"), *count))
        .collect();
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
    let count = family.samples.iter().find(|(of, ..)| of.ends_with("_count")).expect("a count");
    let last = buckets.last().expect("buckets");
    assert_eq!((last.0, last.1), (f64::INFINITY, count.2), "{name}: all are below +Inf");
}

/// A house with a tiny model that has answered once, on a machine of which everything is known.
fn house() -> Status {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    TinyModel::default().write(&path);
    let config = Config::alone(folder.path().join("hob"));
    let app = App::new(config).expect("a house");
    let model = ModelRef { name: NAME.to_owned(), path };
    let options = LoadOptions { threads: Some(1), ..LoadOptions::default() };
    let model = app.load(&model, &options, &mut |_, _| ()).expect("a sound model");
    let request = app::CompletionRequest {
        prompt: app::Prompt::Text { text: PROMPT.to_owned(), parse_specials: false },
        tokens_max: Some(3),
        sampling: app::SamplingParams {
            logit_bias: vec![(u32::from(b'x'), 1e6)],
            ..app::SamplingParams::default()
        },
        stop: Vec::new(),
        constraint: None,
        adapters: None,
        user: 0,
    };
    let mut generation = model.complete(request).expect("room");
    while let Some(event) = generation.recv() {
        assert!(!matches!(event, Event::Failed(_)), "{event:?}");
    }
    Status {
        reading: Some(reading()),
        drawn: vec![
            Drawn { basis: Basis::Counter, requests_joules: 40.0, idle_joules: 2.0 },
            Drawn { basis: Basis::Modelled, requests_joules: 1.5, idle_joules: 0.5 },
        ],
        ..app.status()
    }
}

fn reading() -> Reading {
    let card = Device {
        name: "Card".to_owned(),
        watts: Some(20.0),
        utilisation: Some(0.5),
        temperature_c: Some(61.0),
        memory_total_bytes: Some(1 << 34),
        memory_used_bytes: Some(1 << 33),
        throttled_by: Some(vec!["sw_power_cap".to_owned(), "sw_thermal_slowdown".to_owned()]),
        ..Device::default()
    };
    let quiet = Device { throttled_by: Some(Vec::new()), ..card.clone() };
    Reading {
        at: Duration::from_secs(9),
        power: Power {
            watts: Some(42.5),
            basis: Basis::Counter,
            scope: Scope::Parts,
            joules: Some(44.0),
            joules_basis: Basis::Modelled,
            missed: Duration::from_millis(1500),
            draws: Vec::new(),
        },
        devices: vec![card, quiet],
        cpu: Cpu {
            utilisation: Some(0.25),
            frequency_mhz: Some(3000.0),
            temperature_c: Some(48.0),
            throttled: Some(false),
        },
        memory: Memory {
            total_bytes: Some(1 << 36),
            available_bytes: Some(1 << 35),
            process_bytes: Some(1 << 30),
        },
    }
}

#[test]
fn a_strict_reader_understands_every_metric() {
    let status = house();
    let text = write(METRICS, &status);
    let families = parse(&text);
    assert!(families.keys().map(String::as_str).eq(METRICS.iter().map(|metric| metric.name)));
    for (metric, (name, family)) in METRICS.iter().zip(&families) {
        check_family(name, family);
        assert!(!family.samples.is_empty(), "{name} has no sample on a full house");
        assert_eq!(family.kind, metric.kind.name());
        for (_, labels, _) in &family.samples {
            let names = labels.keys().map(String::as_str).filter(|name| *name != "le");
            assert!(names.eq(metric.labels.iter().copied()), "{name} {labels:?}");
        }
    }
    let value = |name: &str, wanted: &[(&str, &str)]| {
        let family = families.values().flat_map(|family| &family.samples);
        let mut found = family.filter(|(of, labels, _)| {
            of == name && wanted.iter().all(|(label, value)| labels[*label] == *value)
        });
        let value = found.next().unwrap_or_else(|| panic!("no {name} {wanted:?} in {text}")).2;
        assert!(found.next().is_none(), "{name} {wanted:?} is not one sample");
        value
    };
    let by_name = ("model_name", NAME);
    assert_eq!(value("hob:generation_tokens_total", &[by_name]), 3.0);
    assert_eq!(value("hob:requests_ended_total", &[by_name, ("finished_reason", "length")]), 1.0);
    assert_eq!(value("hob:time_to_first_token_seconds_count", &[by_name]), 1.0);
    assert_eq!(value("hob:inter_token_latency_seconds_bucket", &[("le", "+Inf")]), 2.0);
    assert!(value("hob:model_memory_bytes", &[("kind", "weights")]) > 0.0);
    let requests = ("state", "requests");
    assert_eq!(value("hob:energy_joules_total", &[("basis", "modelled"), requests]), 1.5);
    assert_eq!(value("hob:power_watts", &[("basis", "counter"), ("scope", "parts")]), 42.5);
    assert_eq!(value("hob:device_temperature_celsius", &[("device", "cpu")]), 48.0);
    let slowed = [("device", "Card"), ("reason", "sw_thermal_slowdown")];
    assert_eq!(value("hob:device_throttled", &slowed), 1.0);
    assert_eq!(value("hob:device_throttled", &[("device", "Card #2")]), 0.0);
    assert_eq!(value("hob:power_unknown_seconds_total", &[]), 1.5);
    assert!(!text.contains(PROMPT), "no word of a prompt");
}

#[test]
fn without_a_reading_nothing_is_made_up() {
    let status = Status { reading: None, drawn: Vec::new(), models: Vec::new(), ..house() };
    let families = parse(&write(METRICS, &status));
    let told = families.iter().filter(|(_, family)| !family.samples.is_empty());
    let told: Vec<&str> = told.map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, ["hob:build_info", "hob:uptime_seconds"]);
}

#[test]
fn rows_are_sorted_and_documented() {
    assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
    let written = include_str!("../../../../../docs/metrics.md");
    let listed = written.lines().filter(|line| line.starts_with("| `hob:"));
    let rows: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name, metric.kind.name());
            format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), metric.help)
        })
        .collect();
    let expected = rows.join("\n");
    assert!(listed.eq(rows.iter().map(String::as_str)), "docs/metrics.md must say:\n{expected}");
    assert!(METRICS.iter().all(|metric| metric.help.ends_with('.')));
    assert!(METRICS.iter().any(|metric| metric.kind == Kind::Histogram));
}
