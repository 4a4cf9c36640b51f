//! Whose the joules are. The machine's watts are known for stretches of about a second; a request
//! is charged the time that it computed at the mean watts of the stretches it ran in, and what was
//! drawn while nobody computed is idle. `docs/metrics.md` says the rule.

use std::collections::VecDeque;
use std::time::Duration;

use meter::Basis;

/// Stretches that are kept: ten minutes.
const STRETCHES_MAX: usize = 600;

/// Energy, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Energy {
    /// Joules.
    pub joules: f64,
    /// How they are known.
    pub basis: Basis,
}

/// What was drawn since the house stands, by how it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// How it is known.
    pub basis: Basis,
    /// Joules while requests were computed.
    pub requests_joules: f64,
    /// Joules beside.
    pub idle_joules: f64,
}

/// A stretch of time of which the watts are known. Times are since the watch began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// Mean of the whole machine, or of what can be read of it.
    pub(crate) watts: f64,
    pub(crate) basis: Basis,
    /// Time that steps took in it; of several models together it may be longer than the stretch.
    pub(crate) busy: Duration,
}

impl Stretch {
    fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }

    /// Share of it in which something was computed.
    fn busy_share(&self) -> f64 {
        if self.seconds() > 0.0 { (self.busy.as_secs_f64() / self.seconds()).min(1.0) } else { 0.0 }
    }

    /// Watts for each second that a request computed: models that compute at once share them.
    fn price(&self) -> f64 {
        let busy = self.busy.as_secs_f64();
        if busy > self.seconds() { self.watts * self.seconds() / busy } else { self.watts }
    }

    fn overlap(&self, from: Duration, to: Duration) -> f64 {
        self.to.min(to).saturating_sub(self.from.max(from)).as_secs_f64()
    }
}

/// All that was drawn, and the last stretches.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stretches: VecDeque<Stretch>,
    drawn: Vec<Drawn>,
}

impl Ledger {
    pub(crate) fn add(&mut self, stretch: Stretch) {
        let joules = stretch.watts * stretch.seconds();
        let of_requests = joules * stretch.busy_share();
        let basis = stretch.basis;
        let place = self.drawn.iter().position(|drawn| drawn.basis == basis);
        let place = place.unwrap_or_else(|| {
            self.drawn.push(Drawn { basis, requests_joules: 0.0, idle_joules: 0.0 });
            self.drawn.len() - 1
        });
        self.drawn[place].requests_joules += of_requests;
        self.drawn[place].idle_joules += joules - of_requests;
        if self.stretches.len() == STRETCHES_MAX {
            self.stretches.pop_front();
        }
        self.stretches.push_back(stretch);
    }

    /// What a request drew that ran between two moments and computed for `busy` of it; none where
    /// nothing is known from before its end.
    pub(crate) fn charge(&self, from: Duration, to: Duration, busy: Duration) -> Option<Energy> {
        let known = || self.stretches.iter().filter(|stretch| stretch.from < to);
        let (mut joules, mut weight, mut basis) = (0.0, 0.0, Basis::Counter);
        for stretch in known() {
            let own = stretch.overlap(from, to) * stretch.busy_share();
            if own > 0.0 {
                joules += own * stretch.price();
                weight += own;
                basis = basis.max(stretch.basis);
            }
        }
        let seconds = busy.as_secs_f64();
        if weight > 0.0 {
            return Some(Energy { joules: joules / weight * seconds, basis });
        }
        // It began and ended since the last look: the newest stretch with work stands for it.
        let last = known().rev().find(|stretch| !stretch.busy.is_zero());
        let last = last.or_else(|| known().next_back())?;
        Some(Energy { joules: last.price() * seconds, basis: last.basis })
    }

    /// By basis, in the order in which they came up.
    pub(crate) fn drawn(&self) -> &[Drawn] {
        &self.drawn
    }

    /// Mean watts of the kept stretches in which nothing was computed.
    pub(crate) fn idle_watts(&self) -> Option<f64> {
        self.mean(|stretch| if stretch.busy.is_zero() { stretch.seconds() } else { 0.0 })
    }

    /// Mean watts of the kept stretches, as far as something was computed in them.
    pub(crate) fn load_watts(&self) -> Option<f64> {
        self.mean(|stretch| stretch.seconds() * stretch.busy_share())
    }

