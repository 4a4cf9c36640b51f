//! `hob fit`: one model on one machine, and what a machine is good for.

use app::planner::users::{AtOnce, Limit};
use app::planner::{
    Class, Fit, Machine, Memory, Pick, Pipeline, SizeRow, Speed, Task, Tier, Tuning, TuningMemory,
    Verdict,
};
use app::planning::{LoadRow, Loaded};

use super::units::{gib, positions, rate, seconds};
use crate::text::{self, Side};

/// Where figures of this machine come from.
pub(super) const HERE: &str = "the system";

/// Characters of the memory bar.
const BAR: u64 = 40;

/// Everything about one model on one machine.
pub(crate) fn verdict(verdict: &Verdict, width: usize) -> Vec<String> {
    let exactly = if verdict.weights_exact { "" } else { " (sizes of such files vary)" };
    let mut lines = vec![
        format!("{} {} on {}{exactly}", verdict.model, verdict.quant, verdict.machine),
        format!("{}: {}", word(verdict.verdict), reason(verdict)),
        String::new(),
    ];
    lines.extend(bar(&verdict.memory, width));
    lines.push(String::new());
    lines.extend(text::table_within(width, &[Side::Left, Side::Left], &rows(verdict), &[]));
    lines.push("  (ranges hold nine of ten measurements)".to_owned());
    text::within(lines, width)
}

/// What to take, in one line; `best` is the verdict of the mix that is recommended.
pub(crate) fn advice(best: &Verdict) -> String {
    let with = format!("{} with {} of context", best.quant, positions(best.context));
    match best.verdict {
        Fit::Well => format!("Recommended: {with}, the most bits that run well"),
        Fit::Runs => format!("Recommended: {with}; it fits, and writes slowly"),
        Fit::Partly => format!("Recommended: a smaller model; {with} is nearest, and slow"),
        Fit::No => format!("Recommended: another model or machine; not even {with} fits"),
    }
}

/// What to know besides, and what would make it surer.
pub(crate) fn hints(verdict: &Verdict, machine: &Machine, runs_kind: bool) -> Vec<String> {
    let mut hints = Vec::new();
    if !runs_kind {
        hints.push(
            "hob does not run models of this kind yet: figures are for llama.cpp and its like",
        );
    } else if machine.class != Class::Cpu {
        hints.push("hob runs on processors, as yet: figures are for the graphics, by llama.cpp");
    }
    let is_here = machine.source == HERE;
    if is_here && machine.bandwidth_measured_gbs.is_none() {
        hints.push("bandwidth is a guess: `hob calibrate` measures this machine within a minute");
    } else if is_here && verdict.evidence.yours == 0 {
        hints.push("rates rest on other machines: `hob calibrate` with a model here narrows them");
    }
    if hints.is_empty() {
        return Vec::new();
    }
    std::iter::once("").chain(hints).map(str::to_owned).collect()
}

fn word(fit: Fit) -> &'static str {
    match fit {
        Fit::No => "NO",
        Fit::Partly => "PARTLY ON THE CPU",
        Fit::Runs => "RUNS",
        Fit::Well => "RUNS WELL",
    }
}

fn reason(verdict: &Verdict) -> String {
    let memory = &verdict.memory;
    let (total, available) = (gib(memory.total_bytes), gib(memory.available_bytes));
    let context = positions(verdict.context);
    let people = match verdict.users {
        1 => String::new(),
        users => format!(" for {users} at once"),
    };
    match verdict.verdict {
        Fit::No => format!(
            "it takes {total} with {context} of context{people}, and {available} can be used"
        ),
        Fit::Partly => {
            let over = gib(memory.total_bytes - memory.available_bytes);
            format!("{total} with {context} of context{people}, {over} of it in the PC's memory")
        }
        Fit::Runs | Fit::Well => {
            format!("{total} of {available} with {context} of context{people}")
        }
    }
}

/// The kinds of memory with a sign each, and how long they are together.
pub(super) fn bar(memory: &Memory, width: usize) -> Vec<String> {
    let whole = memory.total_bytes.max(memory.available_bytes).max(1);
    let working = memory.activation_bytes + memory.runtime_bytes + memory.reserve_bytes;
    let kinds = [
        ('█', "weights", memory.weights_bytes),
        ('▓', "keys and values", memory.kv_bytes),
        ('▒', "states", memory.state_bytes),
        ('▞', "adapters", memory.adapter_bytes),
        ('▚', "projector", memory.projector_bytes),
        ('░', "the rest", working),
    ];
    let (mut line, mut sum, mut drawn) = (String::new(), 0, 0);
    for (sign, _, bytes) in kinds {
        sum += bytes;
        // At least one where there is anything, as long as there is room.
        let end = (sum * BAR).div_ceil(whole).max(drawn + u64::from(bytes > 0)).min(BAR);
        line.extend(std::iter::repeat_n(sign, (end - drawn) as usize));
        drawn = end;
    }
    line.extend(std::iter::repeat_n('·', (BAR - drawn) as usize));
    let has = |kind: &&(char, &str, u64)| kind.2 > 0;
    let legend = kinds.iter().filter(has);
    let mut lines = vec![format!("  {line}"), String::new()];
    for (sign, name, bytes) in legend {
        let item = format!("  {sign} {} {name}", gib(*bytes));
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() || last.chars().count() + item.chars().count() <= width {
            last.push_str(&item);
        } else {
            lines.push(item);
        }
    }
    lines
}

