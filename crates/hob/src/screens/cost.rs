//! `hob cost`: first whether the machine can make the tokens, then what they cost and when the
//! machine has paid for itself, and last on which figures that hangs.

use app::planner::cost::{
    Answer, BreakEven, DAYS_PER_MONTH, End, Input, Question, Sensitivity, Serving, TokenPrice,
    WhyNever, residual_share,
};

use super::check::Marks;
use super::units::{positions, rate, seconds};
use crate::text::{self, Side};

/// Inputs that are named for what they change.
const SENSITIVITIES: usize = 3;

/// From this share of the day on, requests will meet.
const BUSY_DUTY: f64 = 0.5;

/// Break-even counts as late from here on: few machines are used for longer.
const LATE_MONTHS: f64 = 60.0;

/// Everything that a reckoning rests on, and what it comes to.
pub(crate) struct Report {
    /// What was reckoned with.
    pub(crate) question: Question,
    /// What it comes to.
    pub(crate) answer: Answer,
    /// Name of the machine.
    pub(crate) machine: String,
    /// Name of the model and its type.
    pub(crate) model: String,
    /// Why that model.
    pub(crate) choice: Choice,
    /// Tokens of a request and its answer.
    pub(crate) context: u64,
    /// Tokens per second that nine of ten batches lie between.
    pub(crate) batch_range_tps: Option<[f64; 2]>,
    /// Whether part of the model stays in the PC's memory.
    pub(crate) is_partly: bool,
    /// Whether price or watts are of a card, without the PC around it.
    pub(crate) is_card: bool,
    /// Where the price of a box is from.
    pub(crate) price: Said,
    /// Where its watts are from.
    pub(crate) watts: Said,
    /// Where the price of electricity is from.
    pub(crate) electricity: Said,
    /// Whether nobody said which cloud.
    pub(crate) is_usual_cloud: bool,
    /// Where the cloud's price is from.
    pub(crate) cloud: Said,
    /// The same against other prices.
    pub(crate) others: Vec<Other>,
}

/// Who chose the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The user.
    Asked,
    /// Nobody, and the usual one fits.
    Usual,
    /// Nobody, and it is the largest that talks fluently.
    Largest,
}

/// Who said a figure, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Name of a row of the table.
    pub(crate) name: Option<String>,
    /// When it was said; none where the source tells.
    pub(crate) date: Option<String>,
    /// Who said it.
    pub(crate) source: String,
    /// What else should be known.
    pub(crate) note: Option<String>,
}

/// The question with another price of the cloud.
pub(crate) struct Other {
    /// That price.
    pub(crate) price: TokenPrice,
    /// Dollars of a month.
    pub(crate) usd_per_month: f64,
    /// Break-even.
    pub(crate) break_even: BreakEven,
    /// Who said it.
    pub(crate) said: Said,
}

impl Said {
    /// By the user.
    pub(crate) fn yours() -> Said {
        Said::of("yours".to_owned())
    }

    /// By a source that says when.
    pub(crate) fn of(source: String) -> Said {
        Said { source, ..Said::default() }
    }

    /// By a row of the table.
    pub(crate) fn row([name, date, source]: [&str; 3], note: Option<&str>) -> Said {
        Said {
            name: Some(name.to_owned()),
            date: Some(date.to_owned()),
            source: source.to_owned(),
            note: note.map(str::to_owned),
        }
    }

    /// `us, 2026, docs/planner.md`.
    fn words(&self) -> String {
        let parts = [self.name.as_deref(), self.date.as_deref(), Some(self.source.as_str())];
        let words = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        match &self.note {
            Some(note) => format!("{words} ({note})"),
            None => words,
        }
    }
}

/// The whole screen.
pub(crate) fn lines(report: &Report, marks: Marks, width: usize) -> Vec<String> {
    let mut lines = title(report);
    lines.extend(can_serve(report, marks));
    lines.extend(notes(report).into_iter().map(|note| format!("  {note}")));
    lines.push(String::new());
    let sides = [Side::Left, Side::Left];
    lines.extend(text::table_within(width, &sides, &rows(report, marks), &[]));
    lines.push(String::new());
    if !is_unable(report) {
        lines.extend(sensitivities(report, width));
        lines.push(String::new());
        lines.extend(others(&report.others, width));
        lines.push(String::new());
    }
    lines.extend(sources(report, width));
    if !is_unable(report) {
        lines.push(String::new());
        lines.extend(reasons(report));
    }
    text::within(lines, width)
}

/// Whether there is nothing to compare.
fn is_unable(report: &Report) -> bool {
    matches!(report.answer.break_even, BreakEven::CannotServe { .. })
}

