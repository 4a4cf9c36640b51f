//! Files that lie, are cut short or are no files.

use super::machine::{Machine, seconds};
use crate::limits::FILE_BYTES_MAX;
use crate::{Gpu, Meter, Model};
use std::path::Path;

/// Every file that is ever read, with sound text in it.
const FILES: [&str; 22] = [
    "proc/stat = cpu 1 2 3 4 5 6 7 8\\n",
    "proc/cpuinfo = cpu MHz : 2000\\n",
    "proc/meminfo = MemTotal: 1000 kB\\nMemAvailable: 10 kB\\n",
    "proc/self/status = VmRSS: 10 kB\\n",
    "sys/class/powercap/intel-rapl:0/name = package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj = 1000",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj = 2000",
    "sys/class/powercap/intel-rapl:1/name = psys",
    "sys/class/powercap/intel-rapl:1/energy_uj = 1000",
    "sys/class/power_supply/BAT0/type = Battery",
    "sys/class/power_supply/BAT0/status = Discharging",
    "sys/class/power_supply/BAT0/power_now = 1000000",
    "sys/class/hwmon/hwmon0/name = amdgpu",
    "sys/class/hwmon/hwmon0/power1_average = 1000000",
    "sys/class/hwmon/hwmon0/temp1_input = 50000",
    "sys/class/hwmon/hwmon0/device/gpu_busy_percent = 50",
    "sys/class/hwmon/hwmon1/name = k10temp",
    "sys/class/hwmon/hwmon1/temp1_input = 50000",
    "sys/class/thermal/thermal_zone0/type = acpitz",
    "sys/class/thermal/thermal_zone0/temp = 50000",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq = 2000000",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count = 1",
];

const DAMAGE: [&str; 10] = [
    "",
    "-1",
    "0",
    "18446744073709551615",
    "-9223372036854775808",
    "1e999",
    "NaN",
    "inf",
    "cpu 18446744073709551615 18446744073709551615 1 1 1\\n",
    "\u{0}\\n\\n",
];

/// Nothing that is said is beyond what can be.
fn check(meter: &mut Meter, at: u64) {
    let reading = meter.read(seconds(at));
    let power = &reading.power;
    for figure in [power.watts, power.joules].into_iter().flatten() {
        assert!((0.0..=100_000.0).contains(&figure), "{power:?}");
    }
    for share in reading.devices.iter().map(|it| it.utilisation).chain([reading.cpu.utilisation]) {
        assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{reading:?}");
    }
    let celsius = reading.cpu.temperature_c;
    assert!(celsius.is_none_or(|celsius| (-40.0..=150.0).contains(&celsius)), "{reading:?}");
}

#[test]
fn damaged_files_say_nothing_and_never_panic() {
    let machine = Machine::new(&FILES.join("\n"));
    for damaged in FILES {
        let (path, sound) = damaged.split_once(" = ").unwrap();
        for damage in DAMAGE {
            let mut meters = [machine.meter(), machine.meter()];
            machine.put(&format!("{path} = {damage}"));
            // Found damaged, and damaged later.
            let [first, second] = &mut meters;
            check(first, 1);
            let mut third = machine.meter().with_model(Model { idle_w: 1.0, load_w: 2.0 });
            check(&mut third, 1);
            machine.put(&format!("{path} = {sound}"));
            check(second, 1);
            check(first, 2);
            check(&mut third, 2);
        }
    }
}

#[test]
fn other_bytes_than_text_and_files_without_end() {
    let machine = Machine::new(&FILES.join("\n"));
    machine.bytes("proc/stat", &[0xff, 0xfe, b'\n', 0]);
    machine.bytes("proc/meminfo", &vec![b'9'; 2 * FILE_BYTES_MAX as usize]);
    machine.bytes("sys/class/powercap/intel-rapl:0/energy_uj", &vec![b'9'; 100_000]);
    let mut meter = machine.meter();
    check(&mut meter, 1);
    let reading = meter.read(seconds(2));
    assert_eq!((reading.cpu.utilisation, reading.memory.total_bytes), (None, None));
}

#[test]
fn a_line_that_is_cut_short_is_no_figure() {
    let machine = Machine::new("proc/meminfo = MemTotal:  1000");
    assert_eq!(machine.meter().read(seconds(1)).memory.total_bytes, None);
}

#[test]
fn folders_in_place_of_files_and_nothing_at_all() {
    let machine = Machine::new("sys/class/powercap/intel-rapl:0/energy_uj/x = 1");
    machine.put("sys/class/powercap/intel-rapl:0/name = package-0");
    let meter = machine.meter();
    assert_eq!(meter.sources().len(), 1);
    let mut nothing = Meter::find(Path::new("/nowhere at all"), None);
    assert!(nothing.sources().is_empty());
    check(&mut nothing, 1);
}

#[test]
fn cards_that_lie() {
    let machine = Machine::new("proc/version = x");
    for power_w in [f64::NAN, f64::INFINITY, -5.0, 1e12] {
        let card = Gpu {
            power_w: Some(power_w),
            energy_mj: Some(u64::MAX),
            utilization_percent: Some(u32::MAX),
            celsius: Some(u32::MAX),
            ..Gpu::default()
        };
        machine.cards.say(vec![card.clone()]);
        let mut meter = machine.meter_with_cards();
        machine.cards.say(vec![card.clone(), card]);
        check(&mut meter, 1);
        assert_eq!(meter.read(seconds(1)).devices[0].temperature_c, None);
        assert_eq!(meter.read(seconds(1)).power.watts, None);
    }
}

/// Whatever this machine is, it can be asked.
#[test]
fn this_machine() {
    let mut meter = Meter::find(Path::new("/"), crate::Nvml::open());
    check(&mut meter, 1);
    let reading = meter.read(seconds(1));
    println!("{:?}\n{reading:?}", meter.sources());
    assert_eq!(reading.at, seconds(1));
}
