//! Watts and joules of recorded machines.

use std::time::Duration;

use super::machine::{Machine, number, seconds, states, told};
use crate::{Basis, Gpu, Model, Scope, State, modelled};

/// A desktop by Intel: two readable domains that count, two that are parts of the first.
const DESKTOP: &str = "
    sys/class/powercap/intel-rapl/enabled = 1
    sys/class/powercap/intel-rapl:0/name = package-0
    sys/class/powercap/intel-rapl:0/energy_uj = 1000000
    sys/class/powercap/intel-rapl:0/max_energy_range_uj = 262143328850
    sys/class/powercap/intel-rapl:0:0/name = core
    sys/class/powercap/intel-rapl:0:0/energy_uj = 500000
    sys/class/powercap/intel-rapl:0:1/name = uncore
    sys/class/powercap/intel-rapl:0:1/energy_uj = 100000
    sys/class/powercap/intel-rapl:0:2/name = dram
    sys/class/powercap/intel-rapl:0:2/energy_uj = 2000000
    sys/class/powercap/intel-rapl-mmio:0/name = package-0
    sys/class/powercap/intel-rapl-mmio:0/energy_uj = 1000000";

const LAPTOP: &str = "
    sys/class/power_supply/AC/type = Mains
    sys/class/power_supply/AC/online = 0
    sys/class/power_supply/BAT0/type = Battery
    sys/class/power_supply/BAT0/present = 1
    sys/class/power_supply/BAT0/status = Discharging
    sys/class/power_supply/BAT0/power_now = 20000000
    sys/class/power_supply/hidpp_battery_0/type = Battery
    sys/class/power_supply/hidpp_battery_0/scope = Device
    sys/class/power_supply/hidpp_battery_0/status = Discharging";

/// Watts now, and millijoules so far.
fn card(name: &str, power_w: Option<f64>, energy_mj: Option<u64>) -> Gpu {
    Gpu { name: name.to_owned(), power_w, energy_mj, ..Gpu::default() }
}

#[test]
fn desktop_with_rapl() {
    let machine = Machine::new(DESKTOP);
    let mut meter = machine.meter();
    assert_eq!(states(meter.sources()), ["package-0: read", "package-0 dram: read"]);
    // 90 J and 6 J in 2 s.
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 91000000
        sys/class/powercap/intel-rapl:0:0/energy_uj = 80000000
        sys/class/powercap/intel-rapl:0:2/energy_uj = 8000000",
    );
    let power = meter.read(seconds(2)).power;
    assert_eq!(told(&power), "48 W, 96 J, counter of parts | package-0, package-0 dram");
    let watts: Vec<_> = power.draws.iter().map(|draw| draw.watts).collect();
    assert_eq!(watts, [Some(45.0), Some(3.0)]);
    // 30 J and 1 J in half a second, added to the joules.
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 121000000
        sys/class/powercap/intel-rapl:0:2/energy_uj = 9000000",
    );
    let reading = meter.read(Duration::from_millis(2500));
    assert_eq!(told(&reading.power), "62 W, 127 J, counter of parts | package-0, package-0 dram");
    assert_eq!(reading.power.joules_basis, Basis::Counter);
    assert_eq!(reading.at, Duration::from_millis(2500));
}

#[test]
fn time_that_does_not_grow_counts_nothing() {
    let machine = Machine::new(DESKTOP);
    let mut meter = machine.meter();
    assert_eq!(told(&meter.read(seconds(0)).power), "? W, ? J, unknown of parts | ");
    machine.put("sys/class/powercap/intel-rapl:0/energy_uj = 11000000");
    let first = meter.read(seconds(1));
    assert_eq!(told(&first.power), "10 W, 10 J, counter of parts | package-0, package-0 dram");
    machine.put("sys/class/powercap/intel-rapl:0/energy_uj = 31000000");
    assert_eq!(meter.read(seconds(1)), first);
    assert_eq!(meter.read(seconds(0)), first);
    // Nothing was lost: 20 J in the next second.
    assert_eq!(
        told(&meter.read(seconds(2)).power),
        "20 W, 30 J, counter of parts | package-0, package-0 dram"
    );
}

