//! The picture of `hob top`: what a running house says of itself, for terminals from 80 columns on.
//! Pure: a status in, lines out.

pub(crate) mod canvas;
mod requests;
#[cfg(test)]
mod tests;

use server::{DeviceView, EnergyView, HouseStatus, ModelView};

use self::canvas::{Line, Paint, bar, beside, spark};
use super::units::{gib, rate, seconds};
use crate::text::grouped;

/// Columns of the names at the left.
const NAME: usize = 10;
/// From this width on there are two columns.
const WIDE: usize = 112;
/// Columns of a bar.
const BAR: usize = 10;

/// What is drawn.
pub(crate) struct Picture<'a> {
    /// Whom it shows.
    pub(crate) url: &'a str,
    /// What was said last.
    pub(crate) status: &'a HouseStatus,
    /// Why nothing newer is known.
    pub(crate) fault: Option<&'a str>,
}

/// The picture in `width` columns and, where that is given, at most `height` lines.
pub(crate) fn frame(picture: &Picture<'_>, width: usize, height: Option<usize>) -> Vec<Line> {
    let status = picture.status;
    let mut lines = vec![title(picture)];
    let fault = wrapped(picture.fault.unwrap_or_default(), width);
    lines.extend(fault.iter().map(|line| Line::default().put(Paint::Alarm, line)));
    if width >= WIDE {
        let left = width / 2 - 1;
        let right = width - left - 2;
        lines.extend(beside(work(status, left), machine(status, right), left));
    } else {
        lines.extend(work(status, width));
        lines.extend(machine(status, width));
    }
    let room = height.map(|height| height.saturating_sub(lines.len()));
    lines.extend(requests::table(&status.models, room));
    if height == Some(0) {
        return Vec::new();
    }
    if let Some(height) = height.filter(|height| lines.len() > *height) {
        let hidden = lines.len() + 1 - height;
        lines.truncate(height.saturating_sub(1));
        let more = format!("… {hidden} more lines: make the window higher");
        lines.push(Line::default().put(Paint::Faint, &more));
    }
    lines
        .into_iter()
        .map(|line| if line.width() > width { line.fit(width) } else { line })
        .collect()
}

fn title(picture: &Picture<'_>) -> Line {
    let HouseStatus { uptime_s, version, .. } = picture.status;
    Line::default()
        .put(Paint::Strong, "hob top")
        .put(Paint::Plain, &format!("  {}", picture.url))
        .put(Paint::Faint, &format!("  hob {version}, up {}", seconds(*uptime_s)))
}

/// What is done: speed, requests, cache, memory.
fn work(status: &HouseStatus, width: usize) -> Vec<Line> {
    let history = |of: fn(&server::MomentView) -> f64| -> Vec<f64> {
        status.history.iter().map(of).collect()
    };
    let mut lines = vec![
        speed("writes", status.made_per_s, &history(|moment| moment.made_per_s), width),
        speed("reads", status.read_per_s, &history(|moment| moment.read_per_s), width),
    ];
    if status.models.is_empty() {
        lines.extend(entry("models", "none is loaded", width));
    }
    for model in &status.models {
        lines.extend(requests::summary(model, width));
        lines.push(cache(model));
        lines.extend(entry("memory", &memory(model), width));
    }
    let memory = &status.memory;
    let mut told = Vec::new();
    told.extend(memory.process_bytes.map(|bytes| format!("hob holds {}", gib(bytes))));
    if let (Some(total), Some(free)) = (memory.total_bytes, memory.available_bytes) {
        told.push(format!("{} of {} are free", gib(free), gib(total)));
    }
    if !told.is_empty() {
        lines.extend(entry("", &told.join("; "), width));
    }
    lines
}

fn speed(name: &str, now: f64, history: &[f64], width: usize) -> Line {
    let peak = history.iter().copied().fold(0.0, f64::max);
    let peak = format!("  peak {:>5}", rate(peak));
    let figure = format!("{:>7} tokens/s  ", rate(now));
    let room = width.saturating_sub(NAME + figure.len() + peak.len());
    named(name)
        .put(Paint::Strong, &figure)
        .put(Paint::Bar, &spark(history, room))
        .put(Paint::Faint, &peak)
}

