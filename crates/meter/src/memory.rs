//! Main memory, the machine's and this process's.

use crate::files::Files;
use crate::reading::Memory;

pub(crate) fn read(files: &Files) -> Memory {
    let meminfo = files.text("/proc/meminfo").unwrap_or_default();
    // statm counts pages, whose size is not written anywhere.
    let status = files.text("/proc/self/status").unwrap_or_default();
    Memory {
        total_bytes: bytes(&meminfo, "MemTotal:"),
        available_bytes: bytes(&meminfo, "MemAvailable:"),
        process_bytes: bytes(&status, "VmRSS:"),
    }
}

/// Of a line `MemTotal:  1000 kB`.
fn bytes(text: &str, key: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace();
    let kib: u64 = words.next()?.parse().ok()?;
    // A line that is cut short has lost digits, perhaps.
    (words.next() == Some("kB")).then(|| kib.checked_mul(1024)).flatten()
}
