//! `hob check`: what a sentence was understood to claim, what of it is possible, and what was
//! measured. Exact words matter here: an answer that says "impossible" has to say for what.

mod measured;

use app::planner::claim::{
    Bound, Claim, Judgement, Kind, Period, Sample, Sharing, Span, StreamsNeeded, Verdict,
};

use super::units::rate;
use crate::terminal::Looks;
use crate::text::{self, Side};

/// Share of the bound of real files above which a claim is doubted.
const DOUBTFUL_SHARE: f64 = 0.9;

/// Conversations at once of which somebody measured the total.
const STREAMS_MEASURED: u64 = 32;

/// A total of a dense model is believed where so many times the least number of conversations
/// share it: of 32, each was measured to have two thirds of what one alone has.
const STREAMS_TO_SPARE: u64 = 2;

/// Everything that is known of a claim.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a> {
    /// What was understood.
    pub(crate) claim: &'a Claim,
    /// What follows from it.
    pub(crate) judgement: &'a Judgement<'a>,
    /// What models can have of the claim's machine, GB; none where it is not known.
    pub(crate) usable_gb: Option<f64>,
    /// What the planner says, where the claim is of a model of the table.
    pub(crate) expected: Option<&'a Expected>,
    /// Every measurement that was looked through.
    pub(crate) samples: &'a [Sample<'a>],
}

/// What the planner says of the claim's model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Its file, GB.
    pub(crate) file_gb: f64,
    /// What a token reads of it, GB.
    pub(crate) read_gb: f64,
    /// One conversation; none without a machine of the table.
    pub(crate) alone: Option<Range>,
    /// Each of as many at once as the claim has; none where it has one.
    pub(crate) each: Option<Range>,
}

/// A rate and how sure it is, tokens per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// What to expect.
    pub(crate) tps: f64,
    /// One of twenty is below.
    pub(crate) low: f64,
    /// One of twenty is above.
    pub(crate) high: f64,
}

impl Range {
    fn times(self, factor: f64) -> Range {
        Range { tps: self.tps * factor, low: self.low * factor, high: self.high * factor }
    }

    /// `50 tokens/s (37 to 68)`.
    fn words(self) -> String {
        format!("{} tokens/s ({} to {})", short(self.tps), short(self.low), short(self.high))
    }
}

/// Weights and the memory for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    weights_gb: f64,
    /// As sold.
    memory_gb: f64,
    /// What models can have of it, where that is known.
    usable_gb: Option<f64>,
}

impl Memory {
    /// Whether the weights alone do.
    pub(crate) fn fits(self) -> bool {
        self.weights_gb <= self.usable_gb.unwrap_or(self.memory_gb)
    }
}

/// How yes and no are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// With ✓ and ✗.
    Signs,
    /// With words, where a terminal may not have the signs.
    Words,
}

impl Marks {
    pub(crate) fn of(looks: Looks) -> Marks {
        match looks {
            Looks::Full | Looks::NoColours => Marks::Signs,
            Looks::Dumb => Marks::Words,
        }
    }

    pub(crate) fn yes(self, words: &str) -> String {
        format!("{} {words}", if self == Marks::Signs { "✓" } else { "yes:" })
    }

    pub(crate) fn no(self, words: &str) -> String {
        format!("{} {words}", if self == Marks::Signs { "✗" } else { "no:" })
    }

    pub(crate) fn doubt(self, words: &str) -> String {
        format!("{} {words}", if self == Marks::Signs { "?" } else { "doubtful:" })
    }

    /// Marked by how a claim lies to what is expected.
    fn by(self, expected: Range, claimed: Span, words: &str) -> String {
        if claimed.most <= expected.tps {
            self.yes(words)
        } else if claimed.least <= expected.high {
            self.doubt(words)
        } else {
            self.no(words)
        }
    }
}