fn cache(model: &ModelView) -> Line {
    let pages = model.pages_used + model.pages_cached + model.pages_free;
    let share = |count: u32| f64::from(count) / f64::from(pages.max(1));
    let percent = |count: u32| (100.0 * share(count)).round();
    let (used, cached) = (percent(model.pages_used), percent(model.pages_cached));
    named("KV cache").put(Paint::Bar, &bar(share(model.pages_used), BAR)).put(
        Paint::Plain,
        &format!("  {used} % in use, {cached} % kept, {} pages", grouped(u64::from(pages))),
    )
}

fn memory(model: &ModelView) -> String {
    let ModelView { name, weights_bytes, kv_bytes, workspace_bytes, draft_bytes, .. } = model;
    let draft = model.draft_model.as_ref();
    let draft = draft.map(|draft| format!(", draft model {draft} {}", gib(*draft_bytes)));
    format!(
        "{name} {}: weights {}, KV cache {}, a step {}{}",
        gib(weights_bytes + kv_bytes + workspace_bytes + draft_bytes),
        gib(*weights_bytes),
        gib(*kv_bytes),
        gib(*workspace_bytes),
        draft.unwrap_or_default()
    )
}

/// What it costs: processor, graphics, watts.
fn machine(status: &HouseStatus, width: usize) -> Vec<Line> {
    let processor = &status.processor;
    let mut facts = Vec::new();
    facts.extend(processor.temperature_c.map(|celsius| format!("{celsius:.0} °C")));
    facts.extend(processor.frequency_mhz.map(|mhz| format!("{:.1} GHz", mhz / 1000.0)));
    let slowed = processor.is_throttled.map(|slowed| match slowed {
        true => (Paint::Warning, "slowed by heat".to_owned()),
        false => (Paint::Plain, "not throttled".to_owned()),
    });
    let mut lines = device("processor", processor.utilisation, &facts, (slowed, width));
    for graphics in &status.devices {
        let slowed = graphics.throttled_by.as_ref().map(|reasons| slowed_by(reasons));
        let facts = device_facts(graphics);
        lines.extend(device("graphics", graphics.utilisation, &facts, (slowed, width)));
        lines.extend(entry("", &device_line(graphics), width));
    }
    lines.extend(energy(&status.energy, status, width));
    lines
}

fn device(
    name: &str,
    utilisation: Option<f64>,
    facts: &[String],
    (slowed, width): (Option<(Paint, String)>, usize),
) -> Vec<Line> {
    let line = match utilisation {
        Some(share) => named(name)
            .put(Paint::Bar, &bar(share, BAR))
            .put(Paint::Plain, &format!(" {:>3.0} %", 100.0 * share)),
        None => named(name).put(Paint::Faint, "use not known"),
    };
    let line = facts.iter().fold(line, |line, fact| line.put(Paint::Plain, &format!("  {fact}")));
    let (paint, words) = slowed.unwrap_or((Paint::Faint, "throttling not known".to_owned()));
    if line.width() + 2 + words.chars().count() <= width {
        vec![line.put(Paint::Plain, "  ").put(paint, &words)]
    } else {
        vec![line, named("").put(paint, &words)]
    }
}

fn device_facts(device: &DeviceView) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(device.temperature_c.map(|celsius| format!("{celsius:.0} °C")));
    facts.extend(device.watts.map(|watts| match device.power_limit_w {
        Some(limit) => format!("{watts:.0} of {limit:.0} W"),
        None => format!("{watts:.0} W"),
    }));
    facts
}

fn device_line(device: &DeviceView) -> String {
    match (device.memory_used_bytes, device.memory_total_bytes) {
        (Some(used), Some(total)) => {
            format!("{}, {} of {} in use", device.name, gib(used), gib(total))
        }
        _ => device.name.clone(),
    }
}