    fn mean(&self, weight: impl Fn(&Stretch) -> f64) -> Option<f64> {
        let total: f64 = self.stretches.iter().map(&weight).sum();
        let joules: f64 = self.stretches.iter().map(|s| weight(s) * s.watts).sum();
        (total > 0.0).then(|| joules / total)
    }
}

#[cfg(test)]
mod tests {
    use super::{Drawn, Energy, Ledger, STRETCHES_MAX, Stretch};
    use meter::Basis;
    use std::time::Duration;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn stretch(second: u64, watts: f64, busy: u64) -> Stretch {
        let (from, to) = (ms(1000 * second), ms(1000 * (second + 1)));
        Stretch { from, to, watts, basis: Basis::Counter, busy: ms(busy) }
    }

    fn ledger(stretches: &[Stretch]) -> Ledger {
        let mut ledger = Ledger::default();
        stretches.iter().for_each(|stretch| ledger.add(*stretch));
        ledger
    }

    #[track_caller]
    fn check(ledger: &Ledger, [from, to, busy]: [u64; 3], joules: f64) {
        let energy = ledger.charge(ms(from), ms(to), ms(busy)).unwrap();
        assert!((energy.joules - joules).abs() < 1e-9, "{energy:?}, not {joules}");
    }

    #[test]
    fn a_request_is_charged_its_time_at_the_watts_of_its_seconds() {
        let ledger = ledger(&[stretch(0, 10.0, 0), stretch(1, 30.0, 1000), stretch(2, 50.0, 1000)]);
        check(&ledger, [1000, 3000, 2000], 30.0 + 50.0);
        // Two requests in every step have half of its time each.
        check(&ledger, [1000, 3000, 1000], 40.0);
        // A part of a second weighs less.
        check(&ledger, [1500, 3000, 1500], 0.5 * 30.0 + 50.0);
    }

    #[test]
    fn what_requests_and_idleness_drew_is_all_that_was_drawn() {
        let ledger = ledger(&[stretch(0, 10.0, 0), stretch(1, 30.0, 250), stretch(2, 50.0, 1000)]);
        let drawn =
            Drawn { basis: Basis::Counter, requests_joules: 7.5 + 50.0, idle_joules: 10.0 + 22.5 };
        assert_eq!(ledger.drawn(), [drawn]);
        assert_eq!(ledger.idle_watts(), Some(10.0));
        assert_eq!(ledger.load_watts(), Some((0.25 * 30.0 + 50.0) / 1.25));
    }

    #[test]
    fn models_that_compute_at_once_share_the_watts() {
        let ledger = ledger(&[stretch(0, 60.0, 1500)]);
        check(&ledger, [0, 1000, 1000], 40.0);
        check(&ledger, [0, 1000, 500], 20.0);
        assert_eq!(ledger.drawn()[0].requests_joules, 60.0);
    }

    #[test]
    fn a_short_request_is_charged_at_the_last_watts_that_are_known() {
        assert_eq!(Ledger::default().charge(ms(0), ms(5), ms(5)), None);
        let ledger = ledger(&[stretch(0, 20.0, 500), stretch(1, 8.0, 0)]);
        check(&ledger, [2100, 2200, 100], 2.0);
        // Nothing of later times is used.
        assert_eq!(ledger.charge(ms(0), ms(0), ms(1)), None);
    }

    #[test]
    fn the_weakest_basis_is_told() {
        let sensor = Stretch { basis: Basis::Sensor, ..stretch(1, 10.0, 1000) };
        let ledger = ledger(&[stretch(0, 10.0, 1000), sensor]);
        let of = |from, to| ledger.charge(ms(from), ms(to), ms(100)).unwrap();
        assert_eq!(of(0, 1000), Energy { joules: 1.0, basis: Basis::Counter });
        assert_eq!(of(0, 2000).basis, Basis::Sensor);
        assert_eq!(ledger.drawn().len(), 2);
    }

    #[test]
    fn it_forgets_stretches_and_never_joules() {
        let mut ledger = Ledger::default();
        for second in 0..STRETCHES_MAX as u64 + 5 {
            ledger.add(stretch(second, 2.0, 1000));
        }
        assert_eq!(ledger.stretches.len(), STRETCHES_MAX);
        assert_eq!(ledger.drawn()[0].requests_joules, 2.0 * (STRETCHES_MAX as f64 + 5.0));
    }
}