/// The whole screen.
pub(crate) fn lines(checked: &Checked<'_>, marks: Marks, width: usize) -> Vec<String> {
    let sides = [Side::Left, Side::Left];
    let mut lines = text::table_within(width, &sides, &understood(checked), &[]);
    lines.push(String::new());
    let memory = memory(checked);
    let too_little = memory.filter(|memory| !memory.fits());
    lines.extend(too_little.map(|memory| memory_line(memory, marks)));
    for (index, verdict) in checked.judgement.verdicts.iter().enumerate() {
        lines.push(verdict_line(verdict, checked, marks));
        if index == 0 {
            let why = [Some(arithmetic(checked)), expectation(checked), energy(checked)];
            lines.extend(why.iter().flatten().map(|line| indented(line)));
            lines.extend(for_each(checked, marks));
        }
        if matches!(verdict, Verdict::PossibleForMoe { .. }) {
            lines.extend(measured::moe_names(checked).map(|line| indented(&line)));
        }
    }
    let enough = memory.filter(|memory| memory.fits());
    lines.extend(enough.map(|memory| memory_line(memory, marks)));
    lines.push(String::new());
    lines.extend(measured::tables(checked, width));
    text::within(lines, width)
}

/// Weights and memory, where both are known.
pub(crate) fn memory(checked: &Checked<'_>) -> Option<Memory> {
    let fit = checked.judgement.fit?;
    let expected = checked.expected.filter(|_| checked.claim.file_gb.is_none());
    Some(Memory {
        weights_gb: expected.map_or(fit.weights_gb, |expected| expected.file_gb),
        memory_gb: fit.memory_gb,
        usable_gb: checked.usable_gb,
    })
}

fn indented(line: &str) -> String {
    format!("  {line}")
}

fn understood(checked: &Checked<'_>) -> Vec<Vec<String>> {
    let (claim, judgement) = (checked.claim, checked.judgement);
    let mut model = vec![size_words(claim)];
    model.push(match (&judgement.bits, judgement.bits_assumed) {
        (bits, true) => format!("{} assumed", bits.name),
        (bits, false) if bits.name.contains(|c: char| c.is_ascii_digit()) => bits.name.clone(),
        (bits, false) => format!("{}, taken as {} bits", bits.name, bits.nominal),
    });
    model.extend(claim.file_gb.map(|gb| format!("{} of weights", gigabytes(gb))));
    let mut machine: Vec<String> = Vec::new();
    machine.extend(claim.machine.as_ref().map(|name| match claim.boxes {
        1 => name.clone(),
        boxes => format!("{boxes} x {name}"),
    }));
    machine.push(format!("{} GB/s", figure(claim.bandwidth.gb_per_second)));
    machine.extend(claim.memory_gib.map(|gib| format!("{} GiB", figure(gib))));
    machine.extend(claim.watts.map(|watts| format!("{} W", figure(watts))));
    let row = |name: &str, words: String| vec![name.to_owned(), words];
    vec![
        row("claim", rate_words(claim)),
        row("model", model.join(", ")),
        row("machine", machine.join(", ")),
    ]
}

/// `50 to 150 tokens/s of 10 conversations at once`.
fn rate_words(claim: &Claim) -> String {
    let least = if claim.rate.vague { "at least " } else { "" };
    let (period, seconds) = match claim.rate.per {
        Period::Second => ("", 1.0),
        Period::Minute => (" a minute", 60.0),
        Period::Hour => (" an hour", 3600.0),
        Period::Day => (" a day", 86_400.0),
        Period::Month => (" a month", 86_400.0 * 30.4),
    };
    let per_second = format!("{} tokens/s", span(claim.rate.tps));
    let rate = if period.is_empty() {
        per_second
    } else {
        let tps = claim.rate.tps;
        let counted = Span { least: tps.least * seconds, most: tps.most * seconds };
        format!("{} tokens{period}, {per_second}", span(counted))
    };
    let streams = match (claim.streams.sharing, claim.streams.count) {
        (Sharing::Unsaid, None) => String::new(),
        (Sharing::Each, None | Some(0 | 1)) => " for one conversation".to_owned(),
        (Sharing::Each, Some(count)) => format!(" for each of {count} conversations at once"),
        (Sharing::Total, None) => " for all conversations together".to_owned(),
        (Sharing::Total | Sharing::Unsaid, Some(count)) => {
            format!(" for {count} conversations at once together")
        }
    };
    format!("{least}{rate}{streams}")
}

