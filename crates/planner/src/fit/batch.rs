//! Several conversations at once: three numbers from the three series that were measured, all on
//! one GB10.

use super::sample::demand_of;
use crate::machine::Class;
use crate::names::find_model;
use crate::speed::{Batch, DecodeCoefficients, Demand, Load, Site, step_s};

/// The machine that they were measured on.
const SITE: Site = Site {
    class: Class::Gb10,
    is_early_apple: false,
    bandwidth_gbs: 273.0,
    fp16_tflops: Some(125.0),
};
/// Positions of each conversation; not published, so assumed.
const CONTEXT: u64 = 512;
/// How many conversations.
const USERS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// Model, type, and tokens per second of all conversations together (`docs/planner.md`).
const SERIES: [(&str, &str, [f64; 6]); 3] = [
    ("gpt-oss-120b", "MXFP4", [57.0, 60.0, 95.0, 147.0, 220.0, 313.0]),
    ("gpt-oss-20b", "MXFP4", [81.0, 95.0, 152.0, 254.0, 401.0, 615.0]),
    ("Qwen2.5-7B", "Q8_0", [29.0, 54.0, 104.0, 196.0, 335.0, 593.0]),
];

/// One model's series.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLine {
    /// The model.
    pub model: &'static str,
    /// Conversations, then tokens per second of all together: estimated, measured.
    pub points: Vec<(u32, f64, f64)>,
}

struct Series {
    model: &'static str,
    demand: Demand,
    measured: [f64; 6],
}

/// The numbers that come nearest, of a grid: there is too little to search finer.
///
/// # Panics
/// Where the models are not in the table.
pub(super) fn fit_batch(fitted: &DecodeCoefficients) -> (Batch, Vec<BatchLine>) {
    let series: Vec<Series> = SERIES.iter().map(Series::of).collect();
    let grid = (0..=15).flat_map(|power| {
        (-4..=12).flat_map(move |compute| {
            (0..=10).map(move |grouping| Batch {
                touched_power: 0.40 + 0.04 * f64::from(power),
                compute: (0.25 * f64::from(compute)).exp(),
                grouping: 1.0 + 0.1 * f64::from(grouping),
            })
        })
    });
    let tried = grid.map(|batch| {
        let coefficients = DecodeCoefficients { batch, ..fitted.clone() };
        let errors: f64 = series.iter().map(|series| series.error(&coefficients)).sum();
        (errors, batch)
    });
    let best = tried.min_by(|(a, _), (b, _)| a.total_cmp(b)).expect("the grid has points");
    let coefficients = DecodeCoefficients { batch: best.1, ..fitted.clone() };
    let lines = series.iter().map(|series| BatchLine {
        model: series.model,
        points: series.points(&coefficients).collect(),
    });
    (best.1, lines.collect())
}

impl Series {
    fn of((model, quantisation, measured): &(&'static str, &str, [f64; 6])) -> Series {
        let row = find_model(model).expect("the table has it");
        let (demand, _) = demand_of(row, quantisation).expect("the type is known");
        Series { model, demand, measured: *measured }
    }

    /// Estimates that are right for one conversation.
    fn points(&self, coefficients: &DecodeCoefficients) -> impl Iterator<Item = (u32, f64, f64)> {
        let step = |users, factor| {
            step_s(coefficients, &SITE, &self.demand, Load { context: CONTEXT, users }, factor)
        };
        let factor = 1.0 / (self.measured[0] * step(1, 1.0));
        USERS
            .into_iter()
            .zip(self.measured)
            .map(move |(users, measured)| (users, f64::from(users) / step(users, factor), measured))
    }

    /// Sum of errors in logarithms.
    fn error(&self, coefficients: &DecodeCoefficients) -> f64 {
        let several = self.points(coefficients).skip(1);
        several.map(|(_, estimated, measured)| (estimated / measured).ln().abs()).sum()
    }
}
