//! Which pages hold a sequence, in the order of positions: one allocation that the sequence and the
//! plans share, so that a step of a million tokens copies no table. It is copied only where it
//! changes while a plan still reads it.

use std::sync::Arc;

use crate::PageId;

/// Pages in the order of positions. Cheap to clone: the clone is the same table, until either
/// changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageTable(Arc<Vec<u32>>);

impl PageTable {
    /// The pages' numbers, as those who compute want them.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// How many pages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The page at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<PageId> {
        self.0.get(place).copied().map(PageId)
    }

    /// The pages from a place on.
    ///
    /// # Panics
    /// When the place is behind the end.
    pub fn pages_from(&self, place: usize) -> impl Iterator<Item = PageId> + '_ {
        self.0[place..].iter().copied().map(PageId)
    }

    /// Whether both are one allocation: nothing was copied between them.
    #[must_use]
    pub fn is_shared_with(&self, other: &PageTable) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn push(&mut self, page: PageId) {
        Arc::make_mut(&mut self.0).push(page.0);
    }

    pub(crate) fn set(&mut self, place: usize, page: PageId) {
        Arc::make_mut(&mut self.0)[place] = page.0;
    }
}

impl FromIterator<PageId> for PageTable {
    fn from_iter<I: IntoIterator<Item = PageId>>(pages: I) -> PageTable {
        PageTable(Arc::new(pages.into_iter().map(|PageId(page)| page).collect()))
    }
}
