//! Main memory, swap, and limits.

use super::{Files, Source, dmi, field, pressure};
use crate::doctor::facts::Memory;

/// A limit that is none, in the first version of control groups: near 2^63.
const UNLIMITED: u64 = 1 << 60;

/// What programs of a machine may have of its memory, limits of control groups kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the machine, or of the control group that allows least.
    pub total_bytes: Option<u64>,
    /// What of it this process may still take; none where the system does not say.
    pub available_bytes: Option<u64>,
}

/// Reads what there is room for: what the kernel calls available, and of each control group of
/// this process and those above it the limit less what is in use.
#[must_use]
pub fn room(source: &dyn Source) -> Room {
    let files = Files { source };
    let meminfo = files.text("/proc/meminfo").unwrap_or_default();
    let groups = groups(&files);
    let least = |of_system: Option<u64>, of_group: fn(&Group) -> u64| {
        of_system.map(|bytes| groups.iter().map(of_group).fold(bytes, u64::min))
    };
    Room {
        total_bytes: least(kib(&meminfo, "MemTotal"), |group| group.limit_bytes),
        available_bytes: least(kib(&meminfo, "MemAvailable"), Group::available_bytes),
    }
}

pub(super) fn read(files: &Files<'_>) -> Memory {
    let meminfo = files.text("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| kib(&meminfo, name);
    let count = |name: &str| field(&meminfo, name)?.parse::<u64>().ok();
    let size = kib("Hugepagesize");
    let huge = |name: &str| count(name)?.checked_mul(size?);
    let swaps = files.text("/proc/swaps").unwrap_or_default();
    let transparent = files.text("/sys/kernel/mm/transparent_hugepage/enabled");
    let waited = files.text("/proc/pressure/memory").unwrap_or_default();
    let swappiness = files.number("/proc/sys/vm/swappiness");
    Memory {
        total_bytes: kib("MemTotal"),
        available_bytes: kib("MemAvailable"),
        swap_bytes: kib("SwapTotal"),
        swap_free_bytes: kib("SwapFree"),
        swap_devices: swaps
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect(),
        swappiness: swappiness.and_then(|value| u32::try_from(value).ok()),
        huge_bytes: huge("HugePages_Total").zip(huge("HugePages_Free")),
        transparent: transparent.as_deref().and_then(chosen),
        pressure_percent: pressure(&waited, "full", "avg10"),
        limit_bytes: groups(files).iter().map(|group| group.limit_bytes).min(),
        devices: files
            .source
            .bytes("/sys/firmware/dmi/tables/DMI")
            .map(|table| dmi::memory_devices(&table))
            .filter(|devices| !devices.is_empty()),
        errors: errors(files),
    }
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Bytes of a line of `/proc/meminfo`.
fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let value = field(meminfo, name)?.strip_suffix("kB")?;
    value.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A control group with a limit.
#[derive(Clone, Copy)]
struct Group {
    limit_bytes: u64,
    /// What its processes have, files that could be dropped at once left out.
    used_bytes: u64,
}

impl Group {
    fn available_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// This process's control group and those above it, as far as they have limits.
fn groups(files: &Files<'_>) -> Vec<Group> {
    let Some(groups) = files.text("/proc/self/cgroup") else { return Vec::new() };
    let second = ["memory.max", "memory.current", "inactive_file"];
    let first = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
    let of = |controller: Option<&str>, [limit, used, idle]: [&str; 3]| -> Vec<Group> {
        let folders = group_folders(&groups, controller).into_iter();
        let read = |folder: String| {
            let limit_bytes = files.number(&format!("{folder}/{limit}"))?;
            let used = files.number(&format!("{folder}/{used}")).unwrap_or(0);
            let stat = files.text(&format!("{folder}/memory.stat")).unwrap_or_default();
            let used_bytes = used.saturating_sub(counter(&stat, idle).unwrap_or(0));
            (limit_bytes < UNLIMITED).then_some(Group { limit_bytes, used_bytes })
        };
        folders.filter_map(read).collect()
    };
    [of(None, second), of(Some("memory"), first)].concat()
}

/// A line `name number`.
fn counter(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// Folders of the control group and of those above it: of the second version, or of a controller
/// of the first one. In a container the kernel shows the path outside, so the root is always
/// among them.
pub(super) fn group_folders(groups: &str, controller: Option<&str>) -> Vec<String> {
    let path = groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (names, path) = line.split_once(':')?;
        let is_it = match controller {
            None => names.is_empty(),
            Some(controller) => names.split(',').any(|name| name == controller),
        };
        is_it.then_some(path)
    });
    let Some(path) = path else { return Vec::new() };
    let mount = match controller {
        None => "/sys/fs/cgroup".to_owned(),
        Some(controller) => format!("/sys/fs/cgroup/{controller}"),
    };
    let above = super::ancestors(path).filter(|path| *path != "/");
    above.map(|path| format!("{mount}{path}")).chain([mount.clone()]).collect()
}

/// Of all memory controllers: corrected and not corrected.
fn errors(files: &Files<'_>) -> Option<(u64, u64)> {
    let controllers = files.paths("/sys/devices/system/edac/mc", "mc");
    let counts = controllers.iter().filter_map(|path| {
        let count = |name: &str| files.number(&format!("{path}/{name}"));
        count("ce_count").zip(count("ue_count"))
    });
    counts.reduce(|sum, next| (sum.0.saturating_add(next.0), sum.1.saturating_add(next.1)))
}

#[cfg(test)]
mod tests {
    use super::{chosen, group_folders};

    #[test]
    fn settings_in_brackets() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        for damaged in ["", "always", "[", "]["] {
            assert_eq!(chosen(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn control_groups_and_those_above() {
        let groups = "4:cpu,cpuacct:/a\n3:memory:/\n0::/user.slice/x.scope";
        let folders = group_folders(groups, None);
        let cgroup = "/sys/fs/cgroup";
        assert_eq!(
            folders,
            [
                format!("{cgroup}/user.slice/x.scope"),
                format!("{cgroup}/user.slice"),
                cgroup.to_owned()
            ]
        );
        assert_eq!(group_folders(groups, Some("cpu")).len(), 2);
        assert_eq!(group_folders(groups, Some("memory")), ["/sys/fs/cgroup/memory"]);
        assert!(group_folders("damaged", None).is_empty());
    }
}
