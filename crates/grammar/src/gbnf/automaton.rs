//! All lexemes read side by side: which may have ended, and which characters go on.

use std::collections::{BTreeSet, HashMap};

use super::sets::{Alphabet, Set};
use super::tree::{Grammar, Node};

/// Beyond these a proof is not worth its cost.
const STATES_MAX: usize = 6_000;
const SUBSETS_MAX: usize = 1_500;
const CLASSES_MAX: usize = 400;

/// States of all lexemes; each has steps without a character and steps by one.
#[derive(Default)]
pub(super) struct Automaton {
    silent: Vec<Vec<usize>>,
    steps: Vec<Vec<(Set, usize)>>,
    ends: HashMap<usize, usize>,
    starts: Vec<usize>,
}

type Subset = BTreeSet<usize>;

impl Automaton {
    /// None where it would be too large.
    pub(super) fn of(
        lexemes: &[Node],
        grammar: &Grammar,
        alphabet: &Alphabet,
    ) -> Option<Automaton> {
        if alphabet.len() > CLASSES_MAX {
            return None;
        }
        let mut automaton = Automaton::default();
        for (lexeme, node) in lexemes.iter().enumerate() {
            let start = automaton.state()?;
            let end = automaton.add(node, start, (grammar, alphabet))?;
            automaton.starts.push(start);
            automaton.ends.insert(end, lexeme);
        }
        Some(automaton)
    }

    fn state(&mut self) -> Option<usize> {
        self.silent.push(Vec::new());
        self.steps.push(Vec::new());
        (self.silent.len() <= STATES_MAX).then_some(self.silent.len() - 1)
    }

    /// Appends a node behind a state; gives where it ends.
    fn add(&mut self, node: &Node, from: usize, of: (&Grammar, &Alphabet)) -> Option<usize> {
        match node {
            Node::Chars(ranges) => {
                let to = self.state()?;
                self.steps[from].push((of.1.set_of(ranges), to));
                Some(to)
            }
            Node::Seq(items) => items.iter().try_fold(from, |from, item| self.add(item, from, of)),
            Node::Alt(items) => {
                let end = self.state()?;
                for item in items {
                    let start = self.state()?;
                    self.silent[from].push(start);
                    let to = self.add(item, start, of)?;
                    self.silent[to].push(end);
                }
                Some(end)
            }
            Node::Repeat(inner, least, most) => self.repeat(inner, (*least, *most), from, of),
            Node::Rule(rule) => self.add(&of.0.rules[*rule], from, of),
            Node::Token { .. } => None,
        }
    }

    fn repeat(
        &mut self,
        inner: &Node,
        (least, most): (u32, Option<u32>),
        mut from: usize,
        of: (&Grammar, &Alphabet),
    ) -> Option<usize> {
        for _ in 0..least {
            from = self.add(inner, from, of)?;
        }
        let end = self.state()?;
        self.silent[from].push(end);
        let Some(most) = most else {
            let start = self.state()?;
            self.silent[from].push(start);
            let to = self.add(inner, start, of)?;
            self.silent[to].extend([start, end]);
            return Some(end);
        };
        for _ in least..most {
            // Apart, so that an end of the last is no beginning of this.
            let start = self.state()?;
            self.silent[from].push(start);
            from = self.add(inner, start, of)?;
            self.silent[from].push(end);
        }
        Some(end)
    }

    fn closed(&self, states: impl IntoIterator<Item = usize>) -> Subset {
        let mut subset = Subset::new();
        let mut open: Vec<usize> = states.into_iter().collect();
        while let Some(state) = open.pop() {
            if subset.insert(state) {
                open.extend(&self.silent[state]);
            }
        }
        subset
    }

    fn after(&self, subset: &Subset, class: usize) -> Subset {
        let steps = subset.iter().flat_map(|state| &self.steps[*state]);
        self.closed(steps.filter(|(set, _)| set.contains(class)).map(|(_, to)| *to))
    }

    /// Which lexemes may be empty, and the first characters of each.
    pub(super) fn begins(&self, alphabet: &Alphabet) -> Vec<(bool, Set)> {
        let begin = |(lexeme, start): (usize, &usize)| {
            let subset = self.closed([*start]);
            let is_empty = subset.iter().any(|state| self.ends.get(state) == Some(&lexeme));
            let mut first = Set::default();
            for class in 0..alphabet.len() {
                if !self.after(&subset, class).is_empty() {
                    first.insert(class);
                }
            }
            (is_empty, first)
        };
        self.starts.iter().enumerate().map(begin).collect()
    }

    /// Whether a lexeme that may have ended could be taken to go on by a character that may as well
    /// be the first of what follows it. True too where it would cost too much to know.
    pub(super) fn is_ambiguous(&self, follows: &[Set], alphabet: &Alphabet) -> bool {
        let start = self.closed(self.starts.iter().copied());
        let mut seen: BTreeSet<Subset> = BTreeSet::new();
        let mut open: Vec<Subset> =
            (0..alphabet.len()).map(|class| self.after(&start, class)).collect();
        while let Some(subset) = open.pop() {
            if subset.is_empty() || !seen.insert(subset.clone()) {
                continue;
            }
            if seen.len() > SUBSETS_MAX {
                return true;
            }
            let ended: Vec<usize> =
                subset.iter().filter_map(|state| self.ends.get(state).copied()).collect();
            for class in 0..alphabet.len() {
                let next = self.after(&subset, class);
                if next.is_empty() {
                    continue;
                }
                if ended.iter().any(|lexeme| follows[*lexeme].contains(class)) {
                    return true;
                }
                open.push(next);
            }
        }
        false
    }
}