fn title(report: &Report) -> Vec<String> {
    let demand = &report.question.demand;
    let percent = |share: f64| format!("{} %", figure(100.0 * share));
    let cached = if demand.cached_share > 0.0 {
        format!(" ({} of that cached)", percent(demand.cached_share))
    } else {
        String::new()
    };
    let boxes = match report.question.purchase.boxes {
        1 => String::new(),
        boxes => format!("{boxes} x "),
    };
    vec![
        format!(
            "{} tokens a day, {} read{cached}, {} written",
            tokens(demand.tokens_per_day),
            percent(demand.input_share),
            percent(1.0 - demand.input_share)
        ),
        format!("{} on {boxes}{}", report.model, report.machine),
    ]
}

/// The first thing to know.
fn can_serve(report: &Report, marks: Marks) -> Vec<String> {
    let (question, answer) = (&report.question, &report.answer);
    let boxes = f64::from(question.purchase.boxes);
    let hours = |serving: &Serving| seconds(3600.0 * serving.computing_hours_per_day / boxes);
    let (who, each) = if boxes > 1.0 { ("they", " each") } else { ("it", "") };
    let alone = hours(&answer.single);
    let how = match answer.batched.as_ref().zip(question.rates.batch.as_ref()) {
        Some((serving, batch)) => format!(
            "{} a day{each} with {} at once, {alone} one after the other",
            hours(serving),
            batch.streams
        ),
        None => format!("{alone} a day{each}, one request after the other"),
    };
    let used = answer.batched.as_ref().unwrap_or(&answer.single);
    if used.can_serve() {
        return vec![marks.yes(&format!("{who} can make the tokens: {how}"))];
    }
    let most = tokens(used.tokens_per_month_max / DAYS_PER_MONTH);
    let hours_on = figure(question.hours_on_per_day);
    vec![
        marks.no(&format!("{who} cannot make the tokens: {how}")),
        format!(
            "  {most} a day in {hours_on} h are the most; it takes {} boxes",
            used.boxes_needed
        ),
    ]
}

fn notes(report: &Report) -> Vec<&'static str> {
    let answer = &report.answer;
    let used = answer.batched.as_ref().unwrap_or(&answer.single);
    let mut notes = Vec::new();
    match report.choice {
        Choice::Asked => {}
        Choice::Usual => notes.push("the usual model, as it fits: --model takes another"),
        Choice::Largest => {
            notes.push("the largest model that writes 10 tokens/s there: --model takes another");
        }
    }
    if report.is_usual_cloud {
        notes.push(
            "against a usual price: --cloud NAME, or --cloud-in and --cloud-out give another",
        );
    }
    if report.question.rates.batch.is_none() && used.duty > BUSY_DUTY {
        notes.push("one request at a time: --batch reckons with several");
    }
    if used.can_serve() && used.duty > BUSY_DUTY {
        notes.push("if they come evenly: at the busiest hours of a day some will wait");
    }
    if report.is_partly {
        notes.push("part of the model stays in the PC's memory, which makes it slow");
    }
    if report.is_card {
        notes.push("price and watts are of the card: the PC around it comes on top");
    }
    notes
}

fn rows(report: &Report, marks: Marks) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), value]);
    row("speed", speed(report));
    row("electricity", electricity(report));
    row("energy", energy(report));
    row("cloud", cloud(report));
    row("break-even", break_even(report, marks));
    if !is_unable(report) {
        row("a million", of_a_million(report));
        row(&format!("{} months", figure(report.question.months)), total(report));
    }
    rows
}

fn speed(report: &Report) -> String {
    let rates = &report.question.rates;
    let batch = match (&rates.batch, report.batch_range_tps) {
        (Some(batch), Some([low, high])) => format!(
            "; with {} at once {} ({} to {})",
            batch.streams,
            rate(batch.decode_tps),
            rate(low),
            rate(high)
        ),
        _ => String::new(),
    };
    format!(
        "reads {} tokens/s, writes {}{batch}; {} of context",
        rate(rates.prefill_tps),
        rate(rates.decode_tps),
        positions(report.context)
    )
}

fn electricity(report: &Report) -> String {
    let (electricity, watts) = (&report.answer.electricity, &report.question.watts);
    let batch = report.question.rates.batch.and_then(|batch| batch.load_watts);
    format!(
        "{} a month: {} computing at {} W, {} waiting at {} W",
        money(electricity.usd_per_month()),
        money(electricity.load_usd_per_month),
        figure(batch.unwrap_or(watts.load)),
        money(electricity.idle_usd_per_month),
        figure(watts.idle)
    )
}

