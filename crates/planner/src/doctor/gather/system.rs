//! Kernel, firmware and power.

use super::Files;
use crate::doctor::facts::{Node, System};

pub(super) fn read(files: &Files<'_>) -> System {
    let version = files.text("/proc/version").unwrap_or_default();
    let cpuinfo = files.text("/proc/cpuinfo").unwrap_or_default();
    let command_line = files.text("/proc/cmdline");
    let vendor = files.text("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let profiles = files.text("/sys/firmware/acpi/platform_profile_choices").unwrap_or_default();
    let supplies = Supplies::read(files);
    System {
        kernel: version.split_whitespace().nth(2).map(str::to_owned),
        command_line: command_line.map(|text| text.split_whitespace().map(str::to_owned).collect()),
        product: files
            .text("/sys/class/dmi/id/product_name")
            .or_else(|| files.text("/sys/firmware/devicetree/base/model"))
            .map(|name| name.trim_end_matches('\0').to_owned()),
        is_virtual: cpuinfo.lines().any(is_virtual) || vendor.contains("QEMU"),
        is_wsl: version.to_ascii_lowercase().contains("microsoft"),
        uptime_s: files
            .text("/proc/uptime")
            .and_then(|text| text.split_whitespace().next()?.parse().ok()),
        profile: files.text("/sys/firmware/acpi/platform_profile"),
        profiles: profiles.split_whitespace().map(str::to_owned).collect(),
        on_mains: supplies.on_mains,
        is_discharging: supplies.is_discharging,
        energy: energy(files),
        has_iommu: !files.source.names("/sys/class/iommu").is_empty(),
    }
}

/// x86 tells its guests by a flag.
fn is_virtual(line: &str) -> bool {
    line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor")
}

/// Of packages, their memory and the platform; those of cores are parts of them.
fn energy(files: &Files<'_>) -> Vec<Node> {
    let counts = |zone: &String| {
        let name = files.text(&format!("{zone}/name")).unwrap_or_default();
        name.starts_with("package") || name == "dram" || name == "psys"
    };
    let zones = files.paths("/sys/class/powercap", "intel-rapl:").into_iter().filter(counts);
    zones.filter_map(|zone| files.source.node(&format!("{zone}/energy_uj"))).collect()
}

#[derive(Default)]
struct Supplies {
    on_mains: Option<bool>,
    is_discharging: bool,
}

impl Supplies {
    fn read(files: &Files<'_>) -> Supplies {
        let mut supplies = Supplies::default();
        for supply in files.paths("/sys/class/power_supply", "") {
            // Batteries of mice and pens say that they are a device's.
            let scope = files.text(&format!("{supply}/scope")).unwrap_or_default();
            match files.text(&format!("{supply}/type")).as_deref() {
                Some("Mains" | "USB") => {
                    let online = files.number(&format!("{supply}/online")) == Some(1);
                    supplies.on_mains = Some(supplies.on_mains.unwrap_or(false) || online);
                }
                Some("Battery") if scope != "Device" => {
                    let status = files.text(&format!("{supply}/status")).unwrap_or_default();
                    supplies.is_discharging |= status == "Discharging";
                }
                _ => {}
            }
        }
        supplies
    }
}
