//! Finding what can be read, and reading it.

use std::path::Path;
use std::time::Duration;

use crate::balance::{self, Model, modelled};
use crate::battery;
use crate::draws::{Probe, Tally};
use crate::files::Files;
use crate::gpus::{Gpu, Gpus};
use crate::graphics::{self, Card};
use crate::hwmon;
use crate::memory;
use crate::processor::Processor;
use crate::rapl;
use crate::reading::{Basis, Domain, Draw, Power, Reading, Scope};
use crate::source::{Source, State};

/// What this machine can tell, and what it has told so far.
pub struct Meter {
    files: Files,
    gpus: Option<Box<dyn Gpus>>,
    model: Option<Model>,
    sources: Vec<Source>,
    tallies: Vec<Tally>,
    cards: Vec<Card>,
    processor: Processor,
    joules: Option<f64>,
    joules_basis: Basis,
    missed: Duration,
    last: Option<Reading>,
}

impl Meter {
    /// Finds what a machine can tell, and starts to count. `root` is `/`, or a folder that holds
    /// another machine's `proc` and `sys`; `gpus` is [`crate::Nvml::open`].
    #[must_use]
    pub fn find(root: &Path, gpus: Option<Box<dyn Gpus>>) -> Meter {
        Meter::look(Files::new(root), gpus)
    }

    pub(crate) fn look(files: Files, gpus: Option<Box<dyn Gpus>>) -> Meter {
        let chips = hwmon::chips(&files);
        let now = now(gpus.as_deref());
        let (mut tallies, mut sources) = batteries(&files);
        let (rapl, found_of_rapl) = rapl::find(&files);
        let has_processor = rapl.iter().any(|tally| tally.domain == Domain::Processor);
        let (sensors, found) = hwmon::find(&files, &chips, has_processor);
        // The order matters: of several that tell the whole machine's power the first counts.
        tallies.extend(sensors);
        sources.extend(found);
        tallies.extend(rapl);
        sources.extend(found_of_rapl);
        let (cards, found) = nvidia(gpus.as_deref(), &now);
        tallies.extend(cards);
        sources.extend(found);
        for tally in &mut tallies {
            tally.start(&files, &now);
        }
        Meter {
            cards: graphics::find(&files, &chips, &now, &tallies),
            processor: Processor::find(&files, &chips),
            files,
            gpus,
            model: None,
            sources,
            tallies,
            joules: None,
            joules_basis: Basis::Counter,
            missed: Duration::ZERO,
            last: None,
        }
    }

    /// With a model for times in which the processor's power cannot be read.
    #[must_use]
    pub fn with_model(self, model: Model) -> Meter {
        Meter { model: Some(model), ..self }
    }

    /// What tells energy here: what is read, and what was found but cannot be, with the reason and
    /// the remedy.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What the machine says now. `elapsed` is the time since [`Meter::find`]; where it has not
    /// grown, the reading before comes back. Counters of processors start anew after 65 kJ or more,
    /// which is two minutes at 500 W, so read at least once a minute.
    pub fn read(&mut self, elapsed: Duration) -> Reading {
        let before = self.last.as_ref().map_or(Duration::ZERO, |last| last.at);
        let time = elapsed.saturating_sub(before);
        if let Some(last) = self.last.as_ref().filter(|_| time.is_zero()) {
            return last.clone();
        }
        let gpus = now(self.gpus.as_deref());
        if !time.is_zero() {
            for tally in &mut self.tallies {
                tally.advance(&self.files, &gpus, time);
            }
        }
        let cpu = self.processor.read(&self.files);
        let seconds = time.as_secs_f64();
        let device = |card: &Card| card.read(&self.files, &gpus, &self.tallies, seconds);
        let devices: Vec<_> = self.cards.iter().map(device).collect();
        let busiest = devices.iter().filter_map(|device| device.utilisation);
        let busy = busiest.chain(cpu.utilisation).reduce(f64::max);
        let reading = Reading {
            at: elapsed,
            power: self.power(time, busy),
            devices,
            cpu,
            memory: memory::read(&self.files),
        };
        self.last = Some(reading.clone());
        reading
    }

