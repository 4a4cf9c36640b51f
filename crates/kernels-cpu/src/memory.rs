//! Large zeroed memory whose pages the system hands out when they are first written, so that the
//! threads that fill it also share the page faults.
#![expect(
    unsafe_code,
    reason = "`vec!` would write the zeros on one thread, and abort when it fails; the size of \
              pages is asked for in C"
)]

use std::alloc::{Layout, alloc_zeroed};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use tensor::{Error, Result};

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Bytes of a page where the system does not say.
const PAGE_BYTES: usize = 4096;

/// Zeroed values from the start of a cache line on.
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: bytemuck::Zeroable> Aligned<T> {
    /// `len` of them.
    ///
    /// # Errors
    /// As [`zeroed`].
    pub(crate) fn zeroed(len: usize, purpose: &str) -> Result<Aligned<T>> {
        let values: Vec<T> = zeroed(len.saturating_add(LINE_BYTES), purpose)?;
        let first = values.as_ptr().align_offset(LINE_BYTES);
        Ok(Aligned { values, first, len })
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.first..][..self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.first..][..self.len]
    }
}

/// Zeroed values in pages of their own, in huge ones where the system has them: for what is
/// written whole at once and read whole again and again, as weights are.
pub(crate) struct Pages<T> {
    map: MmapMut,
    values: PhantomData<T>,
}

impl<T: bytemuck::Pod> Pages<T> {
    /// `len` of them.
    ///
    /// # Errors
    /// As [`zeroed`].
    pub(crate) fn zeroed(len: usize, purpose: &str) -> Result<Pages<T>> {
        let needed_bytes = len.saturating_mul(size_of::<T>());
        let refused = |_| Error::OutOfMemory { needed_bytes, purpose: purpose.to_owned() };
        let map = MmapMut::map_anon(needed_bytes).map_err(refused)?;
        // A system without them hands out small ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Pages { map, values: PhantomData })
    }
}

/// What so many bytes take in pages of their own.
pub(crate) fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(page_bytes())
}

/// Bytes of the system's pages.
fn page_bytes() -> usize {
    #[cfg(target_os = "linux")]
    // SAFETY: it reads a constant of the system.
    let bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
    #[cfg(not(target_os = "linux"))]
    let bytes = Err(());
    bytes.ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(PAGE_BYTES)
}

impl<T: bytemuck::Pod> Deref for Pages<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.map)
    }
}

impl<T: bytemuck::Pod> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.map)
    }
}

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
