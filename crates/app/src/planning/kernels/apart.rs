//! What layers of two shapes take, taken apart: large ones are mostly bytes, small ones show what
//! comes with every layer, and with many rows how narrow layers are slower.

use planner::{FormatTimes, RowsTime, WalkTime};

use super::layers::{Shape, WIDE};
use super::{FEW_ROWS, PROMPT_ROWS, Times};

/// Nothing takes no time at all.
const LEAST_S: f64 = 1e-18;

/// Times of a format from layers of both shapes, and from wide ones with many rows where those were
/// timed.
///
/// One row: `t = layer's + bytes * a byte's` is two equations for each length of the walks.
pub(super) fn of(
    name: &str,
    (large, small): (&Times, &Times),
    wide_s: Option<f64>,
    head: f64,
) -> FormatTimes {
    let share = small.layer_bytes / large.layer_bytes;
    let walk = large.walk.iter().zip(&small.walk).map(|((bytes, large_s), (_, small_s))| {
        // A layer is no slower for being small.
        let layer_s = ((small_s - share * large_s) / (1.0 - share)).clamp(LEAST_S, 0.9 * large_s);
        WalkTime { bytes: *bytes, byte_s: (large_s - layer_s) / large.layer_bytes, layer_s }
    });
    let step_byte_s = large.step_byte_s();
    let weight_bytes = large.layer_bytes / large.shape.weights() as f64;
    let rows = |shape: &Shape, seconds: f64| {
        let weights = shape.weights() as f64;
        let rows_s = (seconds - weights * weight_bytes * step_byte_s).max(0.1 * seconds);
        RowsTime {
            width: shape.width as f64,
            flop_s: rows_s / (2.0 * weights * PROMPT_ROWS as f64),
        }
    };
    let timed = [(small.shape, Some(small.many_s)), (large.shape, Some(large.many_s))];
    let timed = timed.into_iter().chain([(&WIDE, wide_s)]);
    FormatTimes {
        name: name.to_owned(),
        walk: walk.collect(),
        head,
        step_byte_s,
        rows: timed.filter_map(|(shape, seconds)| Some(rows(shape, seconds?))).collect(),
    }
}

impl Times {
    /// Seconds of a byte of a step that reads a prompt, however few its rows.
    fn step_byte_s(&self) -> f64 {
        let (few, many) = (FEW_ROWS as f64, PROMPT_ROWS as f64);
        // Few rows are no cheaper than their share of many, and no step takes longer.
        let step_s = (self.few_s * many - self.many_s * few) / (many - few);
        step_s.min(0.9 * self.many_s).max(LEAST_S) / self.layer_bytes
    }
}

#[cfg(test)]
mod tests {
    use planner::FormatTimes;

    use super::super::layers::{LARGE, SMALL, Shape, WIDE};
    use super::{FEW_ROWS, PROMPT_ROWS, Times, of};

    /// Of a machine whose byte takes 40 ps with one row and 20 ps in every step, and whose layer
    /// takes 30 us besides.
    fn times(shape: &'static Shape, flop_s: f64) -> Times {
        let layer_bytes = shape.weights() as f64 / 2.0;
        let row_s = 2.0 * shape.weights() as f64 * flop_s;
        let step_s = |rows: usize| layer_bytes * 2e-11 + rows as f64 * row_s;
        let one_s = 30e-6 + layer_bytes * 4e-11;
        Times {
            shape,
            layer_bytes,
            walk: vec![(64e6, one_s), (128e6, 1.5 * one_s)],
            few_s: step_s(FEW_ROWS),
            many_s: step_s(PROMPT_ROWS),
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} and not {expected}");
    }

    #[test]
    fn two_shapes_tell_layers_from_bytes() {
        let (large, small) = (times(&LARGE, 5e-13), times(&SMALL, 8e-13));
        let found = of("Q4_K", (&large, &small), None, 1.1);
        near(found.walk[0].layer_s, 30e-6);
        near(found.walk[0].byte_s, 4e-11);
        near(found.walk[1].layer_s, 45e-6);
        near(found.walk[1].byte_s, 6e-11);
        near(found.step_byte_s, 2e-11);
        near(found.rows[0].flop_s, 8e-13);
        near(found.rows[1].flop_s, 5e-13);
        assert_eq!(found.rows.len(), 2);
        let wide_s = times(&WIDE, 4e-13).many_s;
        let found = of("Q4_K", (&large, &small), Some(wide_s), 1.1);
        near(found.rows[2].flop_s, 4e-13);
        assert!(found.rows.is_sorted_by(|a, b| a.width < b.width));
    }

    #[test]
    fn times_that_were_disturbed_stay_times() {
        let positive = |found: &FormatTimes| {
            let mut all = vec![found.step_byte_s];
            all.extend(found.walk.iter().flat_map(|time| [time.byte_s, time.layer_s]));
            all.extend(found.rows.iter().map(|time| time.flop_s));
            assert!(all.iter().all(|time| time.is_finite() && *time > 0.0), "{found:?}");
        };
        let known = || (times(&LARGE, 5e-13), times(&SMALL, 8e-13));
        let disturbed: [fn(&mut Times, &mut Times); 5] = [
            |_, small| small.walk[0].1 = 1e-9,
            |_, small| small.walk[0].1 = 1.0,
            |_, small| small.many_s = 1e-9,
            |large, _| large.few_s = 1e-9,
            |large, _| large.few_s = 1.0,
        ];
        for disturb in disturbed {
            let (mut large, mut small) = known();
            disturb(&mut large, &mut small);
            positive(&of("Q4_K", (&large, &small), Some(1e-3), 1.1));
        }
    }
}
