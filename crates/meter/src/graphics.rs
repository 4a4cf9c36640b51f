//! Cards: what they do, from NVIDIA's library and from the files of AMD's and Intel's drivers.

use crate::draws::Tally;
use crate::files::Files;
use crate::gpus::Gpu;
use crate::hwmon::Chip;
use crate::limits::CELSIUS;
use crate::reading::{Device, Domain};

/// A card that was found.
pub(crate) struct Card {
    name: String,
    from: From,
    /// Which draw is its own.
    tally: Option<usize>,
}

enum From {
    /// Place among the cards of NVIDIA's library.
    Library(usize),
    /// Folder of hwmon, with a link `device` to that of PCI.
    Chip(String),
}

/// `AMD graphics at 0000:03:00.0`.
pub(crate) fn name(files: &Files, chip: &Chip) -> String {
    let maker = if chip.driver == "amdgpu" { "AMD" } else { "Intel" };
    let address = files.link_name(&format!("{}/device", chip.path));
    let address = address.or_else(|| chip.path.rsplit('/').next().map(str::to_owned));
    format!("{maker} graphics at {}", address.unwrap_or_default())
}

/// Names of the library's cards, numbered where there are several.
pub(crate) fn names(gpus: &[Gpu]) -> Vec<String> {
    let name = |(place, gpu): (usize, &Gpu)| match gpus.len() {
        1 => gpu.name.clone(),
        _ => format!("{} ({place})", gpu.name),
    };
    gpus.iter().enumerate().map(name).collect()
}

/// Only graphics in a processor have the voltage of its north bridge.
pub(crate) fn is_in_processor(files: &Files, chip: &Chip) -> bool {
    files.text(&format!("{}/in1_label", chip.path)).is_some_and(|label| label == "vddnb")
}

pub(crate) fn find(files: &Files, chips: &[Chip], gpus: &[Gpu], tallies: &[Tally]) -> Vec<Card> {
    let tally = |name: &str| {
        tallies.iter().position(|tally| tally.domain == Domain::Graphics && tally.name == name)
    };
    let card = |name: String, from| Card { tally: tally(&name), name, from };
    let library = names(gpus).into_iter().enumerate();
    let library = library.map(|(place, name)| card(name, From::Library(place)));
    let drivers = ["amdgpu", "i915", "xe"];
    let chips = chips.iter().filter(|chip| drivers.contains(&chip.driver.as_str()));
    let chips = chips.map(|chip| card(name(files, chip), From::Chip(chip.path.clone())));
    library.chain(chips).collect()
}

impl Card {
    pub(crate) fn read(
        &self,
        files: &Files,
        gpus: &[Gpu],
        tallies: &[Tally],
        seconds: f64,
    ) -> Device {
        let mut device = match &self.from {
            From::Library(place) => gpus.get(*place).map(of_library).unwrap_or_default(),
            From::Chip(path) => of_chip(files, path),
        };
        let tally = self.tally.and_then(|place| tallies.get(place));
        device.watts = tally.and_then(|tally| Some(tally.interval?.joules / seconds));
        device.joules = tally.and_then(|tally| tally.joules);
        device.name.clone_from(&self.name);
        device
    }
}

fn of_library(gpu: &Gpu) -> Device {
    Device {
        power_limit_w: gpu.power_limit_w,
        utilisation: gpu.utilization_percent.map(share),
        temperature_c: gpu.celsius.map(f64::from).filter(|celsius| CELSIUS.contains(celsius)),
        frequency_mhz: gpu.clock_mhz.map(f64::from),
        memory_total_bytes: gpu.memory_bytes,
        memory_used_bytes: gpu.memory_used_bytes,
        throttled_by: gpu.throttled_by.clone(),
        ..Device::default()
    }
}

/// Millidegrees, hertz and microwatts; what a driver does not show is left out.
fn of_chip(files: &Files, path: &str) -> Device {
    let number = |name: &str| files.number::<u64>(&format!("{path}/{name}"));
    if files.sleeps(&format!("{path}/name")) {
        return Device::default();
    }
    let busy = files.number::<u32>(&format!("{path}/device/gpu_busy_percent"));
    Device {
        power_limit_w: number("power1_cap").map(|microwatts| microwatts as f64 / 1e6),
        utilisation: busy.map(share),
        temperature_c: celsius(files, &format!("{path}/temp1_input"))
            .or_else(|| celsius(files, &format!("{path}/temp2_input"))),
        frequency_mhz: number("freq1_input").map(|hertz| hertz as f64 / 1e6),
        memory_total_bytes: number("device/mem_info_vram_total"),
        memory_used_bytes: number("device/mem_info_vram_used"),
        ..Device::default()
    }
}

/// Of a file in millidegrees.
pub(crate) fn celsius(files: &Files, path: &str) -> Option<f64> {
    let celsius = files.number::<i64>(path)? as f64 / 1e3;
    CELSIUS.contains(&celsius).then_some(celsius)
}

fn share(percent: u32) -> f64 {
    f64::from(percent.min(100)) / 100.0
}