fn size_words(claim: &Claim) -> String {
    let (all, active) = (billions(claim.size.parameters), billions(claim.size.active));
    let words = match claim.size.kind {
        Kind::Dense if claim.model.is_some() => format!("{all} weights"),
        Kind::Dense => format!("{all} dense"),
        Kind::Moe => format!("{all} weights, of which a token passes {active}"),
        Kind::MoeOfUnknownActive => {
            format!("{all} with experts, how many a token passes is unsaid")
        }
        Kind::Unsaid => all,
    };
    match &claim.model {
        Some(name) => format!("{name}: {words}"),
        None => words,
    }
}

fn verdict_line(verdict: &Verdict, checked: &Checked<'_>, marks: Marks) -> String {
    match *verdict {
        Verdict::PossibleForOneStream { tps, .. } => possible(tps, checked, marks),
        Verdict::AboveTheBound { factor } => marks.no(&above(factor, checked)),
        Verdict::PossibleOnlyAsTotal { least, most } => as_total([least, most], checked, marks),
        Verdict::PossibleForMoe { active } => marks.yes(&for_moe(active, checked)),
    }
}

fn possible(tps: Span, checked: &Checked<'_>, marks: Marks) -> String {
    let file_tps = checked.judgement.file_bound.tps;
    let if_it_fitted = match memory(checked) {
        Some(memory) if !memory.fits() => ", if it fitted",
        Some(_) | None => "",
    };
    if tps.least > file_tps {
        return marks.doubt(&format!(
            "{} tokens/s for one conversation only if the weights are as small as the claim says",
            span(tps)
        ));
    }
    let most_likely = DOUBTFUL_SHARE * file_tps;
    if tps.least <= most_likely && tps.most > most_likely {
        return marks.yes(&format!(
            "up to {} tokens/s possible for one conversation{if_it_fitted}, more hardly",
            short(most_likely)
        ));
    }
    let percent = |tps: f64| format!("{} %", (100.0 * tps / file_tps).round());
    let share = if tps.least == tps.most {
        percent(tps.most)
    } else {
        format!("{} to {}", percent(tps.least), percent(tps.most.min(file_tps)))
    };
    let is_doubtful = tps.least > most_likely;
    let how = if is_doubtful { "hardly" } else { "possible" };
    let words = format!(
        "{} tokens/s {how} for one conversation{if_it_fitted}: {share} of what the memory allows",
        span(tps)
    );
    if is_doubtful { marks.doubt(&words) } else { marks.yes(&words) }
}

fn above(factor: Span, checked: &Checked<'_>) -> String {
    let claim = checked.claim;
    let is_total = claim.streams.sharing != Sharing::Each;
    let whom = match claim.streams.count.filter(|count| *count > 1 && is_total) {
        Some(count) => format!("{count} conversations at once: each would have"),
        None => "one conversation:".to_owned(),
    };
    if factor.least > 1.0 {
        return format!("not possible for {whom} {} times what the memory allows", span(factor));
    }
    format!(
        "not above {} tokens/s for {whom} up to {} times that",
        short(checked.judgement.bound.tps),
        short(factor.most)
    )
}

/// The ends of the part of a claim that one conversation cannot have, and which of them is left
/// out because it is no figure of the claim.
fn above_ends(checked: &Checked<'_>) -> (Option<f64>, f64) {
    let Span { least, most } = checked.claim.rate.tps;
    let is_said = least > checked.judgement.bound.tps && least < most;
    (is_said.then_some(least), most)
}