/// NVIDIA's names in words; one that is not known stands as it is.
fn slowed_by(reasons: &[String]) -> (Paint, String) {
    if reasons.is_empty() {
        return (Paint::Plain, "not throttled".to_owned());
    }
    let mut words: Vec<&str> = Vec::new();
    for reason in reasons {
        let word = if reason.contains("thermal") {
            "heat"
        } else if reason.contains("power") {
            "its power limit"
        } else if reason.contains("clocks_setting") || reason.contains("clock_setting") {
            "a setting"
        } else {
            reason
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    (Paint::Warning, format!("slowed by {}", words.join(" and ")))
}

fn energy(energy: &EnergyView, status: &HouseStatus, width: usize) -> Vec<Line> {
    let watts = |watts: Option<f64>| watts.map_or("?".to_owned(), |watts| format!("{watts:.1}"));
    let history: Vec<f64> =
        status.history.iter().map(|moment| moment.watts.unwrap_or(0.0)).collect();
    let figure = format!("{:>7} W  ", watts(energy.watts));
    let room = width.saturating_sub(NAME + figure.len());
    let power = named("power")
        .put(Paint::Strong, &figure)
        .put(Paint::Bar, &spark(&history, room.min(history.len())));
    let mut lines = vec![power];
    lines.extend(entry("", &basis(energy), width));
    let means = format!(
        "idle {} W, at work {} W (last 10 minutes)",
        watts(energy.idle_watts),
        watts(energy.load_watts)
    );
    lines.extend(entry("energy", &means, width));
    let each = match energy.wh_per_1000_requests {
        Some(wh) => {
            let (one, all) = (watt_hours(wh / 1000.0), watt_hours(wh));
            format!("a request {one}, 1000 of them {all}")
        }
        None => "no request has ended yet".to_owned(),
    };
    let all = (watt_hours(energy.requests_wh), watt_hours(energy.idle_wh));
    lines.extend(entry("", &format!("{each}; all so far {}, and {} idle", all.0, all.1), width));
    for closed in &energy.closed {
        lines.extend(entry("", &format!("not read: {closed}"), width));
    }
    lines
}

/// How the watts are known, plainly.
fn basis(energy: &EnergyView) -> String {
    let EnergyView { model_idle_watts, model_load_watts, model_source, .. } = energy;
    let of = match energy.scope.as_str() {
        "parts" => format!("of {} alone", energy.parts.join(" and ")),
        _ => "of the whole machine".to_owned(),
    };
    match energy.basis.as_str() {
        "counter" => format!("counted by the hardware, {of}"),
        "sensor" => format!("read from sensors each second, {of}"),
        "modelled" => format!(
            "modelled, not measured: {model_idle_watts:.0} to {model_load_watts:.0} W by how busy \
             the processor is ({model_source})"
        ),
        _ => "not known yet".to_owned(),
    }
}

/// `12.3 mWh`, `0.42 Wh`, `1.20 kWh`.
fn watt_hours(wh: f64) -> String {
    match wh {
        wh if wh < 0.0995e-3 => format!("{:.1} µWh", wh * 1e6),
        wh if wh < 0.0995 => format!("{:.1} mWh", wh * 1e3),
        wh if wh < 999.5 => format!("{wh:.2} Wh"),
        wh => format!("{:.2} kWh", wh / 1e3),
    }
}

/// `21 ms` or as [`seconds`] writes it.
fn short_seconds(time: f64) -> String {
    if time < 0.9995 { format!("{:.0} ms", time * 1e3) } else { seconds(time) }
}

fn named(name: &str) -> Line {
    Line::default().put(Paint::Faint, &format!("{name:<NAME$}"))
}

/// A name and a text, in as many lines as it takes.
fn entry(name: &str, text: &str, width: usize) -> Vec<Line> {
    let lines = wrapped(text, width.saturating_sub(NAME));
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(lines).map(|(name, line)| named(name).put(Paint::Plain, &line)).collect()
}

/// A text in lines of `width`, broken between words; at least one.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let grown = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && grown > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
