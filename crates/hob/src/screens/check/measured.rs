//! What was measured like a claim, and by whom.

use app::planner::claim::{Kind, Sample, Span, Verdict};

use super::{Checked, span};
use crate::text::{self, Side};

/// Mixtures of experts that are named in one line.
const MOE_NAMED: usize = 3;

/// Rows of each table.
const ROWS_MAX: usize = 5;

/// Those that do what is claimed, in one line.
pub(super) fn moe_names(checked: &Checked<'_>) -> Option<String> {
    let rows = checked.judgement.measured_moe.iter().take(MOE_NAMED);
    let names: Vec<String> = rows
        .map(|row| {
            let name = row.model.split(" / ").next().unwrap_or(row.model);
            let rates = spread(&alike(row, checked.samples));
            format!("{name} {}", span(rates))
        })
        .collect();
    (!names.is_empty()).then(|| format!("measured: {}", names.join(", ")))
}

/// Who measured what, sources by number so that the tables stay narrow.
pub(super) fn tables(checked: &Checked<'_>, width: usize) -> Vec<String> {
    let judgement = checked.judgement;
    let is_moe = |verdict: &Verdict| matches!(verdict, Verdict::PossibleForMoe { .. });
    // Those like a claim of unknown experts are the same.
    let is_other = checked.claim.size.kind != Kind::MoeOfUnknownActive;
    let does_for_moe = is_other && judgement.verdicts.iter().any(is_moe);
    let experts: &[_] = if does_for_moe { &judgement.measured_moe } else { &[] };
    let mut sources = Sources::default();
    let mut lines = Vec::new();
    for (title, samples) in [
        ("measured like it, one conversation at short context", &judgement.measured[..]),
        ("measured mixtures of experts that do it", experts),
    ] {
        let rows = rows(samples, checked.samples, &mut sources);
        if !rows.is_empty() {
            lines.push(format!("{title}:"));
            let sides = [Side::Left, Side::Left, Side::Left, Side::Right, Side::Left];
            lines.extend(text::table_within(width, &sides, &rows, &[]));
        }
    }
    if lines.is_empty() {
        return vec!["hob's table has no measurement like it".to_owned()];
    }
    lines.push("by:".to_owned());
    lines.extend(sources.0.iter().zip(1..).map(|(source, n)| format!("  [{n}] {source}")));
    lines
}

/// Sources in the order in which they came.
#[derive(Default)]
struct Sources<'a>(Vec<&'a str>);

impl<'a> Sources<'a> {
    fn number(&mut self, source: &'a str) -> usize {
        let known = self.0.iter().position(|known| *known == source);
        known.unwrap_or_else(|| {
            self.0.push(source);
            self.0.len() - 1
        }) + 1
    }
}

/// A row for each machine, model and type, with every measurement of it.
fn rows<'a>(
    found: &[&Sample<'a>],
    samples: &[Sample<'a>],
    sources: &mut Sources<'a>,
) -> Vec<Vec<String>> {
    let mut firsts: Vec<&Sample<'a>> = Vec::new();
    for sample in found {
        if firsts.len() < ROWS_MAX && firsts.iter().all(|first| !is_alike(first, sample)) {
            firsts.push(sample);
        }
    }
    let row = |first: &&Sample<'a>| {
        let group = alike(first, samples);
        let mut numbers: Vec<usize> = group.iter().map(|row| sources.number(row.source)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        vec![
            format!("  {}", first.machine),
            first.model.to_owned(),
            first.quant.to_owned(),
            format!("{} tokens/s", span(spread(&group))),
            format!("[{}]", numbers.join(", ")),
        ]
    };
    firsts.iter().map(row).collect()
}

fn is_alike(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    (a.machine, a.model, a.quant) == (b.machine, b.model, b.quant)
}

/// Every measurement of the same machine, model and type.
fn alike<'s, 'a>(first: &Sample<'a>, samples: &'s [Sample<'a>]) -> Vec<&'s Sample<'a>> {
    samples.iter().filter(|sample| is_alike(first, sample)).collect()
}

fn spread(samples: &[&Sample<'_>]) -> Span {
    let rates = samples.iter().map(|row| row.decode_tps);
    Span { least: rates.clone().fold(f64::INFINITY, f64::min), most: rates.fold(0.0, f64::max) }
}