#[test]
fn counters_that_start_anew() {
    let machine = Machine::new(
        "sys/class/powercap/intel-rapl:0/name = package-0
        sys/class/powercap/intel-rapl:0/energy_uj = 262140000000
        sys/class/powercap/intel-rapl:0/max_energy_range_uj = 262143328850
        sys/class/powercap/intel-rapl:1/name = package-1
        sys/class/powercap/intel-rapl:1/energy_uj = 7000000",
    );
    let mut meter = machine.meter();
    // 3.32885 J to the end and 6.67115 J after it; the second has no known end and says nothing.
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 6671150
        sys/class/powercap/intel-rapl:1/energy_uj = 1000000",
    );
    assert_eq!(told(&meter.read(seconds(1)).power), "10 W, 10 J, counter of parts | package-0");
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 7671150
        sys/class/powercap/intel-rapl:1/energy_uj = 3000000",
    );
    assert_eq!(
        told(&meter.read(seconds(2)).power),
        "3 W, 13 J, counter of parts | package-0, package-1"
    );
    // A counter that was reset would be 262 kW by its range: it says nothing, the other does.
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 0
        sys/class/powercap/intel-rapl:1/energy_uj = 5000000",
    );
    assert_eq!(told(&meter.read(seconds(3)).power), "2 W, 15 J, counter of parts | package-1");
}

#[test]
fn only_memory_mapped_counters() {
    let machine = Machine::new(
        "sys/class/powercap/intel-rapl-mmio:0/name = package-0
        sys/class/powercap/intel-rapl-mmio:0/energy_uj = 1000000",
    );
    let mut meter = machine.meter();
    machine.put("sys/class/powercap/intel-rapl-mmio:0/energy_uj = 16000000");
    assert_eq!(told(&meter.read(seconds(1)).power), "15 W, 15 J, counter of parts | package-0");
}

/// The platform's counter has the package in it; where it says less it is not wired.
#[test]
fn platform_counter() {
    let machine = Machine::new(DESKTOP);
    machine.put(
        "sys/class/powercap/intel-rapl:1/name = psys
        sys/class/powercap/intel-rapl:1/energy_uj = 0",
    );
    let mut meter = machine.meter();
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 21000000
        sys/class/powercap/intel-rapl:1/energy_uj = 35000000",
    );
    assert_eq!(told(&meter.read(seconds(1)).power), "35 W, 35 J, counter of machine | psys");
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 41000000
        sys/class/powercap/intel-rapl:1/energy_uj = 35000001",
    );
    assert_eq!(
        told(&meter.read(seconds(2)).power),
        "20 W, 55 J, counter of parts | package-0, package-0 dram"
    );
}

#[test]
fn counters_that_only_root_may_read() {
    let machine = Machine::new(DESKTOP);
    machine.put("proc/stat = cpu 0 0 0 0 0 0 0 0\\n");
    let mut meter = machine.closed_meter();
    assert_eq!(meter.sources().len(), 2);
    let State::Closed { why, fix } = &meter.sources()[0].state else { panic!() };
    assert!(why.contains("only root"), "{why}");
    assert_eq!(fix.as_deref(), Some("sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"));
    let power = meter.read(seconds(5)).power;
    assert_eq!(told(&power), "? W, ? J, unknown of parts | ");
    assert_eq!(power.missed, seconds(5));
    assert!(power.draws.is_empty());
}

