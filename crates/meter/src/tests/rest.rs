//! Load, clocks, heat, throttling and memory of recorded machines.

use super::machine::{Machine, number, seconds, told};
use crate::{Cpu, Device, Gpu, Memory};

/// `load MHz °C throttled`, rounded to a thousandth.
fn line(cpu: Cpu) -> String {
    let throttled = cpu.throttled.map_or("?".to_owned(), |throttled| throttled.to_string());
    let [load, mhz, celsius] = [cpu.utilisation, cpu.frequency_mhz, cpu.temperature_c].map(number);
    format!("{load} {mhz} {celsius} {throttled}")
}

#[test]
fn processor_by_intel() {
    let machine = Machine::new(
        "proc/stat = cpu  100 10 40 800 50 0 5 0 3 0\\ncpu0 1 1 1 1\\n
        sys/class/hwmon/hwmon0/name = nvme
        sys/class/hwmon/hwmon0/temp1_input = 90000
        sys/class/hwmon/hwmon1/name = coretemp
        sys/class/hwmon/hwmon1/temp1_label = Package id 0
        sys/class/hwmon/hwmon1/temp1_input = 61000
        sys/class/hwmon/hwmon1/temp2_label = Core 0
        sys/class/hwmon/hwmon1/temp2_input = 75000
        sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq = 3000000
        sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq = 4001000
        sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count = 3
        sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_total_time_ms = 70
        sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count = 5
        sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count = 0
        sys/devices/system/cpu/cpuidle/current_driver = intel_idle",
    );
    let mut meter = machine.meter();
    // Of 200 ticks 90 idle and 10 waiting for disks.
    machine.put(
        "proc/stat = cpu  180 10 50 890 60 0 15 0 9 0\\n
        sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count = 1",
    );
    assert_eq!(line(meter.read(seconds(1)).cpu), "0.5 3500.5 61 true");
    machine.put("proc/stat = cpu  180 10 50 990 60 0 15 0 9 0\\n");
    assert_eq!(line(meter.read(seconds(2)).cpu), "0 3500.5 61 false");
    // No tick has passed.
    assert_eq!(line(meter.read(seconds(3)).cpu), "? 3500.5 61 false");
}

#[test]
fn temperatures_of_other_processors() {
    let check = |files: &str, expected: &str| {
        let reading = Machine::new(files).meter().read(seconds(1));
        assert_eq!(number(reading.cpu.temperature_c), expected, "{files}");
    };
    check(
        "sys/class/hwmon/hwmon0/name = k10temp
        sys/class/hwmon/hwmon0/temp1_label = Tctl
        sys/class/hwmon/hwmon0/temp1_input = 82000
        sys/class/hwmon/hwmon0/temp2_label = Tdie
        sys/class/hwmon/hwmon0/temp2_input = 55250",
        "55.25",
    );
    check(
        "sys/class/hwmon/hwmon0/name = cpu_thermal
        sys/class/hwmon/hwmon0/temp1_input = 48312",
        "48.312",
    );
    check(
        "sys/class/thermal/thermal_zone0/type = acpitz
        sys/class/thermal/thermal_zone0/temp = 27800
        sys/class/thermal/thermal_zone1/type = x86_pkg_temp
        sys/class/thermal/thermal_zone1/temp = 44000",
        "44",
    );
    // GB10 has the firmware's zones only.
    check(
        "sys/class/thermal/thermal_zone0/type = acpitz
        sys/class/thermal/thermal_zone0/temp = 38900
        sys/class/thermal/thermal_zone1/type = acpitz
        sys/class/thermal/thermal_zone1/temp = 41700",
        "41.7",
    );
    check(
        "sys/class/hwmon/hwmon0/name = k10temp
        sys/class/hwmon/hwmon0/temp1_input = 255000",
        "?",
    );
}