fn as_total([least, most]: [StreamsNeeded; 2], checked: &Checked<'_>, marks: Marks) -> String {
    let claim = checked.claim;
    let needed = |streams: StreamsNeeded| match streams.likely {
        Some(count) => format!("about {count}"),
        None if streams.ideal > STREAMS_MEASURED => format!("{} or more", streams.ideal),
        None => format!("more than {STREAMS_MEASURED}"),
    };
    let needs = match above_ends(checked) {
        (Some(lower), upper) if least != most => {
            let (lower, upper) = (short(lower), short(upper));
            format!("{} for {lower}, {} for {upper}", needed(least), needed(most))
        }
        (_, upper) if claim.rate.tps.least < upper => {
            format!("{} for {}", needed(most), short(upper))
        }
        _ => needed(most),
    };
    let Some(count) = claim.streams.count.filter(|count| *count > 1) else {
        let words = format!("as a total of conversations at once: {needs}");
        return match least.likely {
            Some(_) => marks.yes(&format!("possible {words}")),
            None => marks.doubt(&format!("perhaps {words}")),
        };
    };
    let whole = format!("as a total of {count} conversations at once");
    if let Some(each) = checked.expected.and_then(|expected| expected.each) {
        let words = format!("{whole}: {} are expected", each.times(count.into()).words());
        return marks.by(each.times(count.into()), claim.rate.tps, &words);
    }
    let is_dense = matches!(claim.size.kind, Kind::Dense | Kind::Unsaid);
    let is_enough = match least.likely {
        Some(likely) => likely <= count.into(),
        None => is_dense && u64::from(count) >= STREAMS_TO_SPARE * least.ideal,
    };
    if is_enough {
        marks.yes(&format!("possible {whole}: it takes {needs}"))
    } else {
        marks.doubt(&format!("perhaps {whole}: it takes {needs}"))
    }
}

fn for_moe(active: Span, checked: &Checked<'_>) -> String {
    let (least, most) = (billions(active.least), billions(active.most));
    let passes = match above_ends(checked) {
        (Some(_), upper) => format!("{most} ({least} for {})", short(upper)),
        (None, upper) if checked.claim.rate.tps.least < upper => {
            format!("{least} for {}", short(upper))
        }
        (None, _) => most,
    };
    match checked.claim.size.kind {
        Kind::MoeOfUnknownActive => format!("possible if a token passes at most {passes}"),
        Kind::Dense | Kind::Moe | Kind::Unsaid => {
            format!("possible for a mixture of experts of which a token passes at most {passes}")
        }
    }
}

/// What a claim for each of several conversations comes to.
fn for_each(checked: &Checked<'_>, marks: Marks) -> Option<String> {
    let (claim, expected) = (checked.claim, checked.expected);
    let count = claim.streams.count.filter(|count| *count > 1)?;
    if claim.streams.sharing != Sharing::Each {
        return None;
    }
    let whom = format!("for each of {count} at once");
    Some(match expected.and_then(|expected| expected.each) {
        Some(each) => {
            marks.by(each, claim.rate.tps, &format!("{whom}: {} are expected", each.words()))
        }
        None => {
            marks.doubt(&format!("{whom}: not judged without a machine and model of the table"))
        }
    })
}

/// Bytes of a token, and how often the memory reads so many in a second.
fn arithmetic(checked: &Checked<'_>) -> String {
    let (claim, judgement) = (checked.claim, checked.judgement);
    let Bound { read_gb, tps } = judgement.bound;
    let (all, active) = (billions(claim.size.parameters), billions(claim.size.active));
    let weights = match claim.size.kind {
        Kind::Moe => format!("{active} of {all}"),
        Kind::Dense | Kind::Unsaid => all,
        Kind::MoeOfUnknownActive => format!("all {all}"),
    };
    let how = match claim.file_gb {
        Some(_) => "by the claim".to_owned(),
        None => format!("at {} bits", judgement.bits.nominal),
    };
    let file = &judgement.file_bound;
    let real = if file.read_gb > 1.005 * read_gb {
        format!(" (real files {}: {})", gigabytes(file.read_gb), short(file.tps))
    } else {
        String::new()
    };
    let bandwidth = figure(claim.bandwidth.gb_per_second);
    format!(
        "{weights} {how}: {} a token, {bandwidth} GB/s allow {} tokens/s{real}",
        gigabytes(read_gb),
        short(tps)
    )
}

