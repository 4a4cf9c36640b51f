//! How much is read and believed at most.

/// Bytes of a file; those of /proc/stat that matter stand at its start.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 10;
/// Names in a folder, e.g. of sensors.
pub(crate) const NAMES_MAX: usize = 4096;
/// Logical processors whose clocks and throttling are looked at.
pub(crate) const PROCESSORS_MAX: usize = 1024;
/// Cards.
pub(crate) const GPUS_MAX: usize = 64;
/// Programs on a card.
pub(crate) const PROCESSES_MAX: usize = 256;
/// Watts of one part of a machine; what says more was reset or is damaged.
pub(crate) const WATTS_MAX: f64 = 20_000.0;
/// Degrees Celsius that a sensor can mean.
pub(crate) const CELSIUS: std::ops::RangeInclusive<f64> = -40.0..=150.0;
