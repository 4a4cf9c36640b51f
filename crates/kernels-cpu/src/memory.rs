//! Large zeroed memory whose pages the system hands out when they are first written, so that the
//! threads that fill it also share the page faults.
#![expect(
    unsafe_code,
    reason = "`vec!` would write the zeros on one thread, and abort when it fails"
)]

use std::alloc::{Layout, alloc_zeroed};

use tensor::{Error, Result};

/// `len` zeroed values.
///
/// # Errors
/// [`Error::OutOfMemory`] naming `purpose`.
pub(crate) fn zeroed<T: bytemuck::Zeroable>(len: usize, purpose: &str) -> Result<Vec<T>> {
    let refused = || Error::OutOfMemory {
        needed_bytes: len.saturating_mul(size_of::<T>()),
        purpose: purpose.to_owned(),
    };
    let layout = Layout::array::<T>(len).map_err(|_| refused())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the size is not 0.
    let first = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if first.is_null() {
        return Err(refused());
    }
    // SAFETY: the global allocator gave room for `len` values, and zeros are a valid `T`.
    Ok(unsafe { Vec::from_raw_parts(first, len, len) })
}