/// Of written tokens: what reading takes is in the bill.
fn energy(report: &Report) -> String {
    let answer = &report.answer;
    let used = answer.batched.as_ref().unwrap_or(&answer.single).energy;
    let alone = answer.single.energy;
    let alone = match answer.batched {
        Some(_) => format!(
            " (alone {} J, {} kWh)",
            short(alone.joules_per_token),
            short(alone.kwh_per_mtok)
        ),
        None => String::new(),
    };
    format!(
        "{} J a token written, {} kWh a million{alone}",
        short(used.joules_per_token),
        short(used.kwh_per_mtok)
    )
}

fn cloud(report: &Report) -> String {
    let cloud = &report.question.cloud;
    let name = match (&report.cloud.name, &report.cloud.date) {
        (Some(name), Some(date)) => format!(" ({name}, {date})"),
        _ => " (yours)".to_owned(),
    };
    format!(
        "{} a month at {}{name}",
        money(report.answer.cloud_usd_per_month),
        prices(&cloud.price)
    )
}

fn break_even(report: &Report, marks: Marks) -> String {
    let (question, answer) = (&report.question, &report.answer);
    match answer.break_even {
        BreakEven::Months(at) => {
            let boxes = f64::from(question.purchase.boxes) * question.purchase.price_usd;
            let saved = answer.cloud_usd_per_month - answer.local.running_usd_per_month;
            let (after, saved) = (months(at), money(saved));
            let words = format!("after {after}: {} at {saved} saved a month", money(boxes));
            if boxes <= 0.0 {
                marks.yes(&format!("at once: it saves {saved} a month"))
            } else if at <= question.months {
                marks.yes(&words)
            } else if at <= LATE_MONTHS {
                marks.doubt(&words)
            } else {
                marks.no(&format!("{words}, which is no way to save money"))
            }
        }
        BreakEven::Never { why } => marks.no(&format!("never: {}", why_never(why))),
        BreakEven::CannotServe { boxes_needed } => marks
            .no(&format!("none, as the tokens cannot be made: reckon with --boxes {boxes_needed}")),
    }
}

fn why_never(why: WhyNever) -> String {
    match why {
        WhyNever::CloudIsCheaper { cloud_usd_per_month, running_usd_per_month } => format!(
            "the cloud takes {} a month, electricity here {}",
            money(cloud_usd_per_month),
            money(running_usd_per_month)
        ),
        WhyNever::PricesFallFirst { saved_usd } => {
            format!("prices fall first, and until then it saves {}", money(saved_usd))
        }
        WhyNever::TooSlow { months } => {
            format!("it would take {} years", text::grouped((months / 12.0).round() as u64))
        }
    }
}

fn of_a_million(report: &Report) -> String {
    let (question, answer) = (&report.question, &report.answer);
    let here = match (answer.local.electricity_usd_per_mtok, answer.local.total_usd_per_mtok) {
        (Some(electricity), Some(total)) => format!(
            "{} of electricity, {} with the box over {} months",
            money(electricity),
            money(total),
            figure(question.months)
        ),
        _ => "nothing is served".to_owned(),
    };
    let cloud = question.cloud.price.usd(1e6, &question.demand);
    format!("{here}; {} in the cloud", money(cloud))
}

fn total(report: &Report) -> String {
    let (question, answer) = (&report.question, &report.answer);
    let boxes = f64::from(question.purchase.boxes) * question.purchase.price_usd;
    let worth = boxes * residual_share(question.months);
    let sold = if worth >= 1.0 {
        format!(" (less perhaps {} for the used box)", money(worth))
    } else {
        String::new()
    };
    format!(
        "{} here{sold}, {} in the cloud",
        money(answer.local.total_usd),
        money(answer.cloud_total_usd)
    )
}

fn sensitivities(report: &Report, width: usize) -> Vec<String> {
    // Less than a hundredth is nothing.
    let found = report.answer.sensitivities.iter().filter(|found| found.effect > 0.01);
    let end = |end: &End| {
        let how = match end.factor {
            0.5 => "half".to_owned(),
            2.0 => "double".to_owned(),
            factor if factor < 1.0 => format!("{:.0} % less", 100.0 * (1.0 - factor)),
            factor => format!("{:.0} % more", 100.0 * (factor - 1.0)),
        };
        format!("{how}: {}", outcome(end.break_even))
    };
    let row = |found: &Sensitivity| {
        vec![format!("  {}", input(found.input)), end(&found.low), end(&found.high)]
    };
    let rows: Vec<_> = found.take(SENSITIVITIES).map(row).collect();
    if rows.is_empty() {
        let stays = outcome(report.answer.break_even);
        return vec![format!("half and double of each figure change nothing: it stays {stays}")];
    }
    let mut lines = vec!["what changes break-even most:".to_owned()];
    lines.extend(text::table_within(width, &[Side::Left; 3], &rows, &[]));
    lines
}

