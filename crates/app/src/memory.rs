//! Whether a model fits, said before it is loaded.

use std::path::Path;

use crate::{Error, ErrorKind, Result};

/// Left to the rest of the machine; the planner promises the same.
const RESERVE_BYTES: u64 = planner::RESERVE_BYTES;

/// Bytes this process may still take: what the kernel calls available, within the cgroup's limit.
/// None where the system does not say.
pub(crate) fn available_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let system = parse_meminfo(&meminfo)?;
    let limit = read_number(Path::new("/sys/fs/cgroup/memory.max"));
    let used = read_number(Path::new("/sys/fs/cgroup/memory.current"));
    Some(match (limit, used) {
        (Some(limit), Some(used)) => system.min(limit.saturating_sub(used)),
        _ => system,
    })
}

/// Bytes of the machine, or of the cgroup where it has fewer.
pub(crate) fn total_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let system = field(&meminfo, "MemTotal:")?;
    let limit = read_number(Path::new("/sys/fs/cgroup/memory.max"));
    Some(limit.map_or(system, |limit| system.min(limit)))
}

/// Memory that this process holds of its own; what it maps of files can go at any time.
pub(crate) fn resident_bytes() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Refuses what does not fit, with the bytes.
pub(crate) fn check(name: &str, need: &model::MemoryNeed, available: Option<u64>) -> Result<()> {
    // What is kept of conversations, growing with them or not.
    let kept = need.kv_bytes + need.state_bytes;
    let total = need.weights_bytes + kept + need.workspace_bytes;
    let Some(available) = available else { return Ok(()) };
    if total + RESERVE_BYTES <= available {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Machine,
        format!(
            "{name} needs {} ({} weights, {} context, {} working memory) and this machine has {} \
             to give: choose a smaller model or quantisation, or a smaller --context",
            gib(total),
            gib(need.weights_bytes),
            gib(kept),
            gib(need.workspace_bytes),
            gib(available.saturating_sub(RESERVE_BYTES)),
        ),
    ))
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

fn parse_meminfo(text: &str) -> Option<u64> {
    field(text, "MemAvailable:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn read_number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{check, parse_meminfo};

    #[test]
    fn meminfo_is_read_in_bytes() {
        let text = "MemTotal:       24683520 kB\nMemAvailable:   20000 kB\n";
        assert_eq!(parse_meminfo(text), Some(20_480_000));
        assert_eq!(parse_meminfo("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_the_bytes() {
        let need = model::MemoryNeed {
            weights_bytes: 4 << 30,
            kv_bytes: 1 << 29,
            state_bytes: 1 << 29,
            workspace_bytes: 1 << 28,
        };
        let error = check("big", &need, Some(5 << 30)).expect_err("5.25 GiB in 4.75");
        assert!(error.message.contains("big needs 5.25 GiB (4.00 GiB weights"), "{error}");
        assert!(error.message.contains("has 4.75 GiB to give"), "{error}");
        check("big", &need, Some(6 << 30)).expect("5.25 GiB in 5.75");
    }
}
