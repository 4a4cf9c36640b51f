//! The requests of a picture: how many there are, how long they take, and those that ended last.

use server::{ModelView, RequestView};

use super::canvas::{Line, Paint};
use super::{entry, named, short_seconds, watt_hours};
use crate::text::grouped;

/// Requests that a picture without a given height shows.
const ROWS: usize = 10;

/// How many run, wait and have ended, and the mean times.
pub(super) fn summary(model: &ModelView, width: usize) -> Vec<Line> {
    let mut now = format!("{} of {} run", model.running, model.sequences_max);
    match model.waiting {
        0 => now.push_str(", none waits"),
        1 => now.push_str(&format!(", 1 waits for {}", short_seconds(model.oldest_wait_s))),
        count => {
            let longest = short_seconds(model.oldest_wait_s);
            now.push_str(&format!(", {count} wait, the first for {longest}"));
        }
    }
    let mut told = format!("{now}; {} ended", grouped(model.ended));
    let others =
        [("failed", model.failed), ("given up", model.cancelled), ("refused", model.refused)];
    for (what, count) in others {
        if count > 0 {
            told.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    let mut lines = entry("requests", &told, width);
    let means = [
        ("wait", model.queued_mean_s),
        ("first token", model.first_token_mean_s),
        ("each more", model.inter_token_mean_s),
    ];
    let means: Vec<String> = means
        .iter()
        .filter_map(|(what, mean)| mean.map(|mean| format!("{what} {}", short_seconds(mean))))
        .collect();
    if !means.is_empty() {
        lines.extend(entry("", &format!("mean: {}", means.join(", ")), width));
    }
    lines
}

/// Those that ended last, newest first, in `room` lines.
pub(super) fn table(models: &[ModelView], room: Option<usize>) -> Vec<Line> {
    let newest = models.iter().flat_map(|model| model.recent.iter().rev());
    // An empty line and two of headings stand above.
    let rows: Vec<&RequestView> =
        newest.take(room.map_or(ROWS, |room| room.saturating_sub(2))).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let heads = ["#", "read", "known", "wrote", "waited", "first", "in all", "tokens/s", "energy"];
    let mut lines =
        vec![Line::default(), line(&heads.map(str::to_owned), "ended by", Paint::Faint)];
    lines.extend(rows.into_iter().map(|row| line(&cells(row), &ended_by(row), Paint::Plain)));
    lines
}

fn cells(row: &RequestView) -> [String; 9] {
    let more = f64::from(row.made_tokens.saturating_sub(1));
    let speed = if row.decode_s > 0.0 && more > 0.0 {
        format!("{:.1}", more / row.decode_s)
    } else {
        "-".to_owned()
    };
    [
        row.number.to_string(),
        grouped(u64::from(row.prompt_tokens)),
        grouped(u64::from(row.cached_tokens)),
        grouped(u64::from(row.made_tokens)),
        short_seconds(row.queued_s),
        short_seconds(row.queued_s + row.prefill_s),
        short_seconds(row.queued_s + row.prefill_s + row.decode_s),
        speed,
        watt_hours(row.energy_wh),
    ]
}

fn ended_by(row: &RequestView) -> String {
    match row.ended_by.as_str() {
        "end_of_text" => "model".to_owned(),
        "stop" => "stop text".to_owned(),
        "length" => "length".to_owned(),
        "context" => "context".to_owned(),
        "cancelled" => "given up".to_owned(),
        other => other.to_owned(),
    }
}

/// Columns: numbers end below each other, the reason begins.
fn line(cells: &[String; 9], last: &str, paint: Paint) -> Line {
    let widths = [5, 7, 7, 7, 8, 8, 8, 9, 10];
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
    named("").fit(0).put(paint, &cells.collect::<String>()).put(paint, &format!("  {last}"))
}
