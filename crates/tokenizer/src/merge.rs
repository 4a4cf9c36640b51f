//! Joining neighbours, best pair first: what both kinds of tokenizer do with a word.
//!
//! A heap of candidate pairs over a linked list: n log n in the word's length, so that a text of a
//! megabyte without a space is no attack.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A pair that may be joined. Less is better: `order` first, then the leftmost.
pub(crate) struct Candidate<O> {
    order: O,
    left: u32,
    /// Symbols as they were when the pair was found: a stale candidate is known by them.
    pair: (u32, u32),
    joined: u32,
}

impl<O: Ord> Ord for Candidate<O> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.order, self.left).cmp(&(&other.order, other.left))
    }
}

impl<O: Ord> PartialOrd for Candidate<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: Ord> PartialEq for Candidate<O> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<O: Ord> Eq for Candidate<O> {}

const NONE: u32 = u32::MAX;

struct Node {
    symbol: u32,
    before: u32,
    after: u32,
    alive: bool,
}

/// Joins neighbouring symbols as long as `join` has an answer for a pair; the pair with the least
/// order is joined first.
pub(crate) fn merge<O: Ord>(
    symbols: &[u32],
    join: impl Fn(u32, u32) -> Option<(O, u32)>,
) -> Vec<u32> {
    let last = symbols.len().saturating_sub(1);
    let index = |i: usize| u32::try_from(i).expect("texts are far shorter than 2^32 symbols");
    let mut nodes: Vec<Node> = symbols
        .iter()
        .enumerate()
        .map(|(i, symbol)| Node {
            symbol: *symbol,
            before: if i == 0 { NONE } else { index(i - 1) },
            after: if i == last { NONE } else { index(i + 1) },
            alive: true,
        })
        .collect();
    let mut heap = BinaryHeap::new();
    let offer = |heap: &mut BinaryHeap<Reverse<Candidate<O>>>, nodes: &[Node], left: u32| {
        let pair = (nodes[left as usize].symbol, nodes[nodes[left as usize].after as usize].symbol);
        if let Some((order, joined)) = join(pair.0, pair.1) {
            heap.push(Reverse(Candidate { order, left, pair, joined }));
        }
    };
    for left in 0..last {
        offer(&mut heap, &nodes, index(left));
    }
    while let Some(Reverse(best)) = heap.pop() {
        let left = best.left as usize;
        let right = nodes[left].after;
        let stale = !nodes[left].alive
            || right == NONE
            || (nodes[left].symbol, nodes[right as usize].symbol) != best.pair;
        if stale {
            continue;
        }
        let after = nodes[right as usize].after;
        nodes[right as usize].alive = false;
        nodes[left].symbol = best.joined;
        nodes[left].after = after;
        if after != NONE {
            nodes[after as usize].before = best.left;
            offer(&mut heap, &nodes, best.left);
        }
        if nodes[left].before != NONE {
            offer(&mut heap, &nodes, nodes[left].before);
        }
    }
    nodes.iter().filter(|node| node.alive).map(|node| node.symbol).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::merge;

    #[test]
    fn the_best_pair_goes_first_and_ties_go_left() {
        // 1+2 -> 3 (rank 1), 2+1 -> 4 (rank 0).
        let join = |a: u32, b: u32| match (a, b) {
            (1, 2) => Some((1, 3)),
            (2, 1) => Some((0, 4)),
            _ => None,
        };
        assert_eq!(merge(&[1, 2, 1, 2], join), [1, 4, 2]);
        assert_eq!(merge(&[1, 2], join), [3]);
        assert_eq!(merge(&[], join), [0_u32; 0]);
        assert_eq!(merge(&[5], join), [5]);
    }

    #[test]
    fn work_grows_with_the_length_and_not_its_square() {
        let work = |n: usize| {
            let calls = Cell::new(0_usize);
            // Every pair of equal symbols joins into the next one: the deepest merging there is.
            let joined = merge(&vec![0; n], |a, b| {
                calls.set(calls.get() + 1);
                (a == b).then_some((a, a + 1))
            });
            assert_eq!(joined.iter().map(|s| 1_usize << s).sum::<usize>(), n);
            calls.get()
        };
        assert!(work(1 << 17) <= 5 << 17, "{}", work(1 << 17));
    }
}