/// How many may share it, and what keeps one more out.
fn people(found: &AtOnce) -> String {
    let limit = match found.limit {
        Limit::Memory => "more have no room",
        Limit::FirstToken => "with more the first token comes late",
        Limit::Rate => "with more it writes slower than people read",
        Limit::Tried => "more were not tried",
    };
    match found.users {
        0 if found.limit == Limit::Memory => {
            "none: a conversation has no room beside the model".to_owned()
        }
        0 if found.limit == Limit::Rate => {
            "none: 95 in 100 answers are written slower than people read".to_owned()
        }
        0 => "none: the first token of 95 in 100 answers takes more than 5 s".to_owned(),
        users => format!("{users} who ask once a minute, first tokens within 5 s; {limit}"),
    }
}

/// What a load of it really took.
pub(crate) fn loaded(load: &LoadRow) -> String {
    let what = match load.what {
        Loaded::Everything if load.users > 1 => {
            format!("{} x {} of context", positions(load.context), load.users)
        }
        Loaded::Everything => format!("{} of context", positions(load.context)),
        Loaded::Weights => "weights alone".to_owned(),
    };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "  (reserved here on {}: {:.1} of {:.1} MiB promised, {what})",
        load.date(),
        mib(load.measured_bytes),
        mib(load.promised_bytes)
    )
}

fn rows(verdict: &Verdict) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), value]);
    if verdict.verdict > Fit::No {
        row("writes", writes(&verdict.speed, verdict));
        let depth = |depth: &app::planner::Depth| {
            format!("{} {}", positions(depth.context), rate(depth.decode_tps))
        };
        let depths: Vec<String> = verdict.depths.iter().map(depth).collect();
        row("at depth", format!("{} tokens/s", depths.join(" · ")));
        match (verdict.speed.prefill_tps, verdict.speed.prefill_low, verdict.speed.prefill_high) {
            (Some(tps), Some(low), Some(high)) => {
                let range = format!("{} to {}", rate(low), rate(high));
                let at = positions(verdict.context);
                row("reads", format!("{} tokens/s at {at} ({range})", rate(tps)));
            }
            _ => row("reads", "not known: the machine's arithmetic was not measured".to_owned()),
        }
        if !verdict.first_token.is_empty() {
            let wait = |first: &app::planner::FirstToken| {
                format!("{} {}", positions(first.prompt), seconds(first.seconds))
            };
            let waits: Vec<String> = verdict.first_token.iter().map(wait).collect();
            row("first token", format!("{} of prompt", waits.join(" · ")));
        }
        let at_once = match verdict.users_max {
            0 => "none at 10 tokens/s each".to_owned(),
            users => format!("{users} at 10 tokens/s and more each"),
        };
        row("at once", at_once);
        if let Some(found) = &verdict.people {
            row("people", people(found));
        }
        let [high, low] = verdict.load_s;
        row("loads in", format!("{} to {}", seconds(low), seconds(high)));
        if let Some(power) = verdict.power {
            row("power", power_words(&power));
        }
    }
    let token = gib_or_kib(verdict.kv_bytes_per_token);
    row(
        "context",
        format!(
            "{token} a token as {}, up to {} tokens",
            verdict.kv,
            text::grouped(verdict.context_max)
        ),
    );
    row("licence", verdict.licence.clone());
    row("measured", evidence(verdict));
    rows
}

fn gib_or_kib(bytes: u64) -> String {
    format!("{} KiB", text::grouped(bytes.div_ceil(1024)))
}

fn writes(speed: &Speed, verdict: &Verdict) -> String {
    let range = format!("{} to {}", rate(speed.decode_low), rate(speed.decode_high));
    let bound = format!("bound {}", rate(speed.bound_tps));
    let each = if verdict.users > 1 {
        format!(" each, {} together", rate(speed.total_tps))
    } else {
        String::new()
    };
    let at = positions(verdict.context);
    format!("{} tokens/s{each} at {at} ({range}; {bound})", rate(speed.decode_tps))
}

fn power_words(power: &app::planner::Power) -> String {
    let from = if power.measured { "measured" } else { "its rating" };
    format!(
        "{:.0} W ({from}), {} J a token, {} kWh a million tokens",
        power.watts,
        rate(power.joules_per_token),
        rate(power.wh_per_million_tokens / 1000.0)
    )
}

