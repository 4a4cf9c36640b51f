//! What NVIDIA's management library tells, as plain data: the wall behind which tests stand in
//! for it.

/// Cards that NVIDIA's driver knows. What a card does not support is `None`.
pub trait Gpus: Send {
    /// The driver itself.
    fn driver(&self) -> Driver;
    /// Every card as it is now, always in the same order.
    fn now(&self) -> Vec<Gpu>;
    /// What changes seldom, or takes long to ask; in the order of [`Gpus::now`].
    fn details(&self) -> Vec<GpuDetails>;
}

/// NVIDIA's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// What it answers in place of anything else, e.g. `Driver/library version mismatch`.
    pub error: Option<String>,
    /// `580.95.05`.
    pub version: Option<String>,
    /// Newest CUDA that it can run: `13.0`.
    pub cuda: Option<String>,
}

/// A card as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Watts that it draws.
    pub power_w: Option<f64>,
    /// Millijoules since the driver was loaded.
    pub energy_mj: Option<u64>,
    /// Watts that it is held to.
    pub power_limit_w: Option<f64>,
    /// Share of the last moments in which it computed, percent.
    pub utilization_percent: Option<u32>,
    /// In degrees Celsius.
    pub celsius: Option<u32>,
    /// Clock of its cores.
    pub clock_mhz: Option<u32>,
    /// Memory of its own.
    pub memory_bytes: Option<u64>,
    /// Memory of its own that is taken.
    pub memory_used_bytes: Option<u64>,
    /// Why its clocks are lowered, as `nvidia-smi -q` names it, e.g. `hw_thermal_slowdown`.
    pub throttled_by: Option<Vec<String>>,
}

/// What changes seldom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuDetails {
    /// Where it is on PCI, as Linux names it: `0000:01:00.0`.
    pub address: Option<String>,
    /// Watts that it is built for.
    pub power_default_w: Option<f64>,
    /// Highest clock of its cores.
    pub clock_max_mhz: Option<u32>,
    /// Lanes of PCIe in use.
    pub lanes: Option<u32>,
    /// Lanes that it and its slot have.
    pub lanes_max: Option<u32>,
    /// Largest window into its memory.
    pub bar1_bytes: Option<u64>,
    /// Errors of memory since start that could not be corrected.
    pub ecc_uncorrected: Option<u64>,
    /// Programs that have its memory.
    pub processes: Vec<GpuProcess>,
}

/// A program on a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Memory that it has.
    pub memory_bytes: u64,
}
