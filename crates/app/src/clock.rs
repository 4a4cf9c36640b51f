//! Wall-clock time and unique ids: the one place where they enter the house.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 on a machine whose clock is before that.
#[must_use]
pub fn unix_time_s() -> u64 {
    since_1970().as_secs()
}

/// An id that no other request of this process has, and hardly one of another.
#[must_use]
pub fn unique_id(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{:x}{count:04x}", since_1970().as_nanos())
}

fn since_1970() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is where wall-clock time enters")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
