//! The processor: its load, clocks, heat and throttling.

use crate::files::Files;
use crate::graphics::celsius;
use crate::hwmon::Chip;
use crate::limits::PROCESSORS_MAX;
use crate::reading::Cpu;

const PROCESSORS: &str = "/sys/devices/system/cpu";
const ZONES: &str = "/sys/class/thermal";

/// Drivers of the processor's own sensors, and what the sensors that count are labelled with; the
/// first label that is there. `Tctl` is what AMD's fans follow, on old ones above what is real.
const CHIPS: [(&str, &[&str]); 4] = [
    ("coretemp", &["Package id"]),
    ("cpu_thermal", &[]),
    ("k10temp", &["Tdie", "Tctl"]),
    ("zenpower", &["Tdie", "Tctl"]),
];

/// Kinds of thermal zones, the nearest to the processor first; `acpitz` is the firmware's word.
const ZONE_TYPES: [&str; 6] =
    ["x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "acpitz"];

pub(crate) struct Processor {
    /// Files in millidegrees.
    sensors: Vec<String>,
    /// Files in kHz.
    clocks: Vec<String>,
    /// Files that count how often clocks were lowered.
    throttles: Vec<String>,
    times: Option<Times>,
    throttled: Option<u64>,
}

/// Since the machine started, in the kernel's ticks.
#[derive(Clone, Copy)]
struct Times {
    all: u64,
    idle: u64,
}

impl Processor {
    pub(crate) fn find(files: &Files, chips: &[Chip]) -> Processor {
        let throttles = throttles(files);
        Processor {
            sensors: sensors(files, chips),
            clocks: clocks(files),
            times: times(files),
            throttled: sum(files, &throttles),
            throttles,
        }
    }

    pub(crate) fn read(&mut self, files: &Files) -> Cpu {
        let (times, throttled) = (times(files), sum(files, &self.throttles));
        let temperatures = self.sensors.iter().filter_map(|path| celsius(files, path));
        let cpu = Cpu {
            utilisation: self.times.zip(times).and_then(|(before, now)| now.busy_since(before)),
            frequency_mhz: self.frequency_mhz(files),
            temperature_c: temperatures.reduce(f64::max),
            throttled: self.throttled.zip(throttled).map(|(before, now)| now > before),
        };
        (self.times, self.throttled) = (times, throttled);
        cpu
    }

    fn frequency_mhz(&self, files: &Files) -> Option<f64> {
        let khz = self.clocks.iter().filter_map(|path| files.number::<u64>(path));
        let mhz: Vec<f64> = khz.map(|khz| khz as f64 / 1e3).collect();
        mean(&mhz).or_else(|| {
            let text = files.text("/proc/cpuinfo")?;
            let lines = text.lines().filter(|line| line.starts_with("cpu MHz"));
            let mhz: Vec<f64> = lines
                .filter_map(|line| line.split_once(':')?.1.trim().parse().ok())
                .filter(|mhz| f64::is_finite(*mhz))
                .collect();
            mean(&mhz)
        })
    }
}

impl Times {
    fn busy_since(self, before: Times) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        // The kernel's count of waiting for disks may go back a little.
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some((all - idle) as f64 / all as f64)
    }
}

/// Of `cpu  user nice system idle iowait irq softirq steal ...`; guests are in user and nice.
fn times(files: &Files) -> Option<Times> {
    let text = files.text("/proc/stat")?;
    let mut words = text.lines().next()?.split_whitespace();
    if words.next() != Some("cpu") {
        return None;
    }
    let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
    let [_, _, _, idle, wait, ..] = ticks[..] else { return None };
    let all = ticks.iter().try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?;
    Some(Times { all, idle: idle.checked_add(wait)? })
}

fn sensors(files: &Files, chips: &[Chip]) -> Vec<String> {
    for (driver, labels) in CHIPS {
        let inputs: Vec<String> = chips
            .iter()
            .filter(|chip| chip.driver == driver)
            .flat_map(|chip| files.paths(&chip.path, "temp"))
            .filter(|path| path.ends_with("_input"))
            .collect();
        let labelled = labels.iter().find_map(|wanted| {
            let is_wanted = |path: &&String| {
                let label = files.text(&path.replace("_input", "_label"));
                label.is_some_and(|label| label.starts_with(wanted))
            };
            let found: Vec<String> = inputs.iter().filter(is_wanted).cloned().collect();
            (!found.is_empty()).then_some(found)
        });
        if !inputs.is_empty() {
            return labelled.unwrap_or(inputs);
        }
    }
    let zones = files.paths(ZONES, "thermal_zone");
    let of_type = |wanted: &str| -> Vec<String> {
        let is_wanted =
            |zone: &&String| files.text(&format!("{zone}/type")).is_some_and(|kind| kind == wanted);
        zones.iter().filter(is_wanted).map(|zone| format!("{zone}/temp")).collect()
    };
    let found = ZONE_TYPES.iter().map(|kind| of_type(kind)).find(|found| !found.is_empty());
    found.unwrap_or_default()
}

fn clocks(files: &Files) -> Vec<String> {
    let policies = files.paths(&format!("{PROCESSORS}/cpufreq"), "policy");
    let clock = |policy: String| format!("{policy}/scaling_cur_freq");
    policies.into_iter().take(PROCESSORS_MAX).map(clock).collect()
}

fn throttles(files: &Files) -> Vec<String> {
    let is_processor = |path: &String| {
        path.rsplit_once("/cpu").is_some_and(|(_, number)| number.parse::<u32>().is_ok())
    };
    let processors = files.paths(PROCESSORS, "cpu").into_iter().filter(is_processor);
    processors
        .take(PROCESSORS_MAX)
        .flat_map(|path| files.paths(&format!("{path}/thermal_throttle"), ""))
        .filter(|path| path.ends_with("_throttle_count"))
        .collect()
}

/// None where there are none, or one cannot be read.
fn sum(files: &Files, paths: &[String]) -> Option<u64> {
    let add = |sum: u64, path: &String| sum.checked_add(files.number(path)?);
    (!paths.is_empty()).then(|| paths.iter().try_fold(0, add)).flatten()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
