//! How much room a disk has left.

use std::path::Path;

/// Bytes that this user may still write in the file system of `folder`.
///
/// # Errors
/// The system does not tell.
pub fn available_space(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
