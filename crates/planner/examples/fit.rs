//! Fits the speed model to the table of measurements and prints what `docs/planner.md` quotes.
//!
//! `cargo run --release -p planner --example fit`, with `--write` to replace
//! `data/coefficients.toml` and `--check` to fail where that file or a promise is out of date.

#![expect(clippy::print_stdout, reason = "a report is for standard output")]

use std::path::Path;
use std::process::ExitCode;

use planner::fit::{Line, Study, Table, differences, samples, study, to_toml};

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/coefficients.toml");
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let study = study(&samples());
    print_report(&study);
    let fitted = match to_toml(&study.coefficients) {
        Ok(text) => text,
        Err(error) => return failed(&format!("coefficients: {error}")),
    };
    if has("--write")
        && let Err(error) = std::fs::write(&path, &fitted)
    {
        return failed(&format!("{}: {error}", path.display()));
    }
    if has("--check") {
        return check(&study, &path, &fitted);
    }
    ExitCode::SUCCESS
}

fn check(study: &Study, path: &Path, fitted: &str) -> ExitCode {
    let missed: Vec<&str> = study
        .targets
        .iter()
        .filter(|target| !target.is_met && !target.is_known_miss)
        .map(|target| target.name.as_str())
        .collect();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let different = match differences(fitted, &text) {
        Ok(different) => different,
        Err(error) => return failed(&format!("{}: {error}", path.display())),
    };
    if !missed.is_empty() {
        return failed(&format!("missed: {}", missed.join("; ")));
    }
    if !different.is_empty() {
        return failed(&format!(
            "{} is not what the fit gives; run with --write: {}",
            path.display(),
            different.join("; ")
        ));
    }
    println!("\nEvery promise holds, and the file is what the fit gives.");
    ExitCode::SUCCESS
}

fn failed(why: &str) -> ExitCode {
    println!("\nFAILED: {why}");
    ExitCode::FAILURE
}

fn print_report(study: &Study) {
    let (decode, prefill) = (&study.coefficients.decode, &study.coefficients.prefill);
    println!("### Writing: median error of {} measurements, percent\n", decode.rows);
    print_table(&study.decode);
    println!("\n### Writing: measurements held out for good, percent\n");
    print_table(&study.decode_holdout);
    println!("\n### Writing on an unseen machine, after some measurements of it\n");
    println!("| rows | median % | nine of ten % |\n|---|---|---|");
    for few in &study.few {
        println!("| {} | {:.1} | {:.0} |", few.rows, few.median, few.p90);
    }
    println!("\n### Reading: median error of {} measurements, percent\n", prefill.rows);
    print_table(&study.prefill);
    println!("\n### Reading: measurements held out for good, percent\n");
    print_table(&study.prefill_holdout);
    print_bands(study);
    print_batch(study);
    println!("\n### Refused: faster than bandwidth allows\n");
    for row in &study.refused {
        println!(
            "* data/measurements.csv, line {}: {} {} on {}: {:.1} tokens/s, and {:.1} are the bound",
            row.line,
            row.model,
            row.quantisation,
            row.machine.name,
            row.decode_tps.unwrap_or_default(),
            row.bound_tps()
        );
    }
    println!("\n### Promises\n\n| promise | found | |\n|---|---|---|");
    for target in &study.targets {
        let verdict = if target.is_met { "met" } else { "MISSED" };
        println!("| {} | {} | {verdict} |", target.name, target.found);
    }
}

fn print_table(table: &Table) {
    let heads: Vec<String> =
        table.columns.iter().map(|column| format!("{} {}", column.name, column.rows)).collect();
    println!("| estimate | {} | bias | nine of ten | within 25 % |", heads.join(" | "));
    println!("|{}", "---|".repeat(heads.len() + 4));
    for line in &table.lines {
        print_line(line);
    }
}

fn print_line(line: &Line) {
    let medians: Vec<String> = line
        .medians
        .iter()
        .map(|median| median.map_or_else(|| "-".to_owned(), |median| format!("{median:.1}")))
        .collect();
    let tail = line.tail.map_or_else(
        || " | | ".to_owned(),
        |tail| format!("{:+.1} | {:.0} | {:.0}", tail.bias, tail.p90, tail.within_25),
    );
    println!("| {} | {} | {tail} |", line.name, medians.join(" | "));
}

fn print_bands(study: &Study) {
    println!("\n### Ranges: measured speed over estimate\n");
    println!("| | known | range | processors | held, % |\n|---|---|---|---|---|");
    let decode = ("writing", study.coefficients.decode.bands);
    let prefill = ("reading", study.coefficients.prefill.bands);
    for (what, bands) in [decode, prefill] {
        for (tier, band) in [
            ("this machine, three rows", bands.calibrated),
            ("such a machine", bands.machine),
            ("its class", bands.class),
        ] {
            let processor = band.processor.map_or_else(
                || "as others".to_owned(),
                |range| format!("{:.2} to {:.2}", range.low, range.high),
            );
            let (low, high) = (band.usual.low, band.usual.high);
            println!(
                "| {what} | {tier} | {low:.2} to {high:.2} | {processor} | {:.1} |",
                band.covered
            );
        }
    }
}

fn print_batch(study: &Study) {
    let batch = study.coefficients.decode.batch;
    println!(
        "\n### Several conversations on one GB10: touched power {:.2}, compute {:.2}, grouping \
         {:.2}\n",
        batch.touched_power, batch.compute, batch.grouping
    );
    println!("Tokens per second of all together, estimated / measured.\n");
    for line in &study.batch {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(users, estimated, measured)| format!("{users}: {estimated:.0} / {measured:.0}"))
            .collect();
        println!("* {}: {}", line.model, points.join(", "));
    }
}
