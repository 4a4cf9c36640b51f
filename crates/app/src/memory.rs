//! Whether a model fits, said before it is loaded.

use planner::doctor::room;

use crate::doctor::Root;
use crate::{Error, ErrorKind, Result};

/// Left to the rest of the machine; the planner promises the same.
const RESERVE_BYTES: u64 = planner::RESERVE_BYTES;

/// Bytes this process may still take: what the kernel calls available, within the limits of its
/// control groups. None where the system does not say.
pub(crate) fn available_bytes() -> Option<u64> {
    room(&Root::new("/")).available_bytes
}

/// Bytes of the machine, or of the control group that allows least.
pub(crate) fn total_bytes() -> Option<u64> {
    room(&Root::new("/")).total_bytes
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

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use planner::doctor::room;

    use super::check;
    use crate::doctor::Root;

    #[test]
    fn limits_of_the_groups_above_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let found = || {
            let room = room(&Root::new(folder.path()));
            (room.total_bytes, room.available_bytes)
        };
        assert_eq!(found(), (None, None));
        write("proc/meminfo", "MemTotal: 24683520 kB\nMemAvailable: 20000 kB\n");
        assert_eq!(found(), (Some(25_275_924_480), Some(20_480_000)));
        write("proc/self/cgroup", "0::/machine/hob\n");
        write("sys/fs/cgroup/machine/hob/memory.max", "max\n");
        write("sys/fs/cgroup/machine/memory.max", "10000\n");
        assert_eq!(found(), (Some(10_000), Some(10_000)));
        write("sys/fs/cgroup/machine/memory.current", "9000\n");
        write("sys/fs/cgroup/machine/memory.stat", "anon 4000\ninactive_file 5000\n");
        assert_eq!(found(), (Some(10_000), Some(6_000)), "files can be dropped");
        write("sys/fs/cgroup/machine/memory.current", "16000\n");
        assert_eq!(found(), (Some(10_000), Some(0)));
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
