//! Pages of layers that see only a window, in a cache of their own: each holds the positions of one
//! page of the other layers. Behind the window they are given back, while those stay.
//!
//! A page is free, leased, or cached: held by nobody, and known by the published page beside which
//! it was filled. It is found again while that one is published and nobody wanted its place. Those
//! that fell behind a window go before those that a sequence left where it ended: there it may go
//! on.

use std::collections::BTreeSet;

use crate::PageId;

/// How a page was given up: not behind a window, and when.
type Released = (bool, u64);

#[derive(Debug)]
pub(crate) struct WindowPages {
    free: Vec<PageId>,
    /// Leases on each page.
    refs: Vec<u32>,
    /// The one to give out first in front.
    cached: BTreeSet<(Released, PageId)>,
    /// By page: its key in `cached`.
    released: Vec<Released>,
    releases: u64,
    /// By page: the published page of the other layers that it stands beside.
    stands_by: Vec<Option<PageId>>,
    /// By page of the other layers, the other way round.
    beside: Vec<Option<PageId>>,
}

impl WindowPages {
    pub(crate) fn new(page_count: u32, full_count: u32) -> WindowPages {
        let (len, full_len) = (page_count as usize, full_count as usize);
        WindowPages {
            free: (0..page_count).rev().map(PageId).collect(),
            refs: vec![0; len],
            cached: BTreeSet::new(),
            released: vec![(false, 0); len],
            releases: 0,
            stands_by: vec![None; len],
            beside: vec![None; full_len],
        }
    }

    /// A page to write; there is one, by `Limits::assert_usable`.
    pub(crate) fn allocate(&mut self) -> PageId {
        let page = self.free.pop().unwrap_or_else(|| {
            let (_, page) = self.cached.pop_first().expect("every sequence has its window's pages");
            self.detach(page);
            page
        });
        let refs = &mut self.refs[page.0 as usize];
        assert_eq!(*refs, 0, "only a page that nobody holds is given out");
        *refs = 1;
        page
    }

    /// Whether a page stands beside this published one.
    pub(crate) fn has(&self, full: PageId) -> bool {
        self.beside[full.0 as usize].is_some()
    }

    /// One more lease on the page beside a published one.
    pub(crate) fn share(&mut self, full: PageId) -> Option<PageId> {
        let page = self.beside[full.0 as usize]?;
        let slot = page.0 as usize;
        if self.refs[slot] == 0 {
            let was_cached = self.cached.remove(&(self.released[slot], page));
            assert!(was_cached, "a page beside a published one is leased or cached");
        }
        self.refs[slot] += 1;
        Some(page)
    }

    /// Puts a filled page beside a published one. Where another stands there already, a lease on
    /// that is given, to use in its place.
    pub(crate) fn publish(&mut self, page: PageId, full: PageId) -> Option<PageId> {
        if let Some(same) = self.share(full) {
            assert_ne!(same, page, "a page is published once");
            return Some(same);
        }
        assert_eq!(self.stands_by[page.0 as usize], None, "a page is published once");
        self.stands_by[page.0 as usize] = Some(full);
        self.beside[full.0 as usize] = Some(page);
        None
    }

    /// The page of the other layers is given out anew.
    pub(crate) fn forget(&mut self, full: PageId) {
        let Some(page) = self.beside[full.0 as usize] else { return };
        let slot = page.0 as usize;
        assert_eq!(self.refs[slot], 0, "who holds a page here holds the one beside it");
        let was_cached = self.cached.remove(&(self.released[slot], page));
        assert!(was_cached, "a page beside a published one is leased or cached");
        self.detach(page);
        self.free.push(page);
    }

    pub(crate) fn release(&mut self, page: PageId, is_behind: bool) {
        let slot = page.0 as usize;
        let Some(refs) = self.refs[slot].checked_sub(1) else {
            debug_assert!(std::thread::panicking(), "a page is released once for each lease");
            return;
        };
        self.refs[slot] = refs;
        if refs > 0 {
            return;
        }
        if self.stands_by[slot].is_some() {
            self.releases += 1;
            self.released[slot] = (!is_behind, self.releases);
            self.cached.insert((self.released[slot], page));
        } else {
            self.free.push(page);
        }
    }

    /// Leases on a page, and what it stands beside.
    pub(crate) fn state(&self, page: PageId) -> (u32, Option<PageId>) {
        (self.refs[page.0 as usize], self.stands_by[page.0 as usize])
    }

    pub(crate) fn leased(&self) -> usize {
        self.refs.iter().filter(|refs| **refs > 0).count()
    }

    /// # Panics
    /// When a page is in no state or in two.
    pub(crate) fn assert_consistent(&self) {
        for page in &self.free {
            assert_eq!(self.state(*page), (0, None), "a free page is nobody's");
        }
        for (released, page) in &self.cached {
            let (refs, full) = self.state(*page);
            assert!(refs == 0 && full.is_some(), "a cached page stands beside another");
            assert_eq!(self.released[page.0 as usize], *released, "its key is its own");
        }
        for (full, page) in self.beside.iter().enumerate() {
            let Some(page) = page else { continue };
            let back = self.stands_by[page.0 as usize].map(|full| full.0 as usize);
            assert_eq!(back, Some(full), "both sides know of each other");
        }
        let count = self.free.len() + self.cached.len() + self.leased();
        assert_eq!(count, self.refs.len(), "a leak");
    }

    fn detach(&mut self, page: PageId) {
        let full = self.stands_by[page.0 as usize].take().expect("a cached page stands beside one");
        self.beside[full.0 as usize] = None;
    }
}
