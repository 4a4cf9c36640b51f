//! What is asked of [`super::cost`], with units, and which values make sense.

use super::{DAYS_PER_MONTH, TOKENS_PER_MTOK};

/// Everything that decides what tokens cost. Money is US dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Tokens that are needed.
    pub demand: Demand,
    /// How fast one box is.
    pub rates: Rates,
    /// What one box draws from the wall.
    pub watts: Watts,
    /// Hours of a day that the boxes are on, computing or waiting; 24 for a server.
    pub hours_on_per_day: f64,
    /// The boxes.
    pub purchase: Purchase,
    /// Dollars of one kilowatt-hour.
    pub electricity_usd_per_kwh: f64,
    /// What the cloud takes for the same.
    pub cloud: Cloud,
    /// Months over which everything is added up.
    pub months: f64,
}

impl Question {
    /// The question of docs/planner.md, which tests of answers and of screens begin from:
    /// gpt-oss-120b on one GB10, 10 million tokens a day of which 80 % are read, against the price
    /// of an open model in 2026.
    #[must_use]
    pub fn worked_example() -> Question {
        let batch = Batch { streams: 32, decode_tps: 313.0, load_watts: Some(150.0) };
        Question {
            demand: Demand { tokens_per_day: 10e6, input_share: 0.8, cached_share: 0.0 },
            rates: Rates { prefill_tps: 1900.0, decode_tps: 57.0, batch: Some(batch) },
            watts: Watts { load: 140.0, idle: 25.0 },
            hours_on_per_day: 24.0,
            purchase: Purchase {
                boxes: 1,
                price_usd: 4699.0,
                residual_usd: 0.0,
                labour_usd_per_month: 0.0,
            },
            electricity_usd_per_kwh: 0.17,
            cloud: Cloud {
                price: TokenPrice {
                    input_usd_per_mtok: 0.10,
                    cached_usd_per_mtok: None,
                    output_usd_per_mtok: 0.32,
                },
                subscriptions_usd_per_month: 0.0,
                fall_per_month: 0.0,
            },
            months: 24.0,
        }
    }
}

/// Tokens that are needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Read and written together, of a day.
    pub tokens_per_day: f64,
    /// Share of them that is read, 0 to 1.
    pub input_share: f64,
    /// Share of those read that a prefix cache has already, here as in the cloud, 0 to 1.
    pub cached_share: f64,
}

/// How fast one box is, tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Reading.
    pub prefill_tps: f64,
    /// Writing, one request at a time.
    pub decode_tps: f64,
    /// Writing, as many at once as is realistic; none when requests never meet.
    pub batch: Option<Batch>,
}

/// Requests that are answered at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// How many.
    pub streams: u32,
    /// Tokens per second of all together.
    pub decode_tps: f64,
    /// Watts of one box meanwhile; as with one request when none is known.
    pub load_watts: Option<f64>,
}

/// What one box draws from the wall, watts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watts {
    /// While it computes.
    pub load: f64,
    /// While it waits.
    pub idle: f64,
}

/// The boxes and who looks after them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Purchase {
    /// How many boxes.
    pub boxes: u32,
    /// Dollars of one.
    pub price_usd: f64,
    /// Dollars that one is still worth after the question's months; see
    /// [`super::residual_share`].
    pub residual_usd: f64,
    /// Dollars of a month for looking after all of them.
    pub labour_usd_per_month: f64,
}

/// What the cloud takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cloud {
    /// For tokens.
    pub price: TokenPrice,
    /// Dollars of a month for seats and subscriptions, whatever is used.
    pub subscriptions_usd_per_month: f64,
    /// Share by which prices fall each month, 0 to 0.5; 0 when they stay.
    pub fall_per_month: f64,
}

/// Dollars of a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenPrice {
    /// Read.
    pub input_usd_per_mtok: f64,
    /// Read, and already in the provider's cache; as other tokens when none is said.
    pub cached_usd_per_mtok: Option<f64>,
    /// Written.
    pub output_usd_per_mtok: f64,
}

