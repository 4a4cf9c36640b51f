//! `hob check`: whether memory bandwidth allows what a sentence claims, and what was measured.

use std::io::{self, Write};

use app::planner::claim::{
    Bound, Claim, Error, Evidence, Kind, Known, Period, Sample, Sharing, Span, Verdict, judge,
    parse,
};
use app::planner::{
    Class, Coefficients, Engine, Flag, Knowledge, KvType, Machine, Measurement, Quantisation,
    Speed, Subject, Wish, find_machine, find_model, machines, measurements, models, plan,
};
use clap::{ArgMatches, Args as _, FromArgMatches};
use serde_json::{Value, json};

use super::{Context, Row};
use crate::failure::usage;
use crate::screens::check::{self, Checked, Expected, Marks, Range};

pub(super) const ROW: Row = Row { name: "check", place: 6, arguments: Args::augment_args, run };

/// A claim as it should look.
const EXAMPLE: &str = "hob check \"a 70B in Q4 at 30 tokens/s on a DGX Spark\"";

/// Longest context of measurements that a claim is compared with, and the context that is planned
/// for: claims are of short ones.
const CONTEXT_SHORT: u64 = 1 << 10;

/// What is taken where a claim does not say it, as its judge does.
const BITS_ASSUMED: f64 = 4.0;

/// Bits of a weight, and the mix that people mean by them.
const USUAL: &[(f64, &str)] = &[
    (2.0, "Q2_K"),
    (3.0, "Q3_K_M"),
    (4.0, "Q4_K_M"),
    (5.0, "Q5_K_M"),
    (6.0, "Q6_K"),
    (8.0, "Q8_0"),
    (16.0, "BF16"),
];

/// Measurements that say nothing of one conversation on the machine they are filed under.
const NOT_ALIKE: &[Flag] = &[
    Flag::AboveRoofline,
    Flag::MaybeMtp,
    Flag::MaybeOffload,
    Flag::Multi,
    Flag::Offload,
    Flag::Swapping,
];

/// Say whether a claimed speed is possible, and what was measured
///
/// A token of one conversation cannot be written faster than the weights that it passes are read.
/// The sentence needs a rate, a model or its size, and a machine or its memory's bandwidth; where
/// it can be read in two ways, the one that favours it counts. Impossible is an answer, not a
/// failure: the exit code is 0.
#[derive(Debug, clap::Args)]
struct Args {
    /// The sentence, e.g. "a quantized 70B at 50 tokens/s with 273 GB/s"
    #[arg(required = true, value_name = "CLAIM")]
    claim: Vec<String>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let claim = read(&args.claim.join(" "))?;
    let machine = machine(&claim);
    let expected = expected(&claim, machine.as_ref());
    let samples = samples(claim.bandwidth.gb_per_second);
    let evidence = Evidence {
        file_read_gb: expected.as_ref().map(|expected| expected.read_gb),
        expected_tps: expected.as_ref().and_then(|expected| Some(expected.alone?.tps)),
        samples: &samples,
    };
    let judgement = judge(&claim, &evidence);
    let checked = Checked {
        claim: &claim,
        judgement: &judgement,
        usable_gb: machine.as_ref().and_then(|machine| usable_gb(&claim, machine)),
        expected: expected.as_ref(),
        samples: &samples,
    };
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &object(&checked))?;
        return Ok(writeln!(out)?);
    }
    let width = context.terminal.columns();
    for line in check::lines(&checked, Marks::of(context.settings.looks), width) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What a sentence claims.
fn read(text: &str) -> anyhow::Result<Claim> {
    let known = Known { models: models(), machines: machines() };
    parse(text, &known).map_err(|error| match error {
        Error::TooLong { .. } => usage(error.to_string()),
        Error::OutOfRange { .. } => usage(format!("the claim has {error}")),
        missing => usage(format!("{missing}; {EXAMPLE} has all that is needed")),
    })
}

