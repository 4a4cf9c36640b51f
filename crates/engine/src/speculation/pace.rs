//! How long steps of so many rows take.

use super::ROWS_MAX;

/// Weight of the newest step.
const WEIGHT: f64 = 0.2;
/// What each further row is believed to cost of a step of one, until it is measured: weights are
/// read once for all rows, so it is little.
const ROW_COST: f64 = 0.04;

/// Seconds of steps in which all sequences answer, by rows.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// `[rows - 1]`; 0 where none was seen.
    seen: [f64; ROWS_MAX],
}

impl Pace {
    /// A step of so many rows took so long.
    pub(crate) fn note(&mut self, rows: usize, seconds: f64) {
        let Some(seen) = rows.checked_sub(1).and_then(|place| self.seen.get_mut(place)) else {
            return;
        };
        *seen = if *seen == 0.0 { seconds } else { *seen + WEIGHT * (seconds - *seen) };
    }

    /// Whether any step was seen.
    pub(crate) fn is_known(&self) -> bool {
        self.seen.iter().any(|seen| *seen > 0.0)
    }

    /// What a step of so many rows takes, seen or believed; in seconds once any was seen.
    pub(crate) fn seconds(&self, rows: usize) -> f64 {
        let mut known: Option<(usize, f64)> = None;
        for (place, seen) in self.seen.iter().enumerate().take(rows) {
            if *seen > 0.0 {
                // More rows never take less, whatever a noisy machine says.
                let least = known.map_or(0.0, |(_, seconds)| seconds);
                known = Some((place + 1, seen.max(least)));
            }
        }
        let (at, seconds) = known.unwrap_or((1, 1.0));
        seconds * (1.0 + ROW_COST * (rows - at) as f64)
    }
}