fn evidence(verdict: &Verdict) -> String {
    let evidence = &verdict.evidence;
    let tier = match evidence.tier {
        Tier::Calibrated => "yours decide",
        Tier::Machine => "this machine's decide",
        Tier::Class => "its class's decide",
    };
    format!(
        "{} of this machine, {} of its class, {} of yours; {tier}",
        evidence.of_machine, evidence.of_class, evidence.yours
    )
}

/// A promise and what became of it.
#[derive(serde::Serialize)]
pub(crate) struct Check {
    name: &'static str,
    /// Bytes, or tokens per second; 0 where nothing was.
    promised: f64,
    measured: Option<f64>,
    /// Least rate that was promised.
    #[serde(rename = "least")]
    bound: Option<f64>,
    #[serde(skip)]
    is_memory: bool,
    /// Whether the promise was not kept.
    #[serde(rename = "broken")]
    pub(crate) is_broken: bool,
}

impl Check {
    /// Memory: never more than was promised.
    pub(crate) fn at_most(name: &'static str, promised: f64, measured: Option<f64>) -> Check {
        let is_broken = measured.is_some_and(|measured| measured > promised);
        Check { name, promised, measured, bound: None, is_memory: true, is_broken }
    }

    /// A rate: never below the range that was promised.
    pub(crate) fn at_least(
        name: &'static str,
        (promised, low): (f64, Option<f64>),
        measured: f64,
    ) -> Check {
        let is_broken = low.is_some_and(|low| measured < low);
        Check { name, promised, measured: Some(measured), bound: low, is_memory: false, is_broken }
    }
}

/// A table of promises.
pub(crate) fn checks(checks: &[Check]) -> Vec<String> {
    let heading = ["", "promised", "measured", "off by", ""].map(str::to_owned).to_vec();
    let row = |check: &Check| {
        let number = |value: f64| {
            if check.is_memory {
                format!("{:.1} MiB", value / f64::from(1 << 20))
            } else {
                format!("{} tokens/s", rate(value))
            }
        };
        let known = check.promised > 0.0;
        let off = check.measured.filter(|_| known).map(|it| 100.0 * (it / check.promised - 1.0));
        let kept = match (check.is_broken, check.bound) {
            (true, Some(low)) => format!("BROKEN: at least {} were promised", rate(low)),
            (true, None) => "BROKEN: more than was promised".to_owned(),
            (false, _) => "kept".to_owned(),
        };
        vec![
            format!("  {}", check.name),
            if known { number(check.promised) } else { "nothing".to_owned() },
            check.measured.map_or_else(|| "not known".to_owned(), number),
            off.map_or_else(String::new, |off| format!("{off:+.1} %")),
            kept,
        ]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(checks.iter().map(row)).collect();
    text::table(&[Side::Left, Side::Right, Side::Right, Side::Right, Side::Left], &rows)
}

/// Every mix by several lengths of context: `verdicts[mix][context]`.
pub(crate) fn grid(verdicts: &[Vec<Verdict>], width: usize) -> Vec<String> {
    let contexts = verdicts.first().map_or(&[][..], Vec::as_slice);
    let mut heading = vec!["  quant".to_owned(), "weights".to_owned()];
    heading
        .extend(contexts.iter().map(|verdict| format!("{} context", positions(verdict.context))));
    let mut rows = vec![heading];
    for mix in verdicts {
        let Some(first) = mix.first() else { continue };
        let mut row = vec![format!("  {}", first.quant), gib(first.memory.weights_bytes)];
        row.extend(mix.iter().map(cell));
        rows.push(row);
    }
    let sides: Vec<Side> =
        [Side::Left, Side::Right].into_iter().chain(contexts.iter().map(|_| Side::Right)).collect();
    text::table_within(width, &sides, &rows, &[(1, "weights alone")])
}

/// `78.0 GiB 52 t/s`, or what is wrong.
fn cell(verdict: &Verdict) -> String {
    let total = gib(verdict.memory.total_bytes);
    let speed = rate(verdict.speed.decode_tps);
    match verdict.verdict {
        Fit::No => format!("{total} no"),
        Fit::Partly => format!("{total} partly {speed}/s"),
        Fit::Runs | Fit::Well => format!("{total} {speed}/s"),
    }
}

/// The table that people know, computed.
pub(crate) fn sizes(rows: &[SizeRow], width: usize) -> Vec<String> {
    let cell = |verdict: &Option<Verdict>| {
        verdict.as_ref().map_or_else(
            || "none of the table".to_owned(),
            |verdict| format!("{} {}/s", verdict.model, rate(verdict.speed.decode_tps)),
        )
    };
    let heading = ["  memory", "such as", "largest dense", "largest with experts"];
    let row = |row: &SizeRow| {
        let such = row.machine.also.first().unwrap_or(&row.machine.name).clone();
        vec![format!("  {} GiB", row.memory_gib), such, cell(&row.dense), cell(&row.experts)]
    };
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(row));
    let mut lines = vec!["What so much memory holds, in four bits with 8k of context:".to_owned()];
    lines.extend(text::table_within(width, &[Side::Left; 4], &table, &[(1, "such machines")]));
    lines
}