    fn power(&mut self, time: Duration, busy: Option<f64>) -> Power {
        let seconds = time.as_secs_f64();
        let draws: Vec<_> =
            self.tallies.iter().map(|tally| (tally.domain, tally.interval)).collect();
        let model = self.model.zip(busy).filter(|_| !time.is_zero());
        let model = model.map(|(model, busy)| modelled(model, busy) * seconds);
        let sum = balance::sum(&draws, model);
        match &sum {
            Some(sum) => {
                self.joules = Some(self.joules.unwrap_or(0.0) + sum.joules);
                self.joules_basis = self.joules_basis.max(sum.basis);
            }
            None => self.missed += time,
        }
        let counted = sum.as_ref().map(|sum| sum.counted.as_slice()).unwrap_or_default();
        let draws = self.tallies.iter().enumerate();
        Power {
            watts: sum.as_ref().map(|sum| sum.joules / seconds),
            basis: sum.as_ref().map_or(Basis::Unknown, |sum| sum.basis),
            scope: sum.as_ref().map_or(Scope::Parts, |sum| sum.scope),
            joules: self.joules,
            joules_basis: self.joules.map_or(Basis::Unknown, |_| self.joules_basis),
            missed: self.missed,
            draws: draws
                .map(|(place, tally)| draw(tally, seconds, counted.contains(&place)))
                .collect(),
        }
    }
}

fn draw(tally: &Tally, seconds: f64, is_counted: bool) -> Draw {
    Draw {
        name: tally.name.clone(),
        domain: tally.domain,
        watts: tally.interval.map(|interval| interval.joules / seconds),
        joules: tally.joules,
        basis: tally.interval.map_or(Basis::Unknown, |interval| interval.basis),
        is_counted,
    }
}

fn now(gpus: Option<&dyn Gpus>) -> Vec<Gpu> {
    gpus.map(Gpus::now).unwrap_or_default()
}

fn batteries(files: &Files) -> (Vec<Tally>, Vec<Source>) {
    if !battery::is_there(files) {
        return (Vec::new(), Vec::new());
    }
    let name = "battery".to_owned();
    let source = Source {
        name: name.clone(),
        from: battery::SUPPLIES.to_owned(),
        basis: Basis::Sensor,
        state: State::Read,
    };
    (vec![Tally::new(name, Domain::Machine, Probe::Batteries)], vec![source])
}

/// Cards of NVIDIA's library, or why it says nothing.
fn nvidia(gpus: Option<&dyn Gpus>, now: &[Gpu]) -> (Vec<Tally>, Vec<Source>) {
    let (mut tallies, mut sources) = (Vec::new(), Vec::new());
    let Some(gpus) = gpus else { return (tallies, sources) };
    let from = "NVML".to_owned();
    if let Some(error) = gpus.driver().error {
        let fix = Some("hob doctor says what to do".to_owned());
        let state = State::Closed { why: error, fix };
        let name = "NVIDIA graphics".to_owned();
        sources.push(Source { name, from: from.clone(), basis: Basis::Counter, state });
    }
    for ((place, name), gpu) in graphics::names(now).into_iter().enumerate().zip(now) {
        let basis = if gpu.energy_mj.is_some() { Basis::Counter } else { Basis::Sensor };
        let state = if gpu.energy_mj.is_some() || gpu.power_w.is_some() {
            State::Read
        } else {
            State::Closed { why: "the card does not tell its power".to_owned(), fix: None }
        };
        tallies.push(Tally::new(name.clone(), Domain::Graphics, Probe::Gpu(place)));
        sources.push(Source { name, from: from.clone(), basis, state });
    }
    (tallies, sources)
}
