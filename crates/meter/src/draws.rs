//! Something that draws power: where it is read, and what it came to since the start.

use std::time::Duration;

use crate::battery;
use crate::files::Files;
use crate::gpus::Gpu;
use crate::limits::WATTS_MAX;
use crate::reading::{Basis, Domain};

/// A draw with what was read of it last.
pub(crate) struct Tally {
    pub(crate) name: String,
    pub(crate) domain: Domain,
    pub(crate) probe: Probe,
    last: Sample,
    /// Since the read before; none when that is not known.
    pub(crate) interval: Option<Interval>,
    /// Since the start.
    pub(crate) joules: Option<f64>,
}

/// Where a draw is read.
pub(crate) enum Probe {
    /// Microjoules in a file.
    Energy {
        path: String,
        /// What the counter starts anew after.
        range_uj: Option<u64>,
    },
    /// Microwatts in a file.
    Power { path: String },
    /// What the batteries give.
    Batteries,
    /// A card that NVIDIA's library knows, by its place.
    Gpu(usize),
}

/// What was read at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) energy_uj: Option<u64>,
    pub(crate) watts: Option<f64>,
}

/// What a time came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) joules: f64,
    pub(crate) basis: Basis,
}

impl Tally {
    pub(crate) fn new(name: String, domain: Domain, probe: Probe) -> Tally {
        Tally { name, domain, probe, last: Sample::default(), interval: None, joules: None }
    }

    /// Reads where it starts.
    pub(crate) fn start(&mut self, files: &Files, gpus: &[Gpu]) {
        self.last = self.probe.sample(files, gpus);
    }

    pub(crate) fn advance(&mut self, files: &Files, gpus: &[Gpu], time: Duration) {
        let now = self.probe.sample(files, gpus);
        self.interval = interval(self.last, now, self.probe.range_uj(), time);
        self.last = now;
        if let Some(interval) = self.interval {
            self.joules = Some(self.joules.unwrap_or(0.0) + interval.joules);
        }
    }
}

impl Probe {
    fn sample(&self, files: &Files, gpus: &[Gpu]) -> Sample {
        match self {
            Probe::Energy { path, .. } | Probe::Power { path } if files.sleeps(path) => {
                Sample::default()
            }
            Probe::Energy { path, .. } => {
                Sample { energy_uj: files.number(path), ..Sample::default() }
            }
            Probe::Power { path } => {
                let watts = files.number::<u64>(path).map(|microwatts| microwatts as f64 / 1e6);
                Sample { watts: watts.and_then(plausible), ..Sample::default() }
            }
            Probe::Batteries => {
                Sample { watts: battery::watts(files).and_then(plausible), ..Sample::default() }
            }
            Probe::Gpu(place) => gpus.get(*place).map_or_else(Sample::default, |gpu| Sample {
                energy_uj: gpu.energy_mj.and_then(|energy| energy.checked_mul(1000)),
                watts: gpu.power_w.and_then(plausible),
            }),
        }
    }

    fn range_uj(&self) -> Option<u64> {
        if let Probe::Energy { range_uj, .. } = self { *range_uj } else { None }
    }
}

fn plausible(watts: f64) -> Option<f64> {
    (0.0..=WATTS_MAX).contains(&watts).then_some(watts)
}

/// By the counter; where it says nothing or nonsense, by the watts at both ends.
fn interval(
    before: Sample,
    now: Sample,
    range_uj: Option<u64>,
    time: Duration,
) -> Option<Interval> {
    let seconds = time.as_secs_f64();
    let counted = before.energy_uj.zip(now.energy_uj);
    let counted =
        counted.and_then(|(before, now)| Some(moved(before, now, range_uj)? as f64 / 1e6));
    if let Some(joules) = counted.filter(|joules| plausible(joules / seconds).is_some()) {
        return Some(Interval { joules, basis: Basis::Counter });
    }
    let (before, now) = before.watts.zip(now.watts)?;
    Some(Interval { joules: (before + now) / 2.0 * seconds, basis: Basis::Sensor })
}

/// What a counter moved by, once around its end at most.
fn moved(before: u64, now: u64, range: Option<u64>) -> Option<u64> {
    if now >= before {
        return Some(now - before);
    }
    range?.checked_sub(before)?.checked_add(now)
}