/// A pipeline that makes images, in every precision.
pub(crate) fn images(machine: &Machine, rows: &[&Pipeline], width: usize) -> Vec<String> {
    let available = machine.usable_bytes();
    let fits = |bytes: u64| {
        let word = if bytes <= available { "fits" } else { "does not fit" };
        format!("{} {word}", gib(bytes))
    };
    let row = |row: &&Pipeline| {
        let (whole, turns) = (fits(row.resident_bytes()), fits(row.staged_bytes()));
        vec![
            format!("  {}", row.name),
            row.precision.to_owned(),
            row.makes.to_owned(),
            whole,
            turns,
        ]
    };
    let heading = ["", "", "makes", "all in memory", "parts in turn"].map(str::to_owned).to_vec();
    let table: Vec<_> = std::iter::once(heading).chain(rows.iter().map(row)).collect();
    let mut lines = vec![format!("on {}: {} can be used", machine.name, gib(available))];
    lines.extend(text::table_within(width, &[Side::Left; 5], &table, &[(2, "what it makes")]));
    lines.push("  (hob itself does not make images yet)".to_owned());
    text::within(lines, width)
}

/// What learning takes on a machine, by the way of learning.
pub(crate) fn tuning(
    (model, sequence): (&str, u64),
    machine: &Machine,
    ways: &[(Tuning, TuningMemory)],
    width: usize,
) -> Vec<String> {
    let available = machine.usable_bytes();
    let row = |(way, memory): &(Tuning, TuningMemory)| {
        let fits = if memory.total_bytes <= available { "fits" } else { "does not fit" };
        vec![
            format!("  {}", way_words(*way)),
            gib(memory.total_bytes),
            gib(memory.model_bytes),
            gib(memory.learnt_bytes),
            gib(memory.activation_bytes),
            fits.to_owned(),
        ]
    };
    let heading = ["", "in all", "model", "learns", "activations", ""].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(ways.iter().map(row)).collect();
    let mut lines = vec![format!(
        "{model} learning from examples of {} tokens, one at a time, on {}: {} can be used",
        text::grouped(sequence),
        machine.name,
        gib(available)
    )];
    let right = Side::Right;
    let sides = [Side::Left, right, right, right, right, Side::Left];
    lines.extend(text::table_within(width, &sides, &rows, &[(4, "activations")]));
    lines.push(
        "  (published tables are met within a third; hob itself does not fine-tune yet)".to_owned(),
    );
    text::within(lines, width)
}

/// A way to learn, as people call it.
pub(super) fn way_words(way: Tuning) -> &'static str {
    match way {
        Tuning::Full => "every weight",
        Tuning::Lora { .. } => "LoRA",
        Tuning::Qlora { .. } => "QLoRA",
    }
}

/// What a machine is good for.
pub(crate) fn picks(machine: &Machine, picks: &[Pick], width: usize) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} of {:.0} GiB for models, {:.0} GB/s",
        machine.name,
        gib(machine.usable_bytes()),
        machine.memory_gib,
        machine.bandwidth_gbs
    )];
    for (task, title) in [
        (Task::Chat, "Talking (10 tokens/s and more, 8k of context)"),
        (Task::Agents, "Agents and code (32k of prompt within 30 s, 10 tokens/s)"),
        (Task::Documents, "Long documents (128k of context, 5 tokens/s)"),
    ] {
        lines.push(String::new());
        lines.push(format!("{title}:"));
        let of_task: Vec<&Pick> = picks.iter().filter(|pick| pick.task == task).collect();
        if of_task.is_empty() {
            lines.push("  no model of the table".to_owned());
            continue;
        }
        let row = |pick: &&Pick| {
            let verdict = &pick.verdict;
            vec![
                format!("  {}", verdict.model),
                verdict.quant.clone(),
                text::parameters(pick.parameters),
                gib(verdict.memory.total_bytes),
                format!("{} tokens/s", rate(verdict.speed.decode_tps)),
                verdict.licence.clone(),
            ]
        };
        let rows: Vec<_> = of_task.iter().map(row).collect();
        let right = Side::Right;
        let sides = [Side::Left, Side::Left, right, right, right, Side::Left];
        lines.extend(text::table_within(width, &sides, &rows, &[(2, "parameters")]));
    }
    lines
}

#[cfg(test)]
mod tests;
