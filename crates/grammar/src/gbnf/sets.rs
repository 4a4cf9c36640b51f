//! Characters in as few classes as a grammar tells apart, and sets of those classes.

use std::collections::BTreeSet;

use super::tree::{Chars, Node};

/// A set of classes, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    bits: Vec<u64>,
}

impl Set {
    pub(super) fn insert(&mut self, class: usize) {
        if self.bits.len() <= class / 64 {
            self.bits.resize(class / 64 + 1, 0);
        }
        self.bits[class / 64] |= 1 << (class % 64);
    }

    pub(super) fn contains(&self, class: usize) -> bool {
        self.bits.get(class / 64).is_some_and(|word| word >> (class % 64) & 1 == 1)
    }

    /// Adds all of the other; says whether that changed it.
    pub(super) fn join(&mut self, other: &Set) -> bool {
        let before = self.clone();
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        for (word, more) in self.bits.iter_mut().zip(&other.bits) {
            *word |= more;
        }
        *self != before
    }
}

/// Where classes begin; characters between two beginnings are never told apart.
pub(super) struct Alphabet {
    starts: Vec<u32>,
}

impl Alphabet {
    pub(super) fn of(rules: &[Node]) -> Alphabet {
        let mut starts = BTreeSet::from([0]);
        rules.iter().for_each(|rule| collect(rule, &mut starts));
        Alphabet { starts: starts.into_iter().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn all(&self) -> Set {
        let mut set = Set::default();
        (0..self.len()).for_each(|class| set.insert(class));
        set
    }

    pub(super) fn set_of(&self, ranges: &Chars) -> Set {
        let mut set = Set::default();
        for (first, last) in ranges {
            let from = self.starts.partition_point(|start| start < first);
            let to = self.starts.partition_point(|start| start <= last);
            (from..to).for_each(|class| set.insert(class));
        }
        set
    }
}

fn collect(node: &Node, starts: &mut BTreeSet<u32>) {
    match node {
        Node::Chars(ranges) => {
            for (first, last) in ranges {
                starts.extend([*first, last + 1]);
            }
        }
        Node::Seq(items) | Node::Alt(items) => {
            items.iter().for_each(|item| collect(item, starts));
        }
        Node::Repeat(inner, ..) => collect(inner, starts),
        Node::Rule(_) | Node::Token { .. } => {}
    }
}
