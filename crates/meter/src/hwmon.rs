//! Sensors and counters that drivers show through Linux's hwmon: `power1_average` and
//! `power1_input` in microwatts, `energy1_input` in microjoules.

use std::collections::BTreeMap;

use crate::draws::{Probe, Tally};
use crate::files::Files;
use crate::graphics;
use crate::reading::{Basis, Domain};
use crate::source::{Source, State};

const HWMON: &str = "/sys/class/hwmon";

/// A driver's folder.
pub(crate) struct Chip {
    /// `coretemp`, `amdgpu`.
    pub(crate) driver: String,
    /// `/sys/class/hwmon/hwmon3`.
    pub(crate) path: String,
}

/// A driver whose power or energy is known to mean something.
struct Row {
    driver: &'static str,
    kind: Kind,
    pick: Pick,
    domain: Domain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Energy,
    Power,
}

/// Which of a driver's channels.
enum Pick {
    First,
    /// Those whose labels begin so.
    Labelled(&'static [&'static str]),
}

/// Sorted by driver. Of drivers that tell the processor's power the first that is there is read,
/// and none where RAPL is.
const ROWS: [Row; 8] = [
    // Counters of AMD's servers, of each socket and each core.
    Row {
        driver: "amd_energy",
        kind: Kind::Energy,
        pick: Pick::Labelled(&["Esocket"]),
        domain: Domain::Processor,
    },
    // Of a card the board, of graphics in a processor the whole socket.
    Row { driver: "amdgpu", kind: Kind::Power, pick: Pick::First, domain: Domain::Graphics },
    // Intel's cards; the first is the card where that is told, else its package.
    Row { driver: "i915", kind: Kind::Energy, pick: Pick::First, domain: Domain::Graphics },
    // A meter in a server's power supply, by ACPI.
    Row { driver: "power_meter", kind: Kind::Power, pick: Pick::First, domain: Domain::Machine },
    // GB10, by a driver that is not part of Linux.
    Row {
        driver: "spbm",
        kind: Kind::Power,
        pick: Pick::Labelled(&["sys_total"]),
        domain: Domain::Machine,
    },
    Row {
        driver: "spbm",
        kind: Kind::Energy,
        pick: Pick::Labelled(&["cpu_e", "cpu_p"]),
        domain: Domain::Processor,
    },
    Row { driver: "xe", kind: Kind::Energy, pick: Pick::First, domain: Domain::Graphics },
    // The successor of `amd_energy`, for desktops too; not part of Linux.
    Row {
        driver: "zenergy",
        kind: Kind::Energy,
        pick: Pick::Labelled(&["Esocket"]),
        domain: Domain::Processor,
    },
];

pub(crate) fn chips(files: &Files) -> Vec<Chip> {
    let chip = |path: String| Some(Chip { driver: files.text(&format!("{path}/name"))?, path });
    files.paths(HWMON, "hwmon").into_iter().filter_map(chip).collect()
}

/// `has_processor`: RAPL tells the processor's power already.
pub(crate) fn find(
    files: &Files,
    chips: &[Chip],
    has_processor: bool,
) -> (Vec<Tally>, Vec<Source>) {
    let mut found = Found { files, taken: has_processor.then_some("rapl"), tallies: Vec::new() };
    let mut sources = Vec::new();
    for row in &ROWS {
        for chip in chips.iter().filter(|chip| chip.driver == row.driver) {
            sources.extend(found.take(row, chip));
        }
    }
    (found.tallies, sources)
}

struct Found<'a> {
    files: &'a Files,
    /// Who tells the processor's power.
    taken: Option<&'static str>,
    tallies: Vec<Tally>,
}

impl Found<'_> {
    fn take(&mut self, row: &Row, chip: &Chip) -> Vec<Source> {
        let is_in_processor = row.driver == "amdgpu" && graphics::is_in_processor(self.files, chip);
        let domain = if is_in_processor { Domain::Processor } else { row.domain };
        let mut sources = Vec::new();
        for (label, path) in channels(self.files, chip, row) {
            let name = name(self.files, chip, domain, label.as_deref());
            let state = self.state(row, domain, &path);
            if state == State::Read {
                let probe = match row.kind {
                    Kind::Energy => Probe::Energy { path: path.clone(), range_uj: None },
                    Kind::Power => Probe::Power { path: path.clone() },
                };
                self.tallies.push(Tally::new(name.clone(), domain, probe));
            }
            let basis = if row.kind == Kind::Energy { Basis::Counter } else { Basis::Sensor };
            sources.push(Source { name, from: path, basis, state });
        }
        sources
    }

    fn state(&mut self, row: &Row, domain: Domain, path: &str) -> State {
        if domain == Domain::Processor && self.taken.is_some_and(|driver| driver != row.driver) {
            return State::Spare;
        }
        // A card that sleeps answers nothing now and something later.
        let state = if row.kind == Kind::Energy && domain != Domain::Graphics {
            State::of(self.files, path, &format!("sudo chmod a+r {path}"))
        } else {
            State::Read
        };
        if domain == Domain::Processor && state == State::Read {
            self.taken = Some(row.driver);
        }
        state
    }
}

fn name(files: &Files, chip: &Chip, domain: Domain, label: Option<&str>) -> String {
    match domain {
        Domain::Graphics => graphics::name(files, chip),
        Domain::Processor | Domain::Memory | Domain::Machine => match label {
            Some(label) => format!("{} {label}", chip.driver),
            None => chip.driver.clone(),
        },
    }
}

/// Labels and paths of the row's channels.
fn channels(files: &Files, chip: &Chip, row: &Row) -> Vec<(Option<String>, String)> {
    let kind = if row.kind == Kind::Energy { "energy" } else { "power" };
    let mut paths = BTreeMap::new();
    for path in files.paths(&chip.path, kind) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some((number, what)) = name.strip_prefix(kind).and_then(|rest| rest.split_once('_'))
        else {
            continue;
        };
        // `power1_average` comes before `power1_input`, and is steadier.
        if let (Ok(number), "average" | "input") = (number.parse::<u32>(), what) {
            paths.entry(number).or_insert(path);
        }
    }
    let labelled = paths
        .into_iter()
        .map(|(number, path)| (files.text(&format!("{}/{kind}{number}_label", chip.path)), path));
    match row.pick {
        Pick::First => labelled.take(1).collect(),
        Pick::Labelled(starts) => labelled
            .filter(|(label, _)| {
                let is = |start: &&str| label.as_ref().is_some_and(|text| text.starts_with(start));
                starts.iter().any(is)
            })
            .collect(),
    }
}