#[test]
fn virtual_machine_that_tells_little() {
    let machine = Machine::new(
        "proc/stat = cpu 10 0 10 80 0 0 0 0\\n
        proc/cpuinfo = processor : 0\\ncpu MHz\\t\\t: 2000.000\\ncpu MHz : 2500.5\\n
        proc/meminfo = MemTotal:       1000 kB\\nMemFree: 1 kB\\nMemAvailable:    600 kB\\n
        proc/self/status = Name: hob\\nVmRSS:\\t  12345 kB\\n
        sys/class/power_supply/notes = nothing",
    );
    let mut meter = machine.meter();
    assert!(meter.sources().is_empty());
    machine.put("proc/stat = cpu 10 0 10 80 0 0 0 100\\n");
    let reading = meter.read(seconds(1));
    // What the host takes is not idle.
    assert_eq!(line(reading.cpu), "1 2250.25 ? ?");
    let expected = Memory {
        total_bytes: Some(1_024_000),
        available_bytes: Some(614_400),
        process_bytes: Some(12_641_280),
    };
    assert_eq!(reading.memory, expected);
    assert_eq!(told(&reading.power), "? W, ? J, unknown of parts | ");
    assert!(reading.devices.is_empty());
}

#[test]
fn what_cards_do() {
    let machine = Machine::new(
        "sys/class/hwmon/hwmon3/name = amdgpu
        sys/class/hwmon/hwmon3/temp1_input = 65000
        sys/class/hwmon/hwmon3/freq1_input = 2400000000
        sys/class/hwmon/hwmon3/power1_cap = 303000000
        sys/class/hwmon/hwmon3/device/gpu_busy_percent = 87
        sys/class/hwmon/hwmon3/device/mem_info_vram_total = 17163091968
        sys/class/hwmon/hwmon3/device/mem_info_vram_used = 1073741824",
    );
    // GB10 has no memory of its own, and answers nothing of limits.
    machine.cards.say(vec![Gpu {
        name: "NVIDIA GB10".to_owned(),
        power_w: Some(42.5),
        utilization_percent: Some(96),
        celsius: Some(70),
        clock_mhz: Some(2405),
        throttled_by: Some(vec!["sw_power_cap".to_owned()]),
        ..Gpu::default()
    }]);
    let reading = machine.meter_with_cards().read(seconds(1));
    let gb10 = Device {
        name: "NVIDIA GB10".to_owned(),
        watts: Some(42.5),
        joules: Some(42.5),
        utilisation: Some(0.96),
        temperature_c: Some(70.0),
        frequency_mhz: Some(2405.0),
        throttled_by: Some(vec!["sw_power_cap".to_owned()]),
        ..Device::default()
    };
    let amd = Device {
        name: "AMD graphics at hwmon3".to_owned(),
        power_limit_w: Some(303.0),
        utilisation: Some(0.87),
        temperature_c: Some(65.0),
        frequency_mhz: Some(2400.0),
        memory_total_bytes: Some(17_163_091_968),
        memory_used_bytes: Some(1_073_741_824),
        ..Device::default()
    };
    assert_eq!(reading.devices, [gb10, amd]);
}

/// Asking a card that sleeps would wake it, and cost what is to be measured.
#[test]
fn cards_that_sleep_are_left_alone() {
    let machine = Machine::new(
        "sys/class/hwmon/hwmon3/name = amdgpu
        sys/class/hwmon/hwmon3/power1_average = 30000000
        sys/class/hwmon/hwmon3/temp1_input = 40000
        sys/class/hwmon/hwmon3/device/power/runtime_status = suspended",
    );
    let mut meter = machine.meter();
    let reading = meter.read(seconds(1));
    assert_eq!((reading.devices[0].temperature_c, reading.power.watts), (None, None));
    machine.put("sys/class/hwmon/hwmon3/device/power/runtime_status = active");
    assert_eq!(meter.read(seconds(2)).devices[0].temperature_c, Some(40.0));
    let counted = "AMD graphics at hwmon3";
    let expected = format!("30 W, 30 J, sensor of parts | {counted}");
    assert_eq!(told(&meter.read(seconds(3)).power), expected);
}

#[cfg(unix)]
#[test]
fn cards_are_named_by_their_address() {
    let machine = Machine::new("sys/class/hwmon/hwmon3/name = amdgpu");
    let link = machine.folder.path().join("sys/class/hwmon/hwmon3/device");
    std::os::unix::fs::symlink("../../../0000:03:00.0", link).unwrap();
    let name = &machine.meter().read(seconds(1)).devices[0].name;
    assert_eq!(name, "AMD graphics at 0000:03:00.0");
}
