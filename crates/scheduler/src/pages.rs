//! The pool of pages and the leases on them. A page is free, leased, or cached: full, computed,
//! published, and held by nobody until it is wanted again or is the one least recently used.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;
use crate::prefix::{Before, ChainHash, PrefixIndex};
use crate::windows::WindowPages;
use crate::{PageId, TokenId};

/// A handle on the pool, shared by the scheduler and every lease.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Mutex<PoolState>>);

#[derive(Debug)]
struct PoolState {
    free: Vec<PageId>,
    /// Leases on each page.
    refs: Vec<u32>,
    /// Cached pages, the one to evict first in front. Leases are dropped from the end of a
    /// sequence, so a child is always in front of its parent.
    cached: BTreeSet<(u64, PageId)>,
    /// By page: its key in `cached`.
    released_at: Vec<u64>,
    releases: u64,
    index: PrefixIndex,
    windows: Option<WindowPages>,
}

/// How many pages are in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolStats {
    pub(crate) free: u32,
    pub(crate) cached: u32,
    pub(crate) leased: u32,
    /// Of layers that see only a window.
    pub(crate) window_leased: u32,
}

/// The right to read a page and, if it was never published, to write it. Dropping it gives the
/// page back.
#[derive(Debug)]
pub(crate) struct PageLease {
    pool: Pool,
    page: PageId,
}

impl PageLease {
    pub(crate) fn page(&self) -> PageId {
        self.page
    }
}

impl Drop for PageLease {
    fn drop(&mut self) {
        self.pool.lock().release(self.page);
    }
}

/// As [`PageLease`], on a page of layers that see only a window.
#[derive(Debug)]
pub(crate) struct WindowLease {
    pool: Pool,
    page: PageId,
    is_behind: bool,
}

impl WindowLease {
    pub(crate) fn page(&self) -> PageId {
        self.page
    }

    /// Gives up a page that the window has left.
    pub(crate) fn fall_behind(mut self) {
        self.is_behind = true;
    }
}

impl Drop for WindowLease {
    fn drop(&mut self) {
        self.pool.lock().windows().release(self.page, self.is_behind);
    }
}

impl Pool {
    pub(crate) fn new(limits: &Limits, hash: ChainHash) -> Pool {
        let page_count = limits.page_count;
        let len = page_count as usize;
        let windows = limits.window.map(|window| WindowPages::new(window.page_count, page_count));
        Pool(Arc::new(Mutex::new(PoolState {
            free: (0..page_count).rev().map(PageId).collect(),
            refs: vec![0; len],
            cached: BTreeSet::new(),
            released_at: vec![0; len],
            releases: 0,
            index: PrefixIndex::new(len, hash),
            windows,
        })))
    }

    /// A page to write, evicting a cached one if need be; none when all are leased.
    pub(crate) fn allocate(&self) -> Option<PageLease> {
        let page = self.lock().allocate()?;
        Some(PageLease { pool: self.clone(), page })
    }

    /// Pages that [`Pool::allocate`] would give.
    pub(crate) fn available(&self) -> usize {
        let state = self.lock();
        state.free.len() + state.cached.len()
    }

    /// Leases the published pages of a prelude that hold the start of `tokens`, in order; full
    /// pages only.
    pub(crate) fn find_prefix(
        &self,
        (prelude, tokens): (&[u64], &[TokenId]),
        page_len: usize,
    ) -> Vec<PageLease> {
        let mut found: Vec<PageLease> = Vec::new();
        let mut state = self.lock();
        for chunk in tokens.chunks_exact(page_len) {
            let parent = found.last().map(PageLease::page);
            let before = parent.map_or(Before::Start(prelude), Before::Page);
            let Some(page) = state.index.find(before, chunk) else { break };
            state.share(page);
            found.push(PageLease { pool: self.clone(), page });
        }
        found
    }

    /// Offers a full, computed page to everybody. When another page holds the same already, a
    /// lease on that one is returned: the caller uses it instead of its own, so that of every
    /// published page the parent is leased as long as the page is.
    pub(crate) fn publish(
        &self,
        lease: &PageLease,
        before: Before<'_>,
        tokens: &[TokenId],
    ) -> Option<PageLease> {
        let mut state = self.lock();
        assert_eq!(state.refs[lease.page.0 as usize], 1, "an unpublished page has one owner");
        let Some(page) = state.index.find(before, tokens) else {
            state.index.insert(lease.page, before, tokens);
            return None;
        };
        assert_ne!(page, lease.page, "a page is published once");
        state.share(page);
        Some(PageLease { pool: self.clone(), page })
    }

    /// A page to write of layers that see only a window.
    pub(crate) fn allocate_window(&self) -> WindowLease {
        let page = self.lock().windows().allocate();
        self.window_lease(page)
    }

