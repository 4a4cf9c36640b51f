//! What this machine says of itself while it works: watts and joules, heat, throttling, load and
//! memory. [`Meter::find`] looks for what can tell, [`Meter::read`] asks it; `docs/energy.md` says
//! what that is on which machine.
//!
//! Nothing here fails: what is missing, closed, damaged or half-written is `None`, and
//! [`Meter::sources`] says what was found and cannot be read.
//!
//! **Invariant:** no clock and no thread: the caller says how much time has passed. Every read is
//! bounded, and the same watts are never counted twice.

mod balance;
mod battery;
mod draws;
mod files;
mod gpus;
mod graphics;
mod hwmon;
mod limits;
mod memory;
mod meter;
mod nvml;
mod processor;
mod rapl;
mod reading;
mod source;

pub use balance::{Model, modelled};
pub use gpus::{Driver, Gpu, GpuDetails, GpuProcess, Gpus};
pub use meter::Meter;
pub use nvml::Nvml;
pub use reading::{Basis, Cpu, Device, Domain, Draw, Memory, Power, Reading, Scope};
pub use source::{Source, State};

#[cfg(test)]
mod tests;
