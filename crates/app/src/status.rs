//! How the house is: models, load, memory, energy. Plain figures for `/metrics`, `/hob/status` and
//! whoever else asks; never a word of a prompt or an answer.

use std::time::Duration;

use meter::{Reading, Source};

use crate::draw::DrawModel;
use crate::energy::{Drawn, Energy};
use crate::watch::{Moment, Seen};

/// Looks that rates are the mean of.
const RATE_MOMENTS: usize = 5;

/// The house at a moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Since the first model was loaded.
    pub uptime: Duration,
    /// Models in memory, in the order in which they were loaded.
    pub models: Vec<ModelStatus>,
    /// What the machine said last; none within the first second.
    pub reading: Option<Reading>,
    /// What tells energy here, and what does not.
    pub sources: Vec<Source>,
    /// What the machine is taken to draw where nothing tells it.
    pub draw_model: DrawModel,
    /// What was drawn, by how it is known.
    pub drawn: Vec<Drawn>,
    /// Mean watts of the last ten minutes without work.
    pub idle_watts: Option<f64>,
    /// Mean watts of the last ten minutes with work.
    pub load_watts: Option<f64>,
    /// The last two minutes, a second each, oldest first.
    pub moments: Vec<Moment>,
}

/// A model in memory.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// Its name, as it was asked for.
    pub name: String,
    /// What computes.
    pub backend: String,
    /// Tokens that a conversation may hold.
    pub context_len: u32,
    /// Conversations at once.
    pub sequences_max: u32,
    /// Time that the load took.
    pub load_time: Duration,
    /// What it holds of memory.
    pub memory: ModelMemory,
    /// The model that drafts for it.
    pub draft: Option<DraftStatus>,
    /// Load and counts.
    pub stats: engine::Stats,
    /// What each of the requests of `stats.recent` drew.
    pub recent_energy: Vec<Energy>,
}

/// A model that drafts for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftStatus {
    /// Its name, as it was asked for.
    pub name: String,
    /// What it holds of memory, beside the other.
    pub memory: ModelMemory,
}

/// Memory that a model holds, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelMemory {
    /// Weights as the backend keeps them.
    pub weights_bytes: u64,
    /// Keys and values of every page.
    pub kv_bytes: u64,
    /// Activations of a step.
    pub workspace_bytes: u64,
}

impl ModelMemory {
    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.weights_bytes + self.kv_bytes + self.workspace_bytes
    }
}

/// Tokens each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Of prompts.
    pub read_per_s: f64,
    /// Of answers.
    pub made_per_s: f64,
}

impl Status {
    pub(crate) fn new(
        uptime: Duration,
        models: Vec<ModelStatus>,
        draw_model: DrawModel,
        seen: Seen,
    ) -> Status {
        let Seen { reading, sources, drawn, idle_watts, load_watts, moments } = seen;
        Status {
            uptime,
            models,
            reading,
            sources,
            draw_model,
            drawn,
            idle_watts,
            load_watts,
            moments,
        }
    }

    /// Mean of the last five seconds or so.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let last = &self.moments[self.moments.len().saturating_sub(RATE_MOMENTS)..];
        let seconds: f64 = last.iter().map(|moment| moment.seconds).sum();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let sum = |of: fn(&Moment) -> u64| last.iter().map(of).sum::<u64>() as f64 / seconds;
        Rates {
            read_per_s: sum(|moment| moment.read_tokens),
            made_per_s: sum(|moment| moment.made_tokens),
        }
    }

    /// Requests of all models that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.models.iter().map(|model| model.stats.counts.ended.total()).sum()
    }

    /// Mean of a request that ended, joules; none before the first.
    #[must_use]
    pub fn joules_per_request(&self) -> Option<f64> {
        let joules: f64 = self.drawn.iter().map(|drawn| drawn.requests_joules).sum();
        let ended = self.ended();
        (ended > 0 && joules > 0.0).then(|| joules / ended as f64)
    }
}