/// Graphics in the processor tell the whole socket's power: it is read where RAPL is closed only.
#[test]
fn apu_by_amd() {
    const APU: &str = "
        sys/class/powercap/intel-rapl:0/name = package-0
        sys/class/powercap/intel-rapl:0/energy_uj = 0
        sys/class/powercap/intel-rapl:0:0/name = core
        sys/class/powercap/intel-rapl:0:0/energy_uj = 0
        sys/class/hwmon/hwmon2/name = amdgpu
        sys/class/hwmon/hwmon2/in1_label = vddnb
        sys/class/hwmon/hwmon2/power1_average = 40000000
        sys/class/hwmon/hwmon2/power1_input = 1
        sys/class/hwmon/hwmon2/power1_label = PPT";
    let machine = Machine::new(APU);
    let mut meter = machine.meter();
    assert_eq!(states(meter.sources()), ["amdgpu PPT: spare", "package-0: read"]);
    machine.put("sys/class/powercap/intel-rapl:0/energy_uj = 55000000");
    let reading = meter.read(seconds(1));
    assert_eq!(told(&reading.power), "55 W, 55 J, counter of parts | package-0");
    assert_eq!(reading.devices[0].watts, None);

    let mut meter = machine.closed_meter();
    assert_eq!(states(meter.sources())[0], "amdgpu PPT: read");
    // 40 W at first and 60 W then: 50 W in the mean.
    machine.put("sys/class/hwmon/hwmon2/power1_average = 60000000");
    assert_eq!(told(&meter.read(seconds(4)).power), "50 W, 200 J, sensor of parts | amdgpu PPT");
}

#[test]
fn card_by_amd_beside_a_processor() {
    let machine = Machine::new(DESKTOP);
    machine.put(
        "sys/class/hwmon/hwmon0/name = amdgpu
        sys/class/hwmon/hwmon0/power1_input = 100000000",
    );
    let mut meter = machine.meter();
    machine.put("sys/class/powercap/intel-rapl:0/energy_uj = 51000000");
    let reading = meter.read(seconds(1));
    let counted = "AMD graphics at hwmon0, package-0, package-0 dram";
    // The weakest of what was added is what the sum is.
    assert_eq!(told(&reading.power), format!("150 W, 150 J, sensor of parts | {counted}"));
    assert_eq!(reading.devices[0].watts, Some(100.0));
}

#[test]
fn cards_by_intel_count_energy() {
    let machine = Machine::new(
        "sys/class/hwmon/hwmon1/name = xe
        sys/class/hwmon/hwmon1/energy1_input = 710520000000
        sys/class/hwmon/hwmon1/energy1_label = card
        sys/class/hwmon/hwmon1/energy2_input = 977130000000
        sys/class/hwmon/hwmon1/energy2_label = pkg",
    );
    let mut meter = machine.meter();
    machine.put("sys/class/hwmon/hwmon1/energy1_input = 710700000000");
    assert_eq!(
        told(&meter.read(seconds(2)).power),
        "90 W, 180 J, counter of parts | Intel graphics at hwmon1"
    );
}

#[test]
fn servers_by_amd() {
    let machine = Machine::new(
        "sys/class/hwmon/hwmon4/name = amd_energy
        sys/class/hwmon/hwmon4/energy1_input = 0
        sys/class/hwmon/hwmon4/energy1_label = Ecore000
        sys/class/hwmon/hwmon4/energy10_input = 1000000
        sys/class/hwmon/hwmon4/energy10_label = Esocket0
        sys/class/hwmon/hwmon5/name = power_meter
        sys/class/hwmon/hwmon5/power1_average = 300000000",
    );
    let mut meter = machine.meter();
    assert_eq!(states(meter.sources()), ["amd_energy Esocket0: read", "power_meter: read"]);
    machine.put("sys/class/hwmon/hwmon4/energy10_input = 181000000");
    let power = meter.read(seconds(1)).power;
    assert_eq!(told(&power), "300 W, 300 J, sensor of machine | power_meter");
    assert_eq!(power.draws[0].watts, Some(180.0));
    assert!(states(machine.closed_meter().sources())[0].contains("only root"));
}

