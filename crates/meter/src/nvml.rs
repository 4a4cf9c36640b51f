//! NVIDIA's management library, which is part of its driver and loaded when the program runs.

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use crate::gpus::{Driver, Gpu, GpuDetails, GpuProcess, Gpus};
use crate::limits::{GPUS_MAX, PROCESSES_MAX};

/// Longest name of a program, with its path.
const NAME_BYTES_MAX: usize = 1024;

/// Names as `nvidia-smi -q` has them. An idle card is not throttled.
const REASONS: [(ThrottleReasons, &str); 8] = [
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
];

/// The library, or what it answered in place of starting.
pub struct Nvml {
    library: Result<nvml_wrapper::Nvml, String>,
}

impl Nvml {
    /// Loads the library; none where it is not installed, or no card of NVIDIA's is driven. A
    /// driver that is there and refuses says so in [`Driver::error`].
    #[must_use]
    pub fn open() -> Option<Box<dyn Gpus>> {
        let library = match nvml_wrapper::Nvml::init() {
            Ok(library) => Ok(library),
            Err(error) if is_absent(&error) => return None,
            Err(error) => Err(in_words(&error)),
        };
        Some(Box::new(Nvml { library }))
    }

    fn devices(&self) -> Vec<Result<Device<'_>, NvmlError>> {
        let Ok(library) = &self.library else { return Vec::new() };
        let count = library.device_count().unwrap_or(0);
        let devices = (0..count).take(GPUS_MAX).map(|place| library.device_by_index(place));
        // The library counts also cards that a container may not use.
        devices.filter(|device| !matches!(device, Err(NvmlError::NoPermission))).collect()
    }

    fn process(&self, process: &ProcessInfo) -> Option<GpuProcess> {
        let UsedGpuMemory::Used(memory_bytes) = process.used_gpu_memory else { return None };
        let library = self.library.as_ref().ok()?;
        let line = library.sys_process_name(process.pid, NAME_BYTES_MAX).unwrap_or_default();
        Some(GpuProcess { pid: process.pid, name: program(&line), memory_bytes })
    }
}

impl Gpus for Nvml {
    fn driver(&self) -> Driver {
        let library = match &self.library {
            Ok(library) => library,
            Err(error) => return Driver { error: Some(error.clone()), ..Driver::default() },
        };
        let refused = self.devices().into_iter().find_map(Result::err);
        let counted = library.device_count().err();
        Driver {
            error: counted.or(refused).map(|error| in_words(&error)),
            version: library.sys_driver_version().ok(),
            cuda: library.sys_cuda_driver_version().ok().map(cuda),
        }
    }

    fn now(&self) -> Vec<Gpu> {
        self.devices()
            .into_iter()
            .map(|device| device.map_or_else(|_| lost(), |it| gpu(&it)))
            .collect()
    }

    fn details(&self) -> Vec<GpuDetails> {
        let details = |device: Result<Device<'_>, NvmlError>| {
            let Ok(device) = device else { return GpuDetails::default() };
            let computing = device.running_compute_processes().unwrap_or_default();
            let drawing = device.running_graphics_processes().unwrap_or_default();
            let mut processes: Vec<GpuProcess> = computing
                .iter()
                .chain(&drawing)
                .take(PROCESSES_MAX)
                .filter_map(|process| self.process(process))
                .collect();
            // A program that computes and draws is in both lists, with the same memory.
            processes.sort_by_key(|process| process.pid);
            processes.dedup_by_key(|process| process.pid);
            GpuDetails { processes, ..facts(&device) }
        };
        self.devices().into_iter().map(details).collect()
    }
}

/// A card that answers nothing keeps its place.
fn lost() -> Gpu {
    Gpu { name: "NVIDIA graphics that do not answer".to_owned(), ..Gpu::default() }
}

fn gpu(device: &Device<'_>) -> Gpu {
    let memory = device.memory_info().ok();
    Gpu {
        name: device.name().unwrap_or_else(|_| "NVIDIA graphics".to_owned()),
        power_w: device.power_usage().ok().map(watts),
        energy_mj: device.total_energy_consumption().ok(),
        power_limit_w: device.enforced_power_limit().ok().map(watts),
        utilization_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
        celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        clock_mhz: device.clock_info(Clock::SM).ok(),
        memory_bytes: memory.as_ref().map(|memory| memory.total),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        throttled_by: device.current_throttle_reasons().ok().map(words),
    }
}

