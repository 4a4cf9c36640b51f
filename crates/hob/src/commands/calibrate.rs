//! `hob calibrate`: measures this machine, so that plans for it rest on it.

use std::io::{self, Write};

use app::planner::WalkTime;
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Row};
use crate::models;
use crate::screens::units::rate;
use crate::text::{self, Side};

pub(super) const ROW: Row = Row { name: "calibrate", place: 7, arguments: Args::augment_args, run };

/// Measure this machine, for `hob fit`
///
/// Bandwidth, arithmetic, kernels by format, the disk, and models that are here as far as there is
/// time: within a minute. The result stays in hob's folder and goes nowhere else.
#[derive(Debug, clap::Args)]
struct Args {
    /// Model to measure with; those that are here, at most two, when none is given
    #[arg(long, short)]
    model: Vec<String>,
}

/// Models that are measured where none is named.
const MODELS_MAX: usize = 2;

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let mut found = Vec::new();
    for name in &args.model {
        found.push(models::find_here(&context.app, name)?);
    }
    if args.model.is_empty() {
        for entry in context.app.list()?.into_iter().take(MODELS_MAX) {
            found.push(models::find_here(&context.app, &entry.name)?);
        }
    }
    let mut error = io::stderr().lock();
    let measured = context.app.calibrate(&found, &mut |step| {
        // Nobody is left to tell when this cannot be printed.
        let _ = writeln!(error, "{step}");
    })?;
    let mut rows = vec![
        vec!["processor".to_owned(), measured.processor],
        vec!["threads".to_owned(), measured.threads.to_string()],
        vec!["bandwidth".to_owned(), format!("{:.1} GB/s", measured.bandwidth_gbs)],
        vec!["bytes".to_owned(), format!("{:.2} TOPS", measured.int8_tops)],
        vec!["32-bit floats".to_owned(), format!("{:.2} TFLOPS", measured.fp32_tflops)],
    ];
    if let Some(disk) = measured.disk_gbs {
        rows.push(vec!["disk".to_owned(), format!("{disk:.2} GB/s")]);
    }
    if let Some(watts) = measured.load_watts {
        let by = measured.watts_by.map_or_else(String::new, |by| format!(" ({by})"));
        rows.push(vec!["power".to_owned(), format!("{watts:.1} W with all threads at work{by}")]);
    }
    for format in measured.kernels.iter().flat_map(|kernels| &kernels.format) {
        let gbs = |time: WalkTime| 1e-9 / time.byte_s;
        let (Some(near), Some(far)) = (format.walk.first(), format.walk.last()) else { continue };
        let tops = format.rows.last().map_or(0.0, |rows| 1e-12 / rows.flop_s);
        let (near, far) = (gbs(*near), gbs(*far));
        rows.push(vec![
            format.name.clone(),
            format!("{far:.1} GB/s, {near:.1} where caches help; prompts {tops:.2} TOPS"),
        ]);
    }
    for row in &measured.rows {
        let (verb, tps) = match (row.prefill_tps, row.decode_tps) {
            (Some(tps), _) => ("reads", tps),
            (None, tps) => ("writes", tps.unwrap_or(0.0)),
        };
        let at =
            if row.context > 0 { format!(" at {} tokens", row.context) } else { String::new() };
        rows.push(vec![row.model.clone(), format!("{verb} {} tokens/s{at}", rate(tps))]);
    }
    let mut out = io::stdout().lock();
    for line in text::table(&[Side::Left, Side::Left], &rows) {
        writeln!(out, "{line}")?;
    }
    if found.is_empty() {
        let hint = "no model is here to measure with: `hob pull smollm2`, then again";
        writeln!(out, "{hint}")?;
    }
    Ok(())
}
