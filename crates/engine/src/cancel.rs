//! A flag that stops a generation within one token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const RUNNING: u8 = 0;
const ENOUGH: u8 = 1;
const CANCELLED: u8 = 2;

/// Shared by whoever may stop a request and the loop that runs it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicU8>);

// Nothing else is published through the flag, so no ordering is needed.
impl CancelToken {
    /// Asks for the stop; it cannot be taken back.
    pub fn cancel(&self) {
        self.0.fetch_max(CANCELLED, Ordering::Relaxed);
    }

    /// Asks for the end of an answer that has all that was wanted.
    pub fn enough(&self) {
        self.0.fetch_max(ENOUGH, Ordering::Relaxed);
    }

    /// Whether someone asked for either.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != RUNNING
    }

    /// Whether the answer had all that was wanted, and nobody asked for more than its end.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENOUGH
    }
}