impl TokenPrice {
    /// Dollars of so many tokens, mixed as the demand mixes them.
    #[must_use]
    pub fn usd(&self, tokens: f64, demand: &Demand) -> f64 {
        let cached = demand.input_share * demand.cached_share;
        let read = demand.input_share - cached;
        let written = 1.0 - demand.input_share;
        let cached_usd_per_mtok = self.cached_usd_per_mtok.unwrap_or(self.input_usd_per_mtok);
        let usd_per_mtok = read * self.input_usd_per_mtok
            + cached * cached_usd_per_mtok
            + written * self.output_usd_per_mtok;
        tokens / TOKENS_PER_MTOK * usd_per_mtok
    }
}

impl Question {
    /// Dollars of the demand in the cloud in the first month.
    pub(super) fn cloud_usd_per_month(&self) -> f64 {
        let tokens = self.demand.tokens_per_day * DAYS_PER_MONTH;
        self.cloud.price.usd(tokens, &self.demand) + self.cloud.subscriptions_usd_per_month
    }

    /// Whether every number makes sense.
    ///
    /// # Errors
    ///
    /// The first that does not, with the values that do.
    pub fn check(&self) -> Result<(), Error> {
        let boxes = f64::from(self.purchase.boxes);
        let price = &self.cloud.price;
        let batch = self.rates.batch.as_ref();
        let batch_tps = batch.map_or(self.rates.decode_tps, |batch| batch.decode_tps);
        let batch_watts = batch.and_then(|batch| batch.load_watts).unwrap_or(self.watts.load);
        let cached_usd = price.cached_usd_per_mtok.unwrap_or(price.input_usd_per_mtok);
        for (field, value, least, most) in [
            ("tokens per day", self.demand.tokens_per_day, 0.0, 1e15),
            ("share of input", self.demand.input_share, 0.0, 1.0),
            ("cached share of input", self.demand.cached_share, 0.0, 1.0),
            ("prefill tokens per second", self.rates.prefill_tps, 1e-6, 1e9),
            ("decode tokens per second", self.rates.decode_tps, 1e-6, 1e9),
            ("decode tokens per second of the batch", batch_tps, 1e-6, 1e9),
            ("watts under load", self.watts.load, 0.0, 1e6),
            ("watts of the batch", batch_watts, 0.0, 1e6),
            ("watts when idle", self.watts.idle, 0.0, 1e6),
            ("hours on per day", self.hours_on_per_day, 1e-3, 24.0),
            ("boxes", boxes, 1.0, 1e6),
            ("price of a box", self.purchase.price_usd, 0.0, 1e9),
            ("residual value of a box", self.purchase.residual_usd, 0.0, 1e9),
            ("labour per month", self.purchase.labour_usd_per_month, 0.0, 1e9),
            ("price of electricity", self.electricity_usd_per_kwh, 0.0, 1e3),
            ("cloud price of input", price.input_usd_per_mtok, 0.0, 1e6),
            ("cloud price of cached input", cached_usd, 0.0, 1e6),
            ("cloud price of output", price.output_usd_per_mtok, 0.0, 1e6),
            ("subscriptions per month", self.cloud.subscriptions_usd_per_month, 0.0, 1e9),
            ("fall of cloud prices per month", self.cloud.fall_per_month, 0.0, 0.5),
            ("months", self.months, 1.0, super::BREAK_EVEN_MONTHS_MAX),
        ] {
            // Written so that a value that is no number is refused too.
            if !(least..=most).contains(&value) {
                return Err(Error::OutOfRange { field, value, least, most });
            }
        }
        Ok(())
    }
}

/// A question that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number that is none, or too small or too large.
    #[error("{field} is {value}: give a number from {least} to {most}")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// What was given.
        value: f64,
        /// Least that makes sense.
        least: f64,
        /// Most that makes sense.
        most: f64,
    },
}
