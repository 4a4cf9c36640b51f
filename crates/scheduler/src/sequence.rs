//! A request on its way: its tokens, how far they are computed, and the pages that hold them.

use crate::limits::Limits;
use crate::pages::{PageLease, Pool, WindowLease};
use crate::plan::PlanSpan;
use crate::prefix::Before;
use crate::{PageId, PageTable, Request, RequestId, Tick, TokenId};

#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    pub(crate) user: u64,
    prelude: Vec<u64>,
    /// Place in the order of arrival. A preemption does not change it.
    pub(crate) arrival: u64,
    pub(crate) arrived: Tick,
    /// Prompt and answer.
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) prompt_len: usize,
    pub(crate) tokens_max: usize,
    pub(crate) is_cancelled: bool,
    pub(crate) preemptions: u32,
    /// Step in which it was last planned.
    pub(crate) step_last: u64,
    /// While it runs; what it was while it waits.
    pub(crate) seat: u32,
    /// Tokens whose keys and values are in the pages.
    computed: usize,
    /// Most that `computed` ever was: what lies below is not charged again.
    charged: usize,
    pages: Leases,
    /// Their numbers, for plans.
    table: PageTable,
    /// Beside `pages`, where there are layers that see only a window; none behind it.
    windows: Vec<Option<WindowLease>>,
    /// Their numbers; behind the window the last ones.
    window_table: PageTable,
    /// How many of `windows` are behind.
    behind_count: usize,
    published_count: usize,
    /// What may follow `tokens`; those that are planned once there is a plan.
    draft_tokens: Vec<TokenId>,
}

