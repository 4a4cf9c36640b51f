//! Watts while all threads work, by whatever tells them: counters and sensors.

use std::time::Duration;

use meter::{Basis, Domain, Meter, Power, State};

/// A meter that is looked at while the machine works. What is drawn before the first look does not
/// count: sensors then tell of a machine that waits.
pub(super) struct Gauge {
    meter: Meter,
    last: Option<Duration>,
    known: Duration,
    joules: f64,
    basis: Basis,
    /// Names of what was taken together at the last look.
    by: Vec<String>,
}

/// What a machine drew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) watts: f64,
    /// How that is known and of what: `counter: package-0`.
    pub(super) by: String,
}

impl Gauge {
    pub(super) fn new(meter: Meter) -> Gauge {
        Gauge {
            meter,
            last: None,
            known: Duration::ZERO,
            joules: 0.0,
            basis: Basis::Counter,
            by: Vec::new(),
        }
    }

    /// Looks at the meter, so long after it was made.
    pub(super) fn look(&mut self, at: Duration) {
        let power = self.meter.read(at).power;
        let before = self.last.replace(at);
        let Some(time) = before.and_then(|before| at.checked_sub(before)) else { return };
        let Some(watts) = told_watts(&power) else { return };
        self.known += time;
        self.joules += watts * time.as_secs_f64();
        self.basis = self.basis.max(power.basis);
        let counted = power.draws.into_iter().filter(|draw| draw.is_counted);
        self.by = counted.map(|draw| draw.name).collect();
    }

    /// The mean between the looks.
    ///
    /// # Errors
    /// Why nothing is known, and what to do where something can be done.
    pub(super) fn drawn(&self) -> Result<Drawn, String> {
        if self.known.is_zero() {
            return Err(self.why());
        }
        Ok(Drawn {
            watts: self.joules / self.known.as_secs_f64(),
            by: format!("{}: {}", self.basis.name(), self.by.join(", ")),
        })
    }

    fn why(&self) -> String {
        let closed = self.meter.sources().iter().find_map(|source| match &source.state {
            State::Closed { why, fix } => Some((&source.name, why, fix)),
            State::Read | State::Spare => None,
        });
        match closed {
            Some((name, why, Some(fix))) => format!("{name}: {why}; {fix}"),
            Some((name, why, None)) => format!("{name}: {why}"),
            None => "nothing here tells what the processor draws".to_owned(),
        }
    }
}

/// Watts that hardware tells, with the processor's among them: a card's alone would hide what this
/// machine computes with.
fn told_watts(power: &Power) -> Option<f64> {
    let has_processor = power
        .draws
        .iter()
        .any(|draw| draw.is_counted && matches!(draw.domain, Domain::Machine | Domain::Processor));
    power.watts.filter(|_| has_processor && power.basis <= Basis::Sensor)
}

#[cfg(test)]
mod tests;
