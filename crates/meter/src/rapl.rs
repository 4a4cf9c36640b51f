//! Counters that Intel's and AMD's processors keep themselves, through Linux's powercap: folders
//! `intel-rapl:0` with `name`, `energy_uj` and `max_energy_range_uj`, of AMD too.

use crate::draws::{Probe, Tally};
use crate::files::Files;
use crate::reading::{Basis, Domain};
use crate::source::{Source, State};

const POWERCAP: &str = "/sys/class/powercap";
/// Opens the counters until the next start; `docs/energy.md` says how to keep it.
const FIX: &str = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj";

pub(crate) fn find(files: &Files) -> (Vec<Tally>, Vec<Source>) {
    let (mut tallies, mut sources) = (Vec::new(), Vec::new());
    for zone in zones(files) {
        let Some((name, domain)) = meaning(files, &zone) else { continue };
        let path = format!("{zone}/energy_uj");
        let state = State::of(files, &path, FIX);
        if state == State::Read {
            let range_uj = files.number(&format!("{zone}/max_energy_range_uj"));
            let probe = Probe::Energy { path: path.clone(), range_uj };
            tallies.push(Tally::new(name.clone(), domain, probe));
        }
        sources.push(Source { name, from: path, basis: Basis::Counter, state });
    }
    (tallies, sources)
}

/// Those by registers; where there are none, those by memory, which are the same counters.
fn zones(files: &Files) -> Vec<String> {
    let zones = files.paths(POWERCAP, "intel-rapl:");
    if zones.is_empty() { files.paths(POWERCAP, "intel-rapl-mmio:") } else { zones }
}

/// `core` and `uncore` are parts of their package.
fn meaning(files: &Files, zone: &str) -> Option<(String, Domain)> {
    let name = files.text(&format!("{zone}/name"))?;
    if name == "psys" {
        return Some((name, Domain::Machine));
    }
    if name.starts_with("package") {
        return Some((name, Domain::Processor));
    }
    if name != "dram" {
        return None;
    }
    let package = zone.rsplit_once(':').and_then(|(package, _)| {
        let name = files.text(&format!("{package}/name"))?;
        name.starts_with("package").then_some(name)
    });
    let name = package.map_or_else(|| name.clone(), |package| format!("{package} {name}"));
    Some((name, Domain::Memory))
}
