//! Machines that tell their watts in each of the ways, from files and answers.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meter::{Driver, Gpu, GpuDetails, Gpus, Meter};
use tempfile::TempDir;

use super::{Drawn, Gauge};

/// A card of NVIDIA's that answers with watts.
#[derive(Clone, Default)]
struct Card(Arc<Mutex<f64>>);

impl Gpus for Card {
    fn driver(&self) -> Driver {
        Driver::default()
    }

    fn now(&self) -> Vec<Gpu> {
        let power_w = Some(*self.0.lock().unwrap());
        vec![Gpu { name: "a card".to_owned(), power_w, ..Gpu::default() }]
    }

    fn details(&self) -> Vec<GpuDetails> {
        Vec::new()
    }
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What is told of a machine with files that are one thing at the start, another at the first
/// look after a second, and a third at the last, ten seconds later.
fn told(path: &str, texts: [&str; 3], beside: &[(&str, &str)]) -> Result<Drawn, String> {
    let folder = TempDir::new().unwrap();
    for (path, text) in beside {
        put(folder.path(), path, text);
    }
    put(folder.path(), path, texts[0]);
    let mut gauge = Gauge::new(Meter::find(folder.path(), None));
    put(folder.path(), path, texts[1]);
    gauge.look(Duration::from_secs(1));
    put(folder.path(), path, texts[2]);
    gauge.look(Duration::from_secs(11));
    gauge.drawn()
}

#[track_caller]
fn check(found: &Result<Drawn, String>, watts: f64, by: &str) {
    assert_eq!(*found, Ok(Drawn { watts, by: by.to_owned() }));
}

const PACKAGE: &str = "sys/class/powercap/intel-rapl:0/energy_uj";
const PACKAGE_NAME: (&str, &str) = ("sys/class/powercap/intel-rapl:0/name", "package-0\n");

#[test]
fn counters_of_processors() {
    // 5 J while it waited, and then 450.
    let found = told(PACKAGE, ["1000000", "6000000", "456000000"], &[PACKAGE_NAME]);
    check(&found, 45.0, "counter: package-0");
}

#[test]
fn sensors_of_boards() {
    let of = |name: &'static str| (name, "sys/class/hwmon/hwmon0/power1_input");
    let (name, path) = of("amdgpu");
    let beside =
        [("sys/class/hwmon/hwmon0/name", name), ("sys/class/hwmon/hwmon0/power1_label", "PPT")];
    let found = told(path, ["9000000", "80000000", "90000000"], &beside);
    // A card's alone is no answer; a server's meter of its supply is.
    assert_eq!(found, Err("nothing here tells what the processor draws".to_owned()));
    let beside = [("sys/class/hwmon/hwmon0/name", "power_meter")];
    let path = "sys/class/hwmon/hwmon0/power1_average";
    let found = told(path, ["9000000", "80000000", "90000000"], &beside);
    check(&found, 85.0, "sensor: power_meter");
}

#[test]
fn batteries() {
    let beside = [
        ("sys/class/power_supply/AC/type", "Mains"),
        ("sys/class/power_supply/AC/online", "0"),
        ("sys/class/power_supply/BAT0/type", "Battery"),
        ("sys/class/power_supply/BAT0/present", "1"),
        ("sys/class/power_supply/BAT0/status", "Discharging"),
    ];
    let path = "sys/class/power_supply/BAT0/power_now";
    let found = told(path, ["8000000", "30000000", "34000000"], &beside);
    check(&found, 32.0, "sensor: battery");
}

#[test]
fn cards_count_beside_the_processor() {
    let folder = TempDir::new().unwrap();
    let card = Card::default();
    put(folder.path(), PACKAGE_NAME.0, PACKAGE_NAME.1);
    put(folder.path(), PACKAGE, "0");
    let mut gauge = Gauge::new(Meter::find(folder.path(), Some(Box::new(card.clone()))));
    *card.0.lock().unwrap() = 20.0;
    gauge.look(Duration::from_secs(1));
    put(folder.path(), PACKAGE, "300000000");
    gauge.look(Duration::from_secs(11));
    check(&gauge.drawn(), 50.0, "sensor: package-0, a card");
    // Alone it says nothing of the processor.
    let mut gauge = Gauge::new(Meter::find(&folder.path().join("none"), Some(Box::new(card))));
    gauge.look(Duration::from_secs(1));
    gauge.look(Duration::from_secs(2));
    assert!(gauge.drawn().is_err());
}

#[test]
fn one_look_is_no_time() {
    let mut gauge = Gauge::new(Meter::find(Path::new("/nowhere at all"), None));
    gauge.look(Duration::from_secs(1));
    assert!(gauge.drawn().is_err());
}
