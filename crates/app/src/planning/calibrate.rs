//! Measures this machine within a minute, and what follows from it for models.

use std::time::{Duration, Instant};

use planner::{
    Calibration, Coefficients, Demand, Engine, KvType, Machine, Measured, Predictor, Subject,
};

use super::gauge::Gauge;
use super::here::VERSION;
use super::{CalibrationFile, CalibrationRow, disk, here, kernels};
use crate::{App, BenchCase, LoadOptions, ModelRef, Result, backends, bench, clock, draw};

/// What is measured of a model.
const CASES: [BenchCase; 3] = [
    BenchCase { n_prompt: 512, n_gen: 0, n_depth: 0, n_sequences: 1 },
    BenchCase { n_prompt: 0, n_gen: 32, n_depth: 0, n_sequences: 1 },
    BenchCase { n_prompt: 0, n_gen: 32, n_depth: 1024, n_sequences: 1 },
];
const REPETITIONS: u32 = 2;

/// The whole takes no longer than this, but for what was begun before.
const TIME_MAX: Duration = Duration::from_secs(55);
/// Formats that are less usual are begun until then.
const FORMATS_UNTIL: Duration = Duration::from_secs(35);
/// Rate at which files reach the memory and are prepared, taken before anything is known, bytes
/// per second.
const LOAD_RATE: f64 = 0.5e9;

impl App {
    /// What `hob calibrate` measured on this processor.
    ///
    /// # Errors
    /// `Machine` when the file is damaged, or of a newer hob.
    pub fn calibration(&self) -> Result<Option<CalibrationFile>> {
        here::read(self.home())
    }

    /// Measures this machine within a minute: bandwidth, arithmetic, kernels by format, the disk,
    /// and models of those given as far as there is time. `progress` hears what is done next, or
    /// not done and why.
    ///
    /// # Errors
    /// As [`App::load`]; `Machine` when the result cannot be written.
    pub fn calibrate(
        &self,
        models: &[ModelRef],
        progress: &mut dyn FnMut(&str),
    ) -> Result<CalibrationFile> {
        here::make_home(self.home())?;
        let started = Instant::now();
        let mut measuring = |what: &str| progress(&format!("measuring {what}"));
        measuring("bandwidth and arithmetic");
        let rates = bench::machine_rates()?;
        let backend = backends::choose(None, None)?;
        let until = started + FORMATS_UNTIL;
        let (mut gauge, gauged) = (Gauge::new(draw::meter()), Instant::now());
        let mut is_at_work = false;
        let kernels = kernels::measure(&backend, &rates.read_rates, until, &mut |what| {
            measuring(what);
            if std::mem::replace(&mut is_at_work, true) {
                gauge.look(gauged.elapsed());
            }
        })?;
        gauge.look(gauged.elapsed());
        let drawn = gauge.drawn();
        measuring("the disk");
        let (disk_gbs, why) = match disk::rate(models.iter().map(|model| model.path.as_path())) {
            Ok(rate) => (Some(rate / 1e9), None),
            Err(why) => (None, Some(why)),
        };
        if let Some(why) = why {
            progress(&format!("not measured: the disk: {why}"));
        }
        if let Err(why) = &drawn {
            progress(&format!("not measured: watts: {why}"));
        }
        let (load_watts, watts_by) = drawn.ok().map(|drawn| (drawn.watts, drawn.by)).unzip();
        let read_rate = rates.read_rates.last().map_or(0.0, |(_, rate)| *rate);
        let mut file = CalibrationFile {
            version: VERSION,
            measured_unix_s: clock::unix_time_s(),
            processor: here::processor(),
            threads: rates.threads,
            bandwidth_gbs: read_rate / 1e9,
            int8_tops: rates.int8_rate / 1e12,
            fp32_tflops: rates.float_rate / 1e12,
            disk_gbs,
            load_watts,
            watts_by,
            kernels: Some(kernels),
            rows: Vec::new(),
        };
        for model in models {
            let rows = self.run_model(model, &file, started + TIME_MAX, progress)?;
            file.rows.extend(rows);
        }
        here::write(self.home(), &file)?;
        Ok(file)
    }