fn facts(device: &Device<'_>) -> GpuDetails {
    GpuDetails {
        address: device.pci_info().ok().map(|pci| address(&pci.bus_id)),
        power_default_w: device.power_management_limit_default().ok().map(watts),
        clock_max_mhz: device.max_clock_info(Clock::SM).ok(),
        lanes: device.current_pcie_link_width().ok(),
        lanes_max: device.max_pcie_link_width().ok(),
        bar1_bytes: device.bar1_memory_info().ok().map(|memory| memory.total),
        ecc_uncorrected: device
            .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
            .ok(),
        processes: Vec::new(),
    }
}

/// Whether there is nothing to ask, and not something that fails.
fn is_absent(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded
    )
}

/// As `nvidia-smi` says it, where it has words for it.
fn in_words(error: &NvmlError) -> String {
    if matches!(error, NvmlError::LibRmVersionMismatch) {
        "Driver/library version mismatch".to_owned()
    } else if matches!(error, NvmlError::GpuLost) {
        "GPU is lost".to_owned()
    } else {
        error.to_string()
    }
}

fn words(reasons: ThrottleReasons) -> Vec<String> {
    let held = REASONS.iter().filter(|(reason, _)| reasons.contains(*reason));
    held.map(|(_, name)| (*name).to_owned()).collect()
}

/// The library may tell what a program was called with, which is nobody's business; it tells
/// nothing where other users' processes are hidden.
fn program(line: &str) -> String {
    line.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// 13000 is 13.0.
fn cuda(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// NVIDIA writes eight digits of PCI's domain, in capitals; Linux at least four, in small letters.
fn address(bus_id: &str) -> String {
    let parts = bus_id.split_once(':');
    let domain = parts.and_then(|(domain, _)| u32::from_str_radix(domain, 16).ok());
    match domain.zip(parts) {
        Some((domain, (_, rest))) => format!("{domain:04x}:{}", rest.to_ascii_lowercase()),
        None => bus_id.to_owned(),
    }
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1e3
}

#[cfg(test)]
mod tests {
    use super::{Nvml, address, cuda, in_words, is_absent, program, words};
    use crate::gpus::Gpus;
    use nvml_wrapper::bitmasks::device::ThrottleReasons;
    use nvml_wrapper::error::NvmlError;

    #[test]
    fn reasons_in_words() {
        let reasons = ThrottleReasons::GPU_IDLE
            | ThrottleReasons::SW_POWER_CAP
            | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(words(reasons), ["hw_thermal_slowdown", "sw_power_cap"]);
        assert!(words(ThrottleReasons::GPU_IDLE).is_empty());
        assert!(words(ThrottleReasons::NONE).is_empty());
        // The bits as NVIDIA's header numbers them.
        assert_eq!(words(ThrottleReasons::from_bits_retain(0x80)), ["hw_power_brake_slowdown"]);
    }

    #[test]
    fn versions_and_addresses() {
        assert_eq!([cuda(13000), cuda(12080), cuda(11020)], ["13.0", "12.8", "11.2"]);
        assert_eq!(address("00000000:01:00.0"), "0000:01:00.0");
        assert_eq!(address("0000000F:01:00.0"), "000f:01:00.0");
        assert_eq!(address("00010000:0A:00.0"), "10000:0a:00.0");
        assert_eq!(address("?"), "?");
    }

    #[test]
    fn programs_without_what_they_were_called_with() {
        assert_eq!(program("/usr/bin/hob serve --key secret"), "/usr/bin/hob");
        assert_eq!(program(""), "unknown");
    }

    #[test]
    fn what_is_absent_and_what_fails() {
        assert!(is_absent(&NvmlError::DriverNotLoaded) && is_absent(&NvmlError::LibraryNotFound));
        assert!(!is_absent(&NvmlError::LibRmVersionMismatch) && !is_absent(&NvmlError::Unknown));
        assert!(in_words(&NvmlError::LibRmVersionMismatch).contains("mismatch"));
        assert_eq!(in_words(&NvmlError::GpuLost), "GPU is lost");
    }

    /// With or without cards.
    #[test]
    fn this_machine_can_be_asked() {
        let is_sound = |gpus: Box<dyn Gpus>| {
            let driver = gpus.driver();
            let answers = driver.error.is_some() || driver.version.is_some();
            answers && gpus.now().len() == gpus.details().len()
        };
        assert!(Nvml::open().is_none_or(is_sound));
    }
}