/// What the planner says of the claim's model, where the table has it, on its machine.
fn expected(claim: &Claim, machine: Option<&Machine>) -> Option<Expected> {
    let row = find_model(claim.model.as_ref()?).ok()?;
    let quantisation = quantisation(claim)?;
    let subject = Subject::of_row(row);
    let weights = subject.weights(quantisation);
    let speed = |users: u32| {
        let machine = machine?;
        let knowledge = Knowledge::of(Coefficients::embedded(), machine);
        let (context, users) = (CONTEXT_SHORT.min(row.context_max), u64::from(users));
        let wish = Wish { context, users, kv: KvType::F16, quantisation, engine: Engine::Plain };
        Some(plan(&subject, machine, &wish, &knowledge).speed)
    };
    let range = |speed: Speed| Range {
        tps: speed.decode_tps,
        low: speed.decode_low,
        high: speed.decode_high,
    };
    let each = claim.streams.count.filter(|users| *users > 1).and_then(speed);
    Some(Expected {
        file_gb: weights.total_bytes as f64 / 1e9,
        read_gb: weights.read_bytes(&subject.facts) as f64 / 1e9,
        alone: speed(1).map(range),
        each: each.map(range),
    })
}

/// As many of the claim's machine as it speaks of, with the bandwidth that it says.
fn machine(claim: &Claim) -> Option<Machine> {
    let mut machine = find_machine(claim.machine.as_ref()?).ok()?.clone();
    let boxes = f64::from(claim.boxes);
    machine.count *= claim.boxes;
    machine.memory_gib *= boxes;
    machine.usable_gib = machine.usable_gib.map(|gib| gib * boxes);
    machine.fp16_tflops = machine.fp16_tflops.map(|tflops| tflops * boxes);
    machine.bandwidth_gbs = claim.bandwidth.gb_per_second;
    Some(machine)
}

/// What models can have of the claim's memory, where it is the whole of its machine's, GB.
fn usable_gb(claim: &Claim, machine: &Machine) -> Option<f64> {
    let is_whole = claim.memory_gib == Some(machine.memory_gib);
    is_whole.then(|| machine.usable_bytes() as f64 / 1e9)
}

/// The mix that the claim names, or the usual one of so many bits.
fn quantisation(claim: &Claim) -> Option<Quantisation> {
    let bits = claim.bits.as_ref();
    let name = bits.map_or("", |bits| bits.name.as_str());
    let nominal = bits.map_or(BITS_ASSUMED, |bits| bits.nominal);
    // "4-bit" is a name of MLX's too, but people mean the bits.
    let named = Quantisation::from_name(name).filter(|_| !name.ends_with("bit"));
    named.or_else(|| {
        let usual = USUAL.iter().find(|(bits, _)| *bits == nominal)?;
        Quantisation::from_name(usual.1)
    })
}

/// Measurements of one conversation at short context, those of machines with such a bandwidth
/// first.
fn samples(bandwidth_gbs: f64) -> Vec<Sample<'static>> {
    let mut samples: Vec<Sample<'static>> = measurements().iter().filter_map(sample).collect();
    samples.sort_by(|a, b| {
        let away = |sample: &Sample<'_>| (sample.bandwidth_gbs / bandwidth_gbs).ln().abs();
        away(a).total_cmp(&away(b))
    });
    samples
}