#[test]
fn laptop_on_its_battery_and_on_mains() {
    let machine = Machine::new(DESKTOP);
    machine.put(LAPTOP);
    let mut meter = machine.meter();
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 11000000
        sys/class/power_supply/BAT0/power_now = -30000000",
    );
    // 20 W and 30 W; the package's 10 J are in it.
    assert_eq!(told(&meter.read(seconds(1)).power), "25 W, 25 J, sensor of machine | battery");
    machine.put(
        "sys/class/powercap/intel-rapl:0/energy_uj = 26000000
        sys/class/power_supply/AC/online = 1
        sys/class/power_supply/BAT0/status = Charging",
    );
    let power = meter.read(seconds(2)).power;
    assert_eq!(told(&power), "15 W, 40 J, counter of parts | package-0, package-0 dram");
    assert_eq!(power.joules_basis, Basis::Sensor);
}

#[test]
fn batteries_by_current_and_voltage() {
    let machine = Machine::new(
        "sys/class/power_supply/BAT0/type = Battery
        sys/class/power_supply/BAT0/status = Discharging
        sys/class/power_supply/BAT0/current_now = 1500000
        sys/class/power_supply/BAT0/voltage_now = 12000000
        sys/class/power_supply/BAT1/type = Battery
        sys/class/power_supply/BAT1/status = Discharging
        sys/class/power_supply/BAT1/power_now = 4000000",
    );
    let mut meter = machine.meter();
    // 1.5 A at 12 V, and 4 W.
    assert_eq!(told(&meter.read(seconds(10)).power), "22 W, 220 J, sensor of machine | battery");
    // A sum without one of them would be too small.
    machine.put("sys/class/power_supply/BAT1/power_now = ");
    assert_eq!(meter.read(seconds(20)).power.watts, None);
}

#[test]
fn cards_by_nvidia() {
    let machine = Machine::new(DESKTOP);
    machine.cards.say(vec![
        card("RTX 4090", Some(300.0), Some(5_000)),
        card("RTX 3060 Laptop", Some(50.0), None),
    ]);
    let mut meter = machine.meter_with_cards();
    let names = ["package-0", "package-0 dram", "RTX 4090 (0)", "RTX 3060 Laptop (1)"];
    assert_eq!(states(meter.sources()), names.map(|name| format!("{name}: read")));
    machine.put("sys/class/powercap/intel-rapl:0/energy_uj = 61000000");
    machine.cards.say(vec![
        card("RTX 4090", Some(10.0), Some(705_000)),
        card("RTX 3060 Laptop", Some(70.0), None),
    ]);
    // Counted: 60 J and 700 J in 2 s; by watts: (50 W + 70 W) / 2.
    let reading = meter.read(seconds(2));
    let counted = "package-0, package-0 dram, RTX 4090 (0), RTX 3060 Laptop (1)";
    assert_eq!(told(&reading.power), format!("440 W, 880 J, sensor of parts | {counted}"));
    let watts: Vec<_> = reading.devices.iter().map(|device| device.watts).collect();
    assert_eq!(watts, [Some(350.0), Some(60.0)]);
    // The driver was loaded anew: its counter is behind, and the watts stand in.
    machine.cards.say(vec![card("RTX 4090", Some(30.0), Some(0))]);
    let reading = meter.read(seconds(3));
    assert_eq!((reading.devices[0].watts, reading.devices[0].joules), (Some(20.0), Some(720.0)));
    // A card that is gone keeps what it drew.
    assert_eq!((reading.devices[1].watts, reading.devices[1].joules), (None, Some(120.0)));
}

#[test]
fn driver_of_nvidia_that_refuses() {
    let machine = Machine::new("proc/version = x");
    machine.cards.fail("Driver/library version mismatch");
    let mut meter = machine.meter_with_cards();
    assert_eq!(states(meter.sources()), ["NVIDIA graphics: Driver/library version mismatch"]);
    assert_eq!(told(&meter.read(seconds(1)).power), "? W, ? J, unknown of parts | ");
}