impl Sequence {
    pub(crate) fn new(request: Request, arrival: u64, now: Tick) -> Sequence {
        Sequence {
            id: request.id,
            user: request.user,
            prelude: request.prelude,
            arrival,
            arrived: now,
            prompt_len: request.prompt.len(),
            tokens: request.prompt,
            tokens_max: usize::try_from(request.tokens_max).unwrap_or(usize::MAX),
            is_cancelled: false,
            preemptions: 0,
            step_last: 0,
            seat: 0,
            computed: 0,
            charged: 0,
            pages: Leases::default(),
            table: PageTable::default(),
            windows: Vec::new(),
            window_table: PageTable::default(),
            behind_count: 0,
            published_count: 0,
            draft_tokens: Vec::new(),
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether the next token to compute is of the prompt.
    pub(crate) fn is_in_prompt(&self) -> bool {
        self.computed < self.prompt_len
    }

    /// Tokens that are left of the prompt while there are any, and else of the answer: a span is
    /// of one kind.
    pub(crate) fn remaining_of_kind(&self) -> usize {
        let end = if self.is_in_prompt() { self.prompt_len } else { self.tokens.len() };
        end - self.computed
    }

    pub(crate) fn is_decoding(&self) -> bool {
        self.computed > 0 && self.remaining() == 1
    }

    pub(crate) fn generated_len(&self) -> usize {
        self.tokens.len() - self.prompt_len
    }

    pub(crate) fn page_count(&self) -> usize {
        self.pages.0.len()
    }

    /// Tokens that will be charged to the user before an answer can start.
    pub(crate) fn uncharged(&self) -> u64 {
        self.tokens.len().saturating_sub(self.charged.max(self.computed)) as u64
    }

    /// Leases the cached start of its tokens. The last token is always left to compute, for its
    /// logits are wanted.
    pub(crate) fn take_prefix(&mut self, pool: &Pool, limits: &Limits) {
        assert_eq!(self.computed, 0, "only a sequence that starts takes a prefix");
        assert!(self.pages.0.is_empty(), "a waiting sequence holds no page");
        if !limits.shares_prefixes {
            return;
        }
        let page_len = limits.page_len as usize;
        let prefix = &self.tokens[..self.tokens.len() - 1];
        self.pages = Leases(pool.find_prefix((&self.prelude, prefix), page_len));
        if limits.window.is_some() {
            let first_of = |count: usize| limits.first_seen(count * page_len) / page_len;
            self.windows = pool.find_windows(&self.pages.0, first_of);
            self.pages.shorten(self.windows.len());
            self.window_table = self.windows.iter().map(page_or_any).collect();
            self.behind_count = self.windows.iter().take_while(|lease| lease.is_none()).count();
        }
        self.table = self.pages.0.iter().map(PageLease::page).collect();
        self.published_count = self.pages.0.len();
        self.computed = self.pages.0.len() * page_len;
        self.charged = self.charged.max(self.computed);
        assert!(self.computed < self.tokens.len(), "a token is left to compute");
    }

    pub(crate) fn computed(&self) -> usize {
        self.computed
    }

    /// Whether its pages hold a position that is not computed.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.pages.0.len() * limits.page_len as usize > self.computed
    }

    /// Gives all pages back; the tokens stay.
    pub(crate) fn release_pages(&mut self) {
        self.windows.clear();
        self.window_table = PageTable::default();
        self.behind_count = 0;
        self.pages = Leases::default();
        self.table = PageTable::default();
        self.published_count = 0;
        self.computed = 0;
        self.draft_tokens.clear();
    }

    /// Leases pages for up to `wanted` more tokens and tells for how many there are.
    pub(crate) fn reserve(&mut self, wanted: usize, pool: &Pool, limits: &Limits) -> usize {
        assert!(wanted <= self.remaining(), "no more than there are");
        let page_len = limits.page_len as usize;
        let needed = limits.pages_for(self.computed + wanted);
        while self.pages.0.len() < needed {
            let Some(lease) = pool.allocate() else { break };
            self.table.push(lease.page());
            self.pages.0.push(lease);
            if limits.window.is_some() {
                let window = pool.allocate_window();
                self.window_table.push(window.page());
                self.windows.push(Some(window));
            }
        }
        let room = self.pages.0.len() * page_len - self.computed;
        room.min(wanted)
    }

    pub(crate) fn speculate(&mut self, tokens: &[TokenId]) {
        assert!(self.is_decoding(), "only an answer is drafted");
        self.draft_tokens.clear();
        self.draft_tokens.extend_from_slice(tokens);
    }

    /// Draft tokens that the next step has a place for, were its budget large enough: within the
    /// page of the last token, and short of the token that would end the answer.
    pub(crate) fn draft_room(&self, limits: &Limits) -> usize {
        assert!(self.is_decoding(), "only an answer is drafted");
        let in_pages = limits.pages_for(self.tokens.len()) * limits.page_len as usize;
        let to_end = self.tokens_max - self.generated_len() - 1;
        let to_full = limits.sequence_len_max() - self.tokens.len() - 1;
        (in_pages - self.tokens.len()).min(to_end).min(to_full)
    }

    /// Keeps as many draft tokens as a step of at most `budget` more tokens can compute.
    pub(crate) fn plan_draft_tokens(&mut self, budget: usize, limits: &Limits) -> usize {
        let room = if budget == 0 { 0 } else { self.draft_room(limits).min(budget) };
        self.draft_tokens.truncate(room);
        self.draft_tokens.len()
    }

    /// Takes the first draft tokens in and forgets the others.
    pub(crate) fn accept(&mut self, accepted: usize) {
        assert!(accepted <= self.draft_tokens.len(), "no more is accepted than was drafted");
        self.tokens.extend_from_slice(&self.draft_tokens[..accepted]);
        self.draft_tokens.clear();
    }

    pub(crate) fn span(&self, len: usize, limits: &Limits) -> PlanSpan {
        let end = self.computed + len;
        assert!(len > 0 && end <= self.tokens.len(), "a span is of tokens there are");
        assert_eq!(limits.pages_for(end), self.pages.0.len(), "pages reach as far as the span");
        let wants_token = end == self.tokens.len();
        assert!(wants_token || self.draft_tokens.is_empty(), "only an answer is drafted");
        let mut tokens = self.tokens[self.computed..end].to_vec();
        tokens.extend_from_slice(&self.draft_tokens);
        PlanSpan {
            id: self.id,
            first_position: self.computed,
            tokens,
            is_prompt: self.is_in_prompt(),
            drafted: u32::try_from(self.draft_tokens.len()).expect("a few"),
            pages: self.table.clone(),
            window_pages: self.window_table.clone(),
            wants_token,
            seat: self.seat,
        }
    }

    /// `len` more tokens are computed. Publishes the pages that are full now; tells how many
    /// tokens were computed for the first time.
    pub(crate) fn advance(&mut self, len: usize, pool: &Pool, limits: &Limits) -> u64 {
        self.computed += len;
        assert!(self.computed <= self.tokens.len(), "no more is computed than there is");
        let fresh = self.computed.saturating_sub(self.charged);
        self.charged = self.charged.max(self.computed);
        let page_len = limits.page_len as usize;
        while (self.published_count + 1) * page_len <= self.computed {
            self.publish_next(pool, page_len);
        }
        let behind = limits.first_seen(self.computed) / page_len;
        // Those that fell behind before are not looked at again, however many they are.
        while self.behind_count < behind.min(self.windows.len()) {
            if let Some(window) = self.windows[self.behind_count].take() {
                window.fall_behind();
            }
            self.behind_count += 1;
        }
        fresh as u64
    }

    fn publish_next(&mut self, pool: &Pool, page_len: usize) {
        let slot = self.published_count;
        let parent = slot.checked_sub(1).map(|above| self.pages.0[above].page());
        let before = parent.map_or(Before::Start(&self.prelude), Before::Page);
        let tokens = &self.tokens[slot * page_len..(slot + 1) * page_len];
        if let Some(same) = pool.publish(&self.pages.0[slot], before, tokens) {
            self.table.set(slot, same.page());
            self.pages.0[slot] = same;
        }
        if let Some(Some(window)) = self.windows.get_mut(slot)
            && let Some(same) = pool.publish_window(window, self.pages.0[slot].page())
        {
            self.window_table.set(slot, same.page());
            *window = same;
        }
        self.published_count += 1;
    }

    /// # Panics
    /// When a page that may still be written is shared, or one that is shared may be written.
    pub(crate) fn assert_consistent(&self, pool: &Pool, limits: &Limits) {
        assert!(self.tokens.len() <= limits.sequence_len_max(), "within the context");
        assert!(self.generated_len() < self.tokens_max, "it would have finished");
        assert_eq!(self.pages.0.len(), limits.pages_for(self.computed), "no page too many");
        assert_eq!(self.published_count, self.computed / limits.page_len as usize);
        for (slot, lease) in self.pages.0.iter().enumerate() {
            let (refs, is_published) = pool.page_state(lease.page());
            assert_eq!(is_published, slot < self.published_count, "full pages are published");
            assert!(refs == 1 || is_published, "a page being written has one owner");
        }
        let pages = self.pages.0.iter().map(PageLease::page);
        assert!(pages.eq(self.table.pages_from(0)), "the table names the pages that are leased");
        self.assert_windows_consistent(pool, limits);
    }

    /// # Panics
    /// When a window that the next token sees is gone, or one behind it is kept.
    fn assert_windows_consistent(&self, pool: &Pool, limits: &Limits) {
        let wanted = if limits.window.is_some() { self.pages.0.len() } else { 0 };
        assert_eq!(self.windows.len(), wanted, "a window beside each page");
        assert_eq!(self.window_table.len(), wanted, "and its number");
        let behind = limits.first_seen(self.computed) / limits.page_len as usize;
        for (slot, window) in self.windows.iter().enumerate() {
            assert_eq!(window.is_none(), slot < behind, "what is seen is kept, and no more");
            let Some(window) = window else { continue };
            assert_eq!(self.window_table.get(slot), Some(window.page()), "and that of windows");
            let (refs, full) = pool.window_state(window.page());
            let published = (slot < self.published_count).then(|| self.pages.0[slot].page());
            assert_eq!(full, published, "it stands beside its page once that is published");
            assert!(refs == 1 || full.is_some(), "a page being written has one owner");
        }
    }
}

/// Behind the window any page will do.
fn page_or_any(window: &Option<WindowLease>) -> PageId {
    window.as_ref().map_or(PageId(0), WindowLease::page)
}

/// Leases in the order of positions. Dropped from the end, see [`Pool`].
#[derive(Debug, Default)]
struct Leases(Vec<PageLease>);

impl Leases {
    /// Leaves the first `len`.
    fn shorten(&mut self, len: usize) {
        while self.0.len() > len {
            drop(self.0.pop());
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shorten(0);
    }
}