/// An input in words.
pub(crate) fn input(input: Input) -> &'static str {
    match input {
        Input::CloudPrice => "prices of the cloud",
        Input::ElectricityPrice => "price of electricity",
        Input::Tokens => "tokens a day",
        Input::BoxPrice => "price of the box",
        Input::Rate => "speed of the box",
    }
}

fn others(others: &[Other], width: usize) -> Vec<String> {
    let row = |other: &Other| {
        let date = other.said.date.as_deref().unwrap_or_default();
        vec![
            format!("  {}", other.said.name.as_deref().unwrap_or_default()),
            prices(&other.price),
            format!("{} a month", money(other.usd_per_month)),
            outcome(other.break_even),
            format!("{date}, {}", other.said.source),
        ]
    };
    let mut lines = vec!["break-even against other prices:".to_owned()];
    let sides = [Side::Left, Side::Left, Side::Right, Side::Right, Side::Left];
    let rows: Vec<_> = others.iter().map(row).collect();
    lines.extend(text::table_within(width, &sides, &rows, &[(1, "prices")]));
    lines
}

/// Who said which figure, and when.
fn sources(report: &Report, width: usize) -> Vec<String> {
    let question = &report.question;
    let row =
        |name: &str, value: String, said: &Said| vec![format!("  {name}"), value, said.words()];
    let watts = &question.watts;
    let rows = [
        row("box", money(question.purchase.price_usd), &report.price),
        row(
            "power",
            format!("{} W, {} W idle", figure(watts.load), figure(watts.idle)),
            &report.watts,
        ),
        row("kWh", price(question.electricity_usd_per_kwh), &report.electricity),
        row("cloud", prices(&question.cloud.price), &report.cloud),
    ];
    let mut lines = vec!["figures by:".to_owned()];
    lines.extend(text::table_within(width, &[Side::Left; 3], &rows, &[]));
    lines
}

fn reasons(report: &Report) -> Vec<String> {
    let reasons = "data stays here, no quota, works offline";
    let pays =
        matches!(report.answer.break_even, BreakEven::Months(at) if at <= report.question.months);
    let why = if pays { "besides" } else { "reasons to buy anyway" };
    vec![
        format!("{why}: {reasons}"),
        "prices are of tokens, not of answers: how good each model is was not reckoned".to_owned(),
    ]
}

fn outcome(break_even: BreakEven) -> String {
    match break_even {
        BreakEven::Months(at) => months(at),
        BreakEven::Never { .. } => "never".to_owned(),
        BreakEven::CannotServe { boxes_needed } => format!("takes {boxes_needed} boxes"),
    }
}

/// `12 days`, `2.9 months`, `10 years`.
fn months(count: f64) -> String {
    if count < 0.01 {
        "at once".to_owned()
    } else if count < 0.95 {
        format!("{:.0} days", (count * DAYS_PER_MONTH).max(1.0))
    } else if count < 36.0 {
        format!("{count:.1} months")
    } else if count < 119.5 {
        format!("{:.1} years", count / 12.0)
    } else {
        format!("{:.0} years", count / 12.0)
    }
}

/// `10M`, `98.7k`.
fn tokens(count: f64) -> String {
    let (value, unit) = match count {
        count if count >= 999_950.0 => (count / 1e6, "M"),
        count if count >= 999.5 => (count / 1e3, "k"),
        count => (count.round(), ""),
    };
    format!("{}{unit}", figure(value))
}

/// With a decimal only where there is one.
fn figure(value: f64) -> String {
    if value >= 1000.0 { rate(value) } else { ((value * 10.0).round() / 10.0).to_string() }
}

fn short(value: f64) -> String {
    if value < 0.95 { format!("{value:.2}") } else { rate(value) }
}

/// Dollars as precise as they are worth it: `$0.016`, `$4.93`, `$213`, `$4,699`.
fn money(usd: f64) -> String {
    if usd <= 0.0 {
        "$0".to_owned()
    } else if usd < 0.095 {
        format!("${usd:.3}")
    } else if usd < 9.995 {
        format!("${usd:.2}")
    } else {
        format!("${}", text::grouped(usd.round() as u64))
    }
}

/// A price as it was said: two decimals and more where it has more.
fn price(usd: f64) -> String {
    let cents = format!("{usd:.2}");
    let exact = format!("{usd:.4}");
    let exact = exact.trim_end_matches('0');
    format!("${}", if exact.len() > cents.len() { exact } else { &cents })
}

fn prices(found: &TokenPrice) -> String {
    let cached = found.cached_usd_per_mtok.map(|usd| format!(", {} cached", price(usd)));
    format!(
        "{} in{}, {} out",
        price(found.input_usd_per_mtok),
        cached.unwrap_or_default(),
        price(found.output_usd_per_mtok)
    )
}

#[cfg(test)]
pub(crate) mod tests;