    /// What a model does, in the cases that there is time for.
    fn run_model(
        &self,
        model: &ModelRef,
        file: &CalibrationFile,
        until: Instant,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<CalibrationRow>> {
        let subject = self.plan_model(&model.path.display().to_string())?.subject;
        let machine = here::machine(Some(file));
        let coefficients = Coefficients::embedded();
        let known = self.own_calibration(coefficients, &machine, file.clone());
        let predictor = Predictor::new(coefficients, &machine, Engine::Plain).calibrated(known);
        let mut rows = Vec::new();
        for case in CASES {
            let what = format!("{}, {}", model.name, case_name(case));
            let takes = Duration::from_secs_f64(seconds(&predictor, &subject, case).min(1e6));
            if Instant::now() + takes > until {
                let takes = takes.as_secs();
                progress(&format!("not measured: {what}: no time left for about {takes} s"));
                continue;
            }
            progress(&format!("measuring {what}"));
            let result = self.bench(model, &LoadOptions::default(), case, REPETITIONS)?;
            let best = result.samples_ts.iter().copied().fold(0.0, f64::max);
            rows.push(CalibrationRow {
                model: model.name.clone(),
                context: u64::from(case.n_depth),
                prompt: u64::from(case.n_prompt),
                prefill_tps: (case.n_prompt > 0).then_some(best),
                decode_tps: (case.n_gen > 0).then_some(best),
            });
        }
        Ok(rows)
    }

    pub(super) fn own_calibration(
        &self,
        coefficients: &Coefficients,
        machine: &Machine,
        file: CalibrationFile,
    ) -> Calibration {
        // A model that is gone since takes its measurements with it.
        let subject = |row: &CalibrationRow| Some(self.plan_model(&row.model).ok()?.subject);
        let known = file.rows.iter().filter_map(|row| Some((row, subject(row)?)));
        let demands: Vec<_> = known.map(|(row, subject)| (row, demand(&subject))).collect();
        let rows: Vec<Measured<'_>> = demands
            .iter()
            .map(|(row, demand)| Measured {
                demand,
                context: row.context,
                prompt: row.prompt,
                prefill_tps: row.prefill_tps,
                decode_tps: row.decode_tps,
            })
            .collect();
        match file.kernels {
            Some(kernels) => Calibration::from_kernels(kernels, &rows),
            None => Calibration::from_rows(coefficients, machine, Engine::Plain, &rows),
        }
    }
}

fn demand(subject: &Subject) -> Demand {
    let any = subject.offered()[0];
    Demand::new(&subject.facts, &subject.weights(any), KvType::F16)
}

/// About how long a case takes, loading and the warm-up with it.
fn seconds(predictor: &Predictor<'_>, subject: &Subject, case: BenchCase) -> f64 {
    let demand = demand(subject);
    let depth = u64::from(case.n_depth);
    let read_s = |cached: u64, new: u32| {
        let tps = predictor.prefill(&demand, cached, u64::from(new)).map(|estimate| estimate.tps);
        tps.map_or(0.0, |tps| f64::from(new) / tps)
    };
    let written_s = f64::from(case.n_gen) / predictor.decode(&demand, depth, 1).tps;
    let load_s = demand.dense_bytes + demand.expert_bytes;
    let passes = f64::from(REPETITIONS);
    load_s / LOAD_RATE
        + read_s(0, case.n_depth)
        + (1.0 + passes) * read_s(depth, case.n_prompt)
        + passes * written_s
}

fn case_name(case: BenchCase) -> String {
    let what = if case.n_prompt > 0 { "reading a prompt" } else { "writing" };
    match case.n_depth {
        0 => what.to_owned(),
        depth => format!("{what} at a depth of {depth} tokens"),
    }
}