    /// Puts a filled page of a window beside a published one, see [`WindowPages::publish`].
    pub(crate) fn publish_window(&self, lease: &WindowLease, full: PageId) -> Option<WindowLease> {
        let page = self.lock().windows().publish(lease.page, full)?;
        Some(self.window_lease(page))
    }

    fn window_lease(&self, page: PageId) -> WindowLease {
        WindowLease { pool: self.clone(), page, is_behind: false }
    }

    /// How many of these pages a sequence can start behind, given that of those `first_of(count)`
    /// and later ones it must have the windows too; and leases on these, by page.
    pub(crate) fn find_windows(
        &self,
        pages: &[PageLease],
        first_of: impl Fn(usize) -> usize,
    ) -> Vec<Option<WindowLease>> {
        let mut state = self.lock();
        let windows = state.windows();
        // Where the pages with a window begin that end at the place so far.
        let (mut begins, mut count) = (0, 0);
        for (place, page) in pages.iter().enumerate() {
            if !windows.has(page.page) {
                begins = place + 1;
            }
            if begins <= first_of(place + 1) {
                count = place + 1;
            }
        }
        let first = first_of(count);
        let lease = |(place, page): (usize, &PageLease)| {
            let page = if place < first { None } else { windows.share(page.page) };
            page.map(|page| self.window_lease(page))
        };
        pages[..count].iter().enumerate().map(lease).collect()
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let state = self.lock();
        let leased = state.refs.iter().filter(|refs| **refs > 0).count();
        assert_eq!(state.free.len() + state.cached.len() + leased, state.refs.len(), "a leak");
        let count = |len: usize| u32::try_from(len).expect("page_count is a u32");
        let window_leased = state.windows.as_ref().map_or(0, WindowPages::leased);
        PoolStats {
            window_leased: count(window_leased),
            free: count(state.free.len()),
            cached: count(state.cached.len()),
            leased: count(leased),
        }
    }

    /// Leases on a page, and whether it is published.
    pub(crate) fn page_state(&self, page: PageId) -> (u32, bool) {
        let state = self.lock();
        (state.refs[page.0 as usize], state.index.contains(page))
    }

    /// Leases on a page of a window, and what it stands beside.
    pub(crate) fn window_state(&self, page: PageId) -> (u32, Option<PageId>) {
        self.lock().windows().state(page)
    }

    /// # Panics
    /// When a page is in no state or in two, or a child may outlive its parent.
    pub(crate) fn assert_consistent(&self) {
        let state = self.lock();
        for page in &state.free {
            assert_eq!(state.refs[page.0 as usize], 0, "a free page has no lease");
            assert!(!state.index.contains(*page), "a free page is not published");
        }
        for (released_at, page) in &state.cached {
            assert_eq!(state.refs[page.0 as usize], 0, "a cached page has no lease");
            assert_eq!(state.released_at[page.0 as usize], *released_at, "its key is its own");
            assert!(state.index.contains(*page), "a cached page is published");
            if let Some(parent) = state.index.parent(*page)
                && state.refs[parent.0 as usize] == 0
            {
                let parent_key = (state.released_at[parent.0 as usize], parent);
                assert!((*released_at, *page) < parent_key, "a child is evicted before its parent");
            }
        }
        let leased = state.refs.iter().filter(|refs| **refs > 0).count();
        assert_eq!(state.free.len() + state.cached.len() + leased, state.refs.len(), "a leak");
        if let Some(windows) = &state.windows {
            windows.assert_consistent();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // Poisoned means that an assert failed already; leases that unwinding drops must not
        // panic again, for that would hide the first message.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolState {
    fn windows(&mut self) -> &mut WindowPages {
        self.windows.as_mut().expect("asked only where there are windows")
    }

    fn allocate(&mut self) -> Option<PageId> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => {
                let (_, page) = self.cached.pop_first()?;
                self.index.remove(page);
                if let Some(windows) = &mut self.windows {
                    windows.forget(page);
                }
                page
            }
        };
        let refs = &mut self.refs[page.0 as usize];
        assert_eq!(*refs, 0, "only a page that nobody holds is given out");
        *refs = 1;
        Some(page)
    }

    fn share(&mut self, page: PageId) {
        assert!(self.index.contains(page), "only a published page is shared");
        let slot = page.0 as usize;
        if self.refs[slot] == 0 {
            let was_cached = self.cached.remove(&(self.released_at[slot], page));
            assert!(was_cached, "a published page is leased or cached");
        }
        self.refs[slot] += 1;
    }

    fn release(&mut self, page: PageId) {
        let slot = page.0 as usize;
        let Some(refs) = self.refs[slot].checked_sub(1) else {
            debug_assert!(std::thread::panicking(), "a page is released once for each lease");
            return;
        };
        self.refs[slot] = refs;
        if refs > 0 {
            return;
        }
        if self.index.contains(page) {
            self.releases += 1;
            self.released_at[slot] = self.releases;
            self.cached.insert((self.releases, page));
        } else {
            self.free.push(page);
        }
    }
}
