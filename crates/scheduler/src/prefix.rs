//! Which full pages hold which tokens: a tree of pages, found by a hash of all tokens up to and
//! with the page. A hit compares the page's tokens and its parent, so a collision costs time only.

use std::collections::HashMap;

use crate::{PageId, TokenId};

/// Hash of a page from its parent's hash and its own tokens.
pub(crate) type ChainHash = fn(u64, &[TokenId]) -> u64;

const ROOT_HASH: u64 = 0x9e37_79b9_7f4a_7c15;

/// What comes before a page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before<'a> {
    /// Nothing; the prelude of the request.
    Start(&'a [u64]),
    /// Another page, and all before that.
    Page(PageId),
}

#[derive(Debug)]
struct Node {
    hash: u64,
    parent: Option<PageId>,
    /// Of pages without a parent; those behind have it from there.
    prelude: Box<[u64]>,
    tokens: Box<[TokenId]>,
    child_count: u32,
}

#[derive(Debug)]
pub(crate) struct PrefixIndex {
    hash: ChainHash,
    by_hash: HashMap<u64, Vec<PageId>>,
    /// By page.
    nodes: Vec<Option<Node>>,
}

impl PrefixIndex {
    pub(crate) fn new(page_count: usize, hash: ChainHash) -> PrefixIndex {
        let nodes = std::iter::repeat_with(|| None).take(page_count).collect();
        PrefixIndex { hash, by_hash: HashMap::new(), nodes }
    }

    pub(crate) fn contains(&self, page: PageId) -> bool {
        self.nodes[page.0 as usize].is_some()
    }

    pub(crate) fn parent(&self, page: PageId) -> Option<PageId> {
        self.node(page).parent
    }

    /// The page that holds `tokens` right after all that is before.
    pub(crate) fn find(&self, before: Before<'_>, tokens: &[TokenId]) -> Option<PageId> {
        let bucket = self.by_hash.get(&self.hash_of(before, tokens))?;
        let (parent, prelude) = before.parts();
        let holds = |page: &&PageId| {
            let node = self.node(**page);
            node.parent == parent && *node.prelude == *prelude && *node.tokens == *tokens
        };
        bucket.iter().find(holds).copied()
    }

    pub(crate) fn insert(&mut self, page: PageId, before: Before<'_>, tokens: &[TokenId]) {
        assert!(!self.contains(page), "a page is published once");
        assert!(self.find(before, tokens).is_none(), "no two pages are published for one prefix");
        let hash = self.hash_of(before, tokens);
        let (parent, prelude) = before.parts();
        if let Some(parent) = parent {
            self.node_mut(parent).child_count += 1;
        }
        self.by_hash.entry(hash).or_default().push(page);
        let (tokens, prelude) = (tokens.into(), prelude.into());
        let node = Node { hash, parent, prelude, tokens, child_count: 0 };
        self.nodes[page.0 as usize] = Some(node);
    }

    pub(crate) fn remove(&mut self, page: PageId) {
        let node = self.nodes[page.0 as usize].take().expect("only a published page is removed");
        assert_eq!(node.child_count, 0, "children are removed before their parent");
        if let Some(parent) = node.parent {
            let parent = self.node_mut(parent);
            parent.child_count = parent.child_count.checked_sub(1).expect("it counted this child");
        }
        let bucket = self.by_hash.get_mut(&node.hash).expect("a node is in its bucket");
        let len = bucket.len();
        bucket.retain(|other| *other != page);
        assert_eq!(bucket.len() + 1, len, "a node is in its bucket once");
        if bucket.is_empty() {
            self.by_hash.remove(&node.hash);
        }
    }

    fn hash_of(&self, before: Before<'_>, tokens: &[TokenId]) -> u64 {
        let hash = match before {
            Before::Start(prelude) => {
                prelude.iter().fold(ROOT_HASH, |hash, word| mixed(hash, *word))
            }
            Before::Page(parent) => self.node(parent).hash,
        };
        (self.hash)(hash, tokens)
    }

    fn node(&self, page: PageId) -> &Node {
        self.nodes[page.0 as usize].as_ref().expect("the page is published")
    }

    fn node_mut(&mut self, page: PageId) -> &mut Node {
        self.nodes[page.0 as usize].as_mut().expect("the page is published")
    }
}

impl<'a> Before<'a> {
    fn parts(self) -> (Option<PageId>, &'a [u64]) {
        match self {
            Before::Start(prelude) => (None, prelude),
            Before::Page(parent) => (Some(parent), &[]),
        }
    }
}

/// Speed matters more than strength: tokens are compared on every hit.
pub(crate) fn chain_hash(parent: u64, tokens: &[TokenId]) -> u64 {
    tokens.iter().fold(parent, |hash, token| mixed(hash, u64::from(*token)))
}

/// The multiply and shift finish of splitmix64.
fn mixed(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_add(ROOT_HASH);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
