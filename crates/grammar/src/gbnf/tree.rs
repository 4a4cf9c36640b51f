//! A grammar as its author wrote it.

/// Ranges of characters, first and last, in order and apart.
pub(super) type Chars = Vec<(u32, u32)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// One character of these.
    Chars(Chars),
    /// One after the other; none is the empty text.
    Seq(Vec<Node>),
    /// One of them.
    Alt(Vec<Node>),
    /// So often: at least, at most.
    Repeat(Box<Node>, u32, Option<u32>),
    /// A rule, by its place.
    Rule(usize),
    /// A token, or any but this one.
    Token { id: u32, negated: bool },
}

/// Rules; `root` is where the answer starts.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    pub(super) rules: Vec<Node>,
    pub(super) root: usize,
}

impl Grammar {
    /// For each rule whether it means a set of texts without recursion and without tokens.
    pub(super) fn regular_rules(&self) -> Vec<bool> {
        let mut regular = vec![false; self.rules.len()];
        loop {
            let mut changed = false;
            for (at, body) in self.rules.iter().enumerate() {
                if !regular[at] && is_regular(body, &regular) {
                    regular[at] = true;
                    changed = true;
                }
            }
            if !changed {
                return regular;
            }
        }
    }
}

pub(super) fn is_regular(node: &Node, regular: &[bool]) -> bool {
    match node {
        Node::Chars(_) => true,
        Node::Seq(items) | Node::Alt(items) => items.iter().all(|item| is_regular(item, regular)),
        Node::Repeat(inner, ..) => is_regular(inner, regular),
        Node::Rule(rule) => regular[*rule],
        Node::Token { .. } => false,
    }
}

/// All characters but surrogates, which are none.
pub(super) fn any_char() -> Chars {
    vec![(0, 0xD7FF), (0xE000, 0x0010_FFFF)]
}

/// Sorted, joined, and without surrogates.
pub(super) fn normal(mut ranges: Chars) -> Chars {
    ranges.sort_unstable();
    let mut joined: Chars = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    let mut kept = Chars::new();
    for (first, last) in joined {
        for (low, high) in any_char() {
            let (from, to) = (first.max(low), last.min(high));
            if from <= to {
                kept.push((from, to));
            }
        }
    }
    kept
}

/// All characters that are not among these normal ones.
pub(super) fn negated(ranges: &Chars) -> Chars {
    let mut out = Chars::new();
    let mut next = 0;
    for (first, last) in ranges {
        if *first > next {
            out.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= 0x0010_FFFF {
        out.push((next, 0x0010_FFFF));
    }
    normal(out)
}
