//! What can be wrong, a row each, in files by the part of the machine. Thresholds stand beside
//! their row; a figure of a loss names where it comes from, and says so where it is only thought.

mod amd;
mod disk;
mod graphics;
mod memory;
mod models;
mod modules;
mod nvidia;
mod processor;
mod service;
mod system;

use super::report::Finding;

/// Sorted by id.
pub static FINDINGS: &[&Finding] = &[
    &amd::CARVEOUT,
    &amd::GTT,
    &amd::IOMMU,
    &amd::OLD_KERNEL,
    &amd::LEVEL,
    &amd::POWER_CAP,
    &modules::BANDWIDTH,
    &processor::AFFINITY,
    &processor::BUSY,
    &processor::CLOCK_CAP,
    &processor::CORES_OFFLINE,
    &processor::GOVERNOR,
    &processor::HOT,
    &processor::PREFERENCE,
    &processor::QUOTA,
    &processor::THROTTLED,
    &processor::TURBO,
    &disk::FILESYSTEM,
    &disk::FULL,
    &disk::MMAP,
    &disk::READ_AHEAD,
    &disk::ROTATIONAL,
    &disk::SLOW,
    &system::ENERGY,
    &graphics::DRIVER,
    &graphics::LANES,
    &graphics::PERMISSION,
    &graphics::UNUSED,
    &graphics::WINDOW,
    &service::HOME_FOREIGN,
    &service::HOME_READABLE,
    &memory::HUGE_OFF,
    &memory::HUGE_RESERVED,
    &processor::KERNELS,
    &modules::CHANNELS,
    &modules::ERRORS,
    &memory::LIMIT,
    &memory::LOW,
    &modules::PROFILE,
    &modules::SLOW,
    &models::CHANGED,
    &models::CUT_SHORT,
    &models::TOO_LARGE,
    &models::UNREADABLE,
    &models::TEMPLATE_MISSING,
    &models::TEMPLATE_WRONG,
    &processor::NODES,
    &nvidia::DRIVER_OLD,
    &nvidia::ECC,
    &nvidia::FAILED,
    &nvidia::LOW_POWER,
    &nvidia::MEMORY_TAKEN,
    &nvidia::MISMATCH,
    &nvidia::NODES_MISSING,
    &nvidia::NOT_READ,
    &nvidia::POWER_CAP,
    &nvidia::THROTTLED,
    &service::PORT_OPEN,
    &service::PORT_TAKEN,
    &system::BATTERY,
    &system::PROFILE,
    &memory::SWAP_USED,
    &memory::SWAPPINESS,
    &system::VM_MODEL,
    &system::VM_STEAL,
    &system::WSL,
];
