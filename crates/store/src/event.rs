//! What a pull tells while it works, for a progress bar or a log.

/// A step of a pull, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// A source is being tried: number `index` (from 1) `of` those that exist.
    Source {
        /// From 1.
        index: usize,
        /// How many there are.
        of: usize,
        /// What and where, for people.
        what: String,
    },
    /// It could not give the file; the next one follows.
    SourceFailed {
        /// What and where, for people.
        what: String,
        /// Its answer.
        why: String,
    },
    /// Bytes on disk so far; `resumed_bytes` of them were there before this run.
    Progress {
        /// Bytes on disk.
        done_bytes: u64,
        /// Bytes of the whole file, when known.
        total_bytes: Option<u64>,
        /// Bytes that an earlier, interrupted run had fetched.
        resumed_bytes: u64,
    },
    /// The hash is being checked.
    Verifying {
        /// Bytes of the file.
        total_bytes: u64,
    },
    /// The file is in the store.
    Done {
        /// Where.
        path: std::path::PathBuf,
    },
}
