//! What the meter says: plain figures, with their units and how each is known.

use std::time::Duration;

/// A machine at a moment. What cannot be read is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Time since [`crate::Meter::find`], as the caller told it.
    pub at: Duration,
    /// What is drawn.
    pub power: Power,
    /// Graphics, each for itself.
    pub devices: Vec<Device>,
    /// The processor.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
}

/// What is drawn, all that is known taken together.
#[derive(Clone, Debug, PartialEq)]
pub struct Power {
    /// Mean since the read before.
    pub watts: Option<f64>,
    /// How `watts` is known: the weakest of what went into it.
    pub basis: Basis,
    /// What `watts` is of.
    pub scope: Scope,
    /// Counted since [`crate::Meter::find`].
    pub joules: Option<f64>,
    /// How `joules` are known: the weakest of what went into them.
    pub joules_basis: Basis,
    /// Time since [`crate::Meter::find`] of which nothing is known; it is not in `joules`.
    pub missed: Duration,
    /// All that was measured on its own, also what is not in `watts` as something else says it.
    pub draws: Vec<Draw>,
}

/// How a figure is known, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Hardware counts the energy: RAPL, NVIDIA's library, `energy1_input` of hwmon.
    Counter,
    /// Watts were read at the start and at the end of the time, and their mean is taken.
    Sensor,
    /// Between idle and load by the share of time that was busy.
    Modelled,
    /// It is not.
    Unknown,
}

/// What a sum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole machine, without what its power supply loses.
    Machine,
    /// The parts that are marked as counted in [`Power::draws`], and no others.
    Parts,
}

/// What draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Everything.
    Machine,
    /// The processor's package, with graphics that are part of it.
    Processor,
    /// Main memory.
    Memory,
    /// A card.
    Graphics,
}

/// Something that draws and is measured on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// `package-0`, `battery`, `NVIDIA GeForce RTX 4090`.
    pub name: String,
    /// What it is.
    pub domain: Domain,
    /// Mean since the read before.
    pub watts: Option<f64>,
    /// Since [`crate::Meter::find`].
    pub joules: Option<f64>,
    /// How `watts` is known.
    pub basis: Basis,
    /// It is in [`Power::watts`].
    pub is_counted: bool,
}

/// Graphics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Mean since the read before; none for graphics in a processor, whose package tells it.
    pub watts: Option<f64>,
    /// Since [`crate::Meter::find`].
    pub joules: Option<f64>,
    /// Watts it is held to.
    pub power_limit_w: Option<f64>,
    /// Share of time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// In degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of its cores.
    pub frequency_mhz: Option<f64>,
    /// Memory of its own; none where it has none, as on GB10.
    pub memory_total_bytes: Option<u64>,
    /// Memory of its own that is taken.
    pub memory_used_bytes: Option<u64>,
    /// Why its clocks are lowered, as `nvidia-smi -q` names it; empty when they are not.
    pub throttled_by: Option<Vec<String>>,
}

/// The processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Share of the whole machine's processor time that was used since the read before, 0 to 1.
    pub utilisation: Option<f64>,
    /// Mean of the clocks.
    pub frequency_mhz: Option<f64>,
    /// In degrees Celsius, the warmest that its sensors say.
    pub temperature_c: Option<f64>,
    /// Clocks were lowered since the read before because it was hot.
    pub throttled: Option<bool>,
}

/// Main memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that the kernel has.
    pub total_bytes: Option<u64>,
    /// What can be taken without swapping.
    pub available_bytes: Option<u64>,
    /// What this process holds.
    pub process_bytes: Option<u64>,
}

impl Basis {
    /// For people and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Basis::Counter => "counter",
            Basis::Sensor => "sensor",
            Basis::Modelled => "modelled",
            Basis::Unknown => "unknown",
        }
    }
}

impl Scope {
    /// For people and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Machine => "machine",
            Scope::Parts => "parts",
        }
    }
}
