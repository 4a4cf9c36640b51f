//! The eye on a running house: a thread that looks once a second at what the machine draws and
//! what the engines have done, so that joules have owners and rates a history.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::{Engine, Usage};
use meter::{Basis, Reading, Source};

use crate::draw::{self, DrawModel};
use crate::energy::{Drawn, Energy, Ledger, Stretch};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks that are kept: two minutes.
pub(crate) const MOMENTS_MAX: usize = 120;

/// What was done between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Length, seconds.
    pub seconds: f64,
    /// Rows of prompts computed.
    pub read_tokens: u64,
    /// Tokens made.
    pub made_tokens: u64,
    /// Share of the time in which something was computed, 0 to 1.
    pub busy_share: f64,
    /// Mean watts.
    pub watts: Option<f64>,
}

/// What the eye has seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) reading: Option<Reading>,
    pub(crate) sources: Vec<Source>,
    pub(crate) drawn: Vec<Drawn>,
    pub(crate) idle_watts: Option<f64>,
    pub(crate) load_watts: Option<f64>,
    pub(crate) moments: Vec<Moment>,
}

/// The eye; it closes when this is dropped.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    began: Instant,
    model: DrawModel,
}

#[derive(Default)]
struct State {
    is_closing: bool,
    /// What can be read is found.
    is_looking: bool,
    engines: Vec<Watched>,
    ledger: Ledger,
    reading: Option<Reading>,
    sources: Vec<Source>,
    moments: VecDeque<Moment>,
}

/// An engine, and what it had done at the last look.
struct Watched {
    engine: Weak<Engine>,
    read_tokens: u64,
    made_tokens: u64,
    busy: Duration,
}

impl Watch {
    /// Opens the eye. Without a thread to spare nothing is measured, and energy is modelled.
    pub(crate) fn open(model: DrawModel) -> Watch {
        let (state, wake) = (Mutex::new(State::default()), Condvar::new());
        let shared = Arc::new(Shared { state, wake, began: Instant::now(), model });
        let on_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hob-watch".to_owned())
            .spawn(move || look(&on_thread))
            .inspect_err(|error| tracing::warn!(%error, "nobody watches the machine"));
        Watch { shared, thread: thread.ok() }
    }

    /// Includes an engine from now on.
    pub(crate) fn include(&self, engine: &Arc<Engine>) {
        let busy = Duration::ZERO;
        let engine = Arc::downgrade(engine);
        self.shared.lock().engines.push(Watched { engine, read_tokens: 0, made_tokens: 0, busy });
    }

    /// What a request drew that ended at a moment.
    pub(crate) fn charge(&self, usage: &Usage, ended: Instant) -> Energy {
        let to = ended.saturating_duration_since(self.shared.began);
        let from = to.saturating_sub(usage.prefill + usage.decode);
        let charged = self.shared.lock().ledger.charge(from, to, usage.busy);
        charged.unwrap_or_else(|| Energy {
            joules: self.shared.model.load_watts * usage.busy.as_secs_f64(),
            basis: Basis::Modelled,
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.shared.lock();
        Seen {
            reading: state.reading.clone(),
            sources: state.sources.clone(),
            drawn: state.ledger.drawn().to_vec(),
            idle_watts: state.ledger.idle_watts(),
            load_watts: state.ledger.load_watts(),
            moments: state.moments.iter().copied().collect(),
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.shared.began.elapsed()
    }

    pub(crate) fn model(&self) -> &DrawModel {
        &self.shared.model
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closing = true;
        // Graphics that are slow to wake up hold nobody up: then the thread ends by itself.
        let is_looking = state.is_looking;
        drop(state);
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take().filter(|_| is_looking)
            && thread.join().is_err()
        {
            tracing::error!("the watching thread had panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What a look that panicked has left is figures to read, and answers go on without them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until the eye is closed. Finding out what can be read takes a moment where graphics have
/// to wake up, so it happens here and not while a model is loaded.
fn look(shared: &Shared) {
    let mut meter = draw::meter().with_model(shared.model.meter());
    let found_after = shared.began.elapsed();
    let mut state = shared.lock();
    state.sources = meter.sources().to_vec();
    state.is_looking = true;
    let mut before = found_after;
    loop {
        let waited = shared.wake.wait_timeout_while(state, INTERVAL, |state| !state.is_closing);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.is_closing {
            return;
        }
        drop(state);
        let now = shared.began.elapsed();
        let reading = meter.read(now.saturating_sub(found_after));
        state = shared.lock();
        state.take(reading, before, now);
        before = now;
    }
}

impl State {
    /// Takes in a look at the time between two moments.
    fn take(&mut self, reading: Reading, from: Duration, to: Duration) {
        let mut moment =
            Moment { seconds: to.saturating_sub(from).as_secs_f64(), ..Moment::default() };
        let mut busy = Duration::ZERO;
        self.engines.retain_mut(|watched| {
            let Some(engine) = watched.engine.upgrade() else { return false };
            let counts = engine.stats().counts;
            moment.read_tokens += counts.prefill_rows - watched.read_tokens;
            moment.made_tokens += counts.made_tokens - watched.made_tokens;
            busy += counts.busy.saturating_sub(watched.busy);
            watched.read_tokens = counts.prefill_rows;
            watched.made_tokens = counts.made_tokens;
            watched.busy = counts.busy;
            true
        });
        moment.watts = reading.power.watts;
        if moment.seconds > 0.0 {
            moment.busy_share = (busy.as_secs_f64() / moment.seconds).min(1.0);
        }
        if let Some(watts) = moment.watts {
            self.ledger.add(Stretch { from, to, watts, basis: reading.power.basis, busy });
        }
        if self.moments.len() == MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.moments.push_back(moment);
        self.reading = Some(reading);
    }
}

#[cfg(test)]
mod tests {
    use super::{MOMENTS_MAX, State};
    use meter::{Basis, Cpu, Memory, Power, Reading, Scope};
    use std::time::Duration;

    fn reading(watts: Option<f64>) -> Reading {
        Reading {
            at: Duration::ZERO,
            power: Power {
                watts,
                basis: watts.map_or(Basis::Unknown, |_| Basis::Sensor),
                scope: Scope::Machine,
                joules: None,
                joules_basis: Basis::Unknown,
                missed: Duration::ZERO,
                draws: Vec::new(),
            },
            devices: Vec::new(),
            cpu: Cpu::default(),
            memory: Memory::default(),
        }
    }

    #[test]
    fn looks_without_work_are_idle_and_the_oldest_are_forgotten() {
        let mut state = State::default();
        let second = |number: usize| Duration::from_secs(number as u64);
        for number in 0..MOMENTS_MAX + 3 {
            state.take(reading(Some(5.0)), second(number), second(number + 1));
        }
        assert_eq!(state.moments.len(), MOMENTS_MAX);
        let last = state.moments.back().unwrap();
        assert_eq!((last.seconds, last.watts, last.busy_share), (1.0, Some(5.0), 0.0));
        let drawn = state.ledger.drawn();
        assert_eq!((drawn.len(), drawn[0].basis), (1, Basis::Sensor));
        assert_eq!((drawn[0].requests_joules, drawn[0].idle_joules), (0.0, 5.0 * 123.0));
    }

    #[test]
    fn a_look_that_tells_no_watts_charges_nobody() {
        let mut state = State::default();
        state.take(reading(None), Duration::ZERO, Duration::from_secs(1));
        assert_eq!((state.moments.len(), state.ledger.drawn().len()), (1, 0));
        assert!(state.reading.is_some());
    }
}
