//! Numbers that look random and follow from a seed.

use scheduler::TokenId;

use super::{VOCAB, mix};

/// splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(0, self.0)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn below_checked(&mut self, end: u64) -> Option<u64> {
        (end > 0).then(|| self.below(end))
    }

    pub(crate) fn pick(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub(crate) fn chance(&mut self, of: u64, among: u64) -> bool {
        self.below(among) < of
    }

    pub(crate) fn token(&mut self) -> TokenId {
        (1 + self.below(VOCAB - 1)) as TokenId
    }
}