/// GB10 without a driver for the rest of it: the model has the processor, the card does not.
#[test]
fn models_stand_in_for_a_processor_that_is_silent() {
    let stat = |busy: u32, idle: u32| format!("proc/stat = cpu {busy} 0 0 {idle} 0 0 0 0\\n");
    let machine = Machine::new(&stat(0, 0));
    let gb10 = |power_w| vec![card("NVIDIA GB10", Some(power_w), None)];
    machine.cards.say(gb10(5.0));
    let mut meter = machine.meter_with_cards().with_model(Model { idle_w: 30.0, load_w: 130.0 });
    machine.put(&stat(25, 75));
    // A quarter of the 100 W between idle and load, in place of the card's 5 W.
    let power = meter.read(seconds(2)).power;
    assert_eq!(told(&power), "55 W, 110 J, modelled of machine | ");
    assert_eq!(number(power.draws[0].watts), "5");
    // The card alone draws more than the model has, in the mean of 5 W and 155 W.
    machine.cards.say(gb10(155.0));
    machine.put(&stat(25, 175));
    let power = meter.read(seconds(4)).power;
    assert_eq!(told(&power), "80 W, 270 J, sensor of parts | NVIDIA GB10");
    assert_eq!((power.joules_basis, power.scope), (Basis::Modelled, Scope::Parts));
}

#[test]
fn gb10_with_its_driver_for_power() {
    let machine = Machine::new(
        "sys/class/hwmon/hwmon7/name = spbm
        sys/class/hwmon/hwmon7/power1_label = sys_total
        sys/class/hwmon/hwmon7/power1_input = 36000000
        sys/class/hwmon/hwmon7/power2_label = soc_pkg
        sys/class/hwmon/hwmon7/power2_input = 22000000
        sys/class/hwmon/hwmon7/energy1_label = pkg
        sys/class/hwmon/hwmon7/energy1_input = 1
        sys/class/hwmon/hwmon7/energy3_label = cpu_p
        sys/class/hwmon/hwmon7/energy3_input = 1000000",
    );
    machine.cards.say(vec![card("NVIDIA GB10", Some(4.0), Some(0))]);
    let mut meter = machine.meter_with_cards();
    machine.cards.say(vec![card("NVIDIA GB10", Some(60.0), Some(60_000))]);
    machine.put(
        "sys/class/hwmon/hwmon7/power1_input = 140000000
        sys/class/hwmon/hwmon7/energy3_input = 11000000",
    );
    let power = meter.read(seconds(1)).power;
    assert_eq!(told(&power), "88 W, 88 J, sensor of machine | spbm sys_total");
    let parts: Vec<_> = power.draws.iter().map(|draw| (draw.name.as_str(), draw.watts)).collect();
    assert_eq!(
        parts,
        [("spbm sys_total", Some(88.0)), ("spbm cpu_p", Some(10.0)), ("NVIDIA GB10", Some(60.0))]
    );
}

#[test]
fn models_alone() {
    assert_eq!(modelled(Model { idle_w: 20.0, load_w: 100.0 }, 0.5), 60.0);
    assert_eq!(modelled(Model { idle_w: 20.0, load_w: 100.0 }, 7.0), 100.0);
    let machine = Machine::new("proc/stat = cpu 0 0 0 0 0 0 0 0\\n");
    let mut meter = machine.meter().with_model(Model { idle_w: 20.0, load_w: 100.0 });
    machine.put("proc/stat = cpu 40 0 0 60 0 0 0 0\\n");
    let power = meter.read(seconds(3)).power;
    assert_eq!(told(&power), "52 W, 156 J, modelled of machine | ");
    assert_eq!(power.joules_basis, Basis::Modelled);
}
