//! Joining neighbours, best pair first: what every kind of BPE does with a word.
//!
//! Short words by looking at all pairs, which fit a cache line or two. Long ones by a heap of
//! candidates over a linked list: n log n in the word's length, so that a text of a megabyte
//! without a space is no attack.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) id: u32,
    /// Place in the word, in bytes.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Working memory.
#[derive(Default)]
pub(crate) struct Merger {
    /// The word's parts, before and after.
    pub(crate) symbols: Vec<Symbol>,
    /// Order of each pair of neighbours, and what it becomes.
    pairs: Vec<(u32, u32)>,
    /// Before and after of each symbol.
    links: Vec<(u32, u32)>,
    /// `(order, left)` in one number, then both ids as they were when the pair was found, which
    /// tell a stale candidate, and what the pair becomes.
    heap: BinaryHeap<Reverse<(u64, u32, u32, u32)>>,
}

/// No order: the pair does not join.
const NONE: u32 = u32::MAX;
/// Symbols of a word that is looked at as a whole.
const SHORT_MAX: usize = 24;

/// A symbol's place in the word as a number.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a text that fits memory twice is shorter than 2^32 bytes")
}

impl Merger {
    /// Joins neighbouring symbols as long as `join` has an order and an id for a pair; the pair
    /// with the least order is joined first, and of equals the leftmost.
    pub(crate) fn merge(&mut self, join: impl Fn(Symbol, Symbol) -> Option<(u32, u32)>) {
        if self.symbols.len() <= SHORT_MAX {
            self.merge_short(join);
        } else {
            self.merge_long(join);
        }
    }

    fn merge_short(&mut self, join: impl Fn(Symbol, Symbol) -> Option<(u32, u32)>) {
        let pair = |left: Symbol, right: Symbol| join(left, right).unwrap_or((NONE, 0));
        let symbols = &mut self.symbols;
        self.pairs.clear();
        self.pairs.extend(symbols.windows(2).map(|two| pair(two[0], two[1])));
        loop {
            let (mut best, mut at) = (NONE, 0);
            for (i, (order, _)) in self.pairs.iter().enumerate() {
                if *order < best {
                    (best, at) = (*order, i);
                }
            }
            if best == NONE {
                return;
            }
            symbols[at].id = self.pairs[at].1;
            symbols[at].end = symbols[at + 1].end;
            symbols.remove(at + 1);
            self.pairs.remove(at);
            if at > 0 {
                self.pairs[at - 1] = pair(symbols[at - 1], symbols[at]);
            }
            if at < self.pairs.len() {
                self.pairs[at] = pair(symbols[at], symbols[at + 1]);
            }
        }
    }

    fn merge_long(&mut self, join: impl Fn(Symbol, Symbol) -> Option<(u32, u32)>) {
        let count = place(self.symbols.len());
        self.links.clear();
        self.links.extend((0..count).map(|i| {
            let after = if i + 1 == count { NONE } else { i + 1 };
            (i.wrapping_sub(1), after)
        }));
        self.heap.clear();
        for left in 0..count - 1 {
            self.offer(left, left + 1, &join);
        }
        while let Some(Reverse((key, left_id, right_id, joined))) = self.heap.pop() {
            let left = key as u32;
            let (before, right) = self.links[left as usize];
            let stale = self.symbols[left as usize].id != left_id
                || right == NONE
                || self.symbols[right as usize].id != right_id;
            if stale {
                continue;
            }
            let after = self.links[right as usize].1;
            let gone = &mut self.symbols[right as usize];
            // An id that no pair has: candidates of the symbol that is gone are stale.
            gone.id = NONE;
            let end = gone.end;
            let symbol = &mut self.symbols[left as usize];
            (symbol.id, symbol.end) = (joined, end);
            self.links[left as usize].1 = after;
            if after != NONE {
                self.links[after as usize].0 = left;
                self.offer(left, after, &join);
            }
            if before != NONE {
                self.offer(before, left, &join);
            }
        }
        self.symbols.retain(|symbol| symbol.id != NONE);
    }

    fn offer(
        &mut self,
        left: u32,
        right: u32,
        join: &impl Fn(Symbol, Symbol) -> Option<(u32, u32)>,
    ) {
        let pair = (self.symbols[left as usize], self.symbols[right as usize]);
        if let Some((order, joined)) = join(pair.0, pair.1) {
            let key = u64::from(order) << 32 | u64::from(left);
            self.heap.push(Reverse((key, pair.0.id, pair.1.id, joined)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Merger, Symbol, place};

    fn merged(ids: &[u32], join: impl Fn(u32, u32) -> Option<(u32, u32)>) -> Vec<u32> {
        let symbol =
            |(i, id): (usize, &u32)| Symbol { id: *id, start: place(i), end: place(i + 1) };
        let symbols: Vec<Symbol> = ids.iter().enumerate().map(symbol).collect();
        let join = |left: Symbol, right: Symbol| join(left.id, right.id);
        let mut short = Merger { symbols: symbols.clone(), ..Merger::default() };
        short.merge_short(join);
        let mut long = Merger { symbols, ..Merger::default() };
        if !long.symbols.is_empty() {
            long.merge_long(join);
        }
        assert_eq!(short.symbols, long.symbols, "both ways are one");
        assert!(short.symbols.windows(2).all(|two| two[0].end == two[1].start));
        short.symbols.iter().map(|symbol| symbol.id).collect()
    }

    #[test]
    fn the_best_pair_goes_first_and_ties_go_left() {
        // 1+2 -> 3 (rank 1), 2+1 -> 4 (rank 0).
        let join = |a: u32, b: u32| match (a, b) {
            (1, 2) => Some((1, 3)),
            (2, 1) => Some((0, 4)),
            _ => None,
        };
        assert_eq!(merged(&[1, 2, 1, 2], join), [1, 4, 2]);
        assert_eq!(merged(&[1, 2], join), [3]);
        assert_eq!(merged(&[], join), [0_u32; 0]);
        assert_eq!(merged(&[5], join), [5]);
        // Chains of every length, where each joined symbol joins again.
        for len in 1..80 {
            let ids: Vec<u32> = (0..len).map(|i| i * i % 3).collect();
            let join = |a: u32, b: u32| ((a + b) % 5 != 4).then_some(((a * 7 + b) % 11, a + b));
            let sum = ids.iter().sum::<u32>();
            assert_eq!(merged(&ids, join).iter().sum::<u32>(), sum);
        }
    }

    #[test]
    fn work_grows_with_the_length_and_not_its_square() {
        let work = |n: usize| {
            let calls = Cell::new(0_usize);
            let mut merger = Merger::default();
            merger.symbols.extend((0..n).map(|i| Symbol {
                id: 0,
                start: place(i),
                end: place(i + 1),
            }));
            // Every pair of equal symbols joins into the next one: the deepest merging there is.
            merger.merge(|a, b| {
                calls.set(calls.get() + 1);
                (a.id == b.id).then_some((a.id, a.id + 1))
            });
            let joined = merger.symbols.iter().map(|symbol| 1_usize << symbol.id);
            assert_eq!(joined.sum::<usize>(), n);
            calls.get()
        };
        assert!(work(1 << 17) <= 5 << 17, "{}", work(1 << 17));
        assert!(work(1 << 20) <= 5 << 20, "{}", work(1 << 20));
    }
}