fn expectation(checked: &Checked<'_>) -> Option<String> {
    if let Some(alone) = checked.expected.and_then(|expected| expected.alone) {
        return Some(format!("expected: {}, nine times of ten in that range", alone.words()));
    }
    if !is_expected(checked) {
        return None;
    }
    let tps = checked.judgement.expected_tps;
    let boxes = checked.claim.boxes;
    let in_turn = if boxes > 1 {
        format!("; {} where they read in turn", short(tps / f64::from(boxes)))
    } else {
        String::new()
    };
    let tps = short(tps);
    Some(format!("expected: about {tps} tokens/s, some 70 % of the bound as usual{in_turn}"))
}

/// Whether the bound says what to expect: not of weights that are too large for the memory, nor
/// where nobody knows how many of them a token passes.
fn is_expected(checked: &Checked<'_>) -> bool {
    let fits = memory(checked).is_none_or(Memory::fits);
    fits && checked.claim.size.kind != Kind::MoeOfUnknownActive
}

fn memory_line(memory: Memory, marks: Marks) -> String {
    let (weights, all) = (gigabytes(memory.weights_gb), gigabytes(memory.memory_gb));
    let whole = match memory.usable_gb {
        Some(usable_gb) => format!("models can have {} of {all}", gigabytes(usable_gb)),
        None => format!("the memory is {all}"),
    };
    if memory.fits() {
        marks.yes(&format!("fits: {weights} of weights, {whole}"))
    } else if memory.weights_gb <= memory.memory_gb {
        marks.doubt(&format!("hardly fits: {weights} of weights, {whole}"))
    } else {
        marks.no(&format!("does not fit: {weights} of weights, {whole}"))
    }
}

fn energy(checked: &Checked<'_>) -> Option<String> {
    let watts = checked.claim.watts.filter(|_| is_expected(checked))?;
    let joules = watts / checked.judgement.expected_tps;
    Some(format!(
        "energy: {} W at the expected rate are {} J a token, {} kWh a million tokens",
        figure(watts),
        short(joules),
        short(joules / 3.6)
    ))
}

/// `70B`, `5.2B`, `350M`, `1.03T`.
fn billions(weights: f64) -> String {
    let (value, unit) = match weights {
        weights if weights >= 1e12 => (weights / 1e12, "T"),
        weights if weights >= 1e9 => (weights / 1e9, "B"),
        weights => (weights / 1e6, "M"),
    };
    let places = if value >= 99.5 { 1.0 } else { 10.0 };
    format!("{}{unit}", (value * places).round() / places)
}

fn gigabytes(gb: f64) -> String {
    if gb >= 99.5 {
        format!("{} GB", text::grouped(gb.round() as u64))
    } else if gb >= 0.95 {
        format!("{gb:.1} GB")
    } else {
        format!("{:.0} MB", gb * 1000.0)
    }
}

/// A rate, also of less than one in a second.
fn short(value: f64) -> String {
    if value < 0.95 { format!("{value:.2}") } else { rate(value) }
}

/// A figure as it was said: with a decimal only where it has one.
fn figure(value: f64) -> String {
    if value >= 1000.0 { rate(value) } else { ((value * 10.0).round() / 10.0).to_string() }
}

fn span(span: Span) -> String {
    let (least, most) = (short(span.least), short(span.most));
    if least == most { least } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests;