fn sample(row: &'static Measurement) -> Option<Sample<'static>> {
    let machine = find_machine(&row.machine).ok()?;
    let model = find_model(&row.model).ok()?;
    let is_alike = row.context <= CONTEXT_SHORT
        && !row.flags.iter().any(|flag| NOT_ALIKE.contains(flag))
        && (machine.class == Class::Cpu || !row.engine.ends_with("/CPU"));
    is_alike.then_some(Sample {
        machine: machine.also.first().unwrap_or(&machine.name),
        // A token passes the layers of one box or card after those of another.
        bandwidth_gbs: machine.bandwidth_gbs / f64::from(machine.count.max(1)),
        model: &row.model,
        parameters: model.parameters as f64,
        active: model.active as f64,
        quant: &row.quant,
        decode_tps: row.decode_tps?,
        source: &row.source,
    })
}

fn object(checked: &Checked<'_>) -> Value {
    let (claim, judgement) = (checked.claim, checked.judgement);
    let verdicts: Vec<Value> = judgement.verdicts.iter().map(verdict).collect();
    let rows = |rows: &[&Sample<'_>]| rows.iter().map(|row| sample_object(row)).collect();
    let (measured, measured_moe): (Vec<Value>, Vec<Value>) =
        (rows(&judgement.measured), rows(&judgement.measured_moe));
    json!({
        "claim": claim_object(claim),
        "bits": { "name": judgement.bits.name, "nominal": judgement.bits.nominal,
            "file": judgement.bits.file, "assumed": judgement.bits_assumed },
        "bound": bound(&judgement.bound),
        "file_bound": bound(&judgement.file_bound),
        "expected_tps": judgement.expected_tps,
        "expected_range_tps": checked.expected.and_then(|expected| expected.alone)
            .map(|range| [range.low, range.high]),
        "verdicts": verdicts,
        "fits": check::memory(checked).map(|memory| memory.fits()),
        "measured_tps": judgement.measured_tps.map(span),
        "measured": measured,
        "measured_moe": measured_moe,
    })
}

fn claim_object(claim: &Claim) -> Value {
    let per = match claim.rate.per {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Month => "month",
    };
    let kind = match claim.size.kind {
        Kind::Dense => "dense",
        Kind::Moe => "moe",
        Kind::MoeOfUnknownActive => "moe of unknown active",
        Kind::Unsaid => "unsaid",
    };
    let sharing = match claim.streams.sharing {
        Sharing::Unsaid => "unsaid",
        Sharing::Total => "total",
        Sharing::Each => "each",
    };
    json!({
        "tps": span(claim.rate.tps), "per": per, "prefill_tps": claim.prefill_tps.map(span),
        "model": claim.model, "parameters": claim.size.parameters,
        "active": claim.size.active, "kind": kind,
        "machine": claim.machine, "boxes": claim.boxes,
        "bandwidth_gbs": claim.bandwidth.gb_per_second, "memory_gib": claim.memory_gib,
        "file_gb": claim.file_gb, "watts": claim.watts,
        "conversations": claim.streams.count, "sharing": sharing,
    })
}

fn verdict(verdict: &Verdict) -> Value {
    match *verdict {
        Verdict::PossibleForOneStream { tps, share_of_bound } => json!({
            "verdict": "possible for one conversation", "tps": span(tps),
            "share_of_bound": span(share_of_bound),
        }),
        Verdict::AboveTheBound { factor } => {
            json!({ "verdict": "above the bound", "factor": span(factor) })
        }
        Verdict::PossibleOnlyAsTotal { least, most } => json!({
            "verdict": "possible as a total", "conversations_ideal": [least.ideal, most.ideal],
            "conversations_likely": [least.likely, most.likely],
        }),
        Verdict::PossibleForMoe { active } => {
            json!({ "verdict": "possible for a mixture of experts", "active": span(active) })
        }
    }
}

fn sample_object(row: &Sample<'_>) -> Value {
    json!({
        "machine": row.machine, "model": row.model, "quant": row.quant,
        "decode_tps": row.decode_tps, "source": row.source,
    })
}

fn bound(bound: &Bound) -> Value {
    json!({ "read_gb": bound.read_gb, "tps": bound.tps })
}

fn span(span: Span) -> [f64; 2] {
    [span.least, span.most]
}

#[cfg(test)]
mod tests {
    use super::{Checked, Evidence, expected, judge, machine, object, read, samples, usable_gb};

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        let check = |text: &str| read(text).unwrap_err().to_string();
        let said = ["hello", "50 tok/s, 273 GB/s", "70B at 50 tok/s", "70B at 0 tok/s, 273 GB/s"];
        insta::assert_snapshot!(said.map(check).join("\n"), @r#"
        the claim has no rate: add one like "50 tokens per second" or "30-50 tok/s"; hob check "a 70B in Q4 at 30 tokens/s on a DGX Spark" has all that is needed
        the claim has no model size: add one like "70B" or "35B-A3B", or a model's name; hob check "a 70B in Q4 at 30 tokens/s on a DGX Spark" has all that is needed
        the claim has no memory bandwidth: add one like "273 GB/s", or a machine's name; hob check "a 70B in Q4 at 30 tokens/s on a DGX Spark" has all that is needed
        the claim has a rate of 0 tokens per second: give a number from 0.000001 to 1000000000
        "#);
        assert!(check(&"a".repeat(5000)).contains("5000 bytes"));
    }

    #[test]
    fn a_model_and_a_machine_of_the_table_are_planned() {
        let claim = read("gpt-oss-120b at 57 tok/s on a DGX Spark").unwrap();
        let spark = machine(&claim).unwrap();
        let found = expected(&claim, Some(&spark)).unwrap();
        assert!((62.0..65.0).contains(&found.file_gb), "{found:?}");
        assert!((3.0..4.0).contains(&found.read_gb), "{found:?}");
        let alone = found.alone.unwrap();
        assert!(alone.low < alone.tps && alone.tps < alone.high && found.each.is_none());
        assert!(usable_gb(&claim, &spark).is_some_and(|gb| gb < 128.0 * 1.074));
        // Without a machine only the file is known, without a model nothing.
        let claim = read("10 users get 90 tok/s from gpt-oss-120b, 273 GB/s").unwrap();
        assert!(expected(&claim, None).unwrap().alone.is_none());
        assert!(expected(&read("70B at 5 tok/s on a DGX Spark").unwrap(), Some(&spark)).is_none());
    }

    #[test]
    fn programs_find_what_people_read() {
        let claim = read("a quantized 70B at 50 tok/s, 273 GB/s, 24 GB").unwrap();
        let samples = samples(273.0);
        let judgement = judge(&claim, &Evidence { samples: &samples, ..Evidence::default() });
        let checked = Checked {
            claim: &claim,
            judgement: &judgement,
            usable_gb: None,
            expected: None,
            samples: &samples,
        };
        let answer = object(&checked);
        assert_eq!(answer["verdicts"][0]["verdict"], "above the bound");
        assert_eq!((&answer["fits"], &answer["claim"]["kind"]), (&false.into(), &"unsaid".into()));
        assert!(answer["bound"]["tps"].as_f64().is_some_and(|tps| (7.7..7.9).contains(&tps)));
        assert!(answer["measured"].as_array().is_some_and(|rows| !rows.is_empty()));
    }

    #[test]
    fn bits_are_what_people_mean_by_them() {
        let file_gb = |text: &str| {
            let claim = read(&format!("Llama-3.3-70B {text} at 5 tok/s, 273 GB/s")).unwrap();
            expected(&claim, None).map(|found| found.file_gb.round())
        };
        let [usual, named] = ["", "in Q4_K_M"].map(file_gb);
        assert_eq!((usual, file_gb("in 4-bit"), file_gb("quantized")), (named, named, named));
        assert!(file_gb("in Q8_0") > named && file_gb("in 8-bit") == file_gb("in Q8_0"));
        assert_eq!(file_gb("at 4.5 bpw"), None);
    }

    #[test]
    fn several_boxes_are_one_machine() {
        let claim = read("gpt-oss-120b at 57 tok/s on two DGX Sparks").unwrap();
        let both = machine(&claim).unwrap();
        assert_eq!((both.count, both.memory_gib, both.bandwidth_gbs), (2, 256.0, 546.0));
    }

    #[test]
    fn the_nearest_machines_come_first_and_none_is_above_its_bound() {
        let samples = samples(273.0);
        assert!(samples.len() > 300, "{}", samples.len());
        assert!((samples[0].bandwidth_gbs - 273.0).abs() < 1.0);
        // 0.7 GB10s with several tokens a step and the like were taken out.
        let above = samples.iter().filter(|sample| {
            sample.decode_tps > 1.05 * sample.bandwidth_gbs * 8e9 / (sample.active * 2.0)
        });
        assert_eq!(above.count(), 0);
    }
}
