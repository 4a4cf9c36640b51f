//! Every bound of the scheduler. A caller sets [`Limits`]; the constants are the house's.

/// What a scheduler may use. All numbers must be at least 1, except
/// `queue_len_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Positions in a page.
    pub page_len: u32,
    /// Pages of the cache.
    pub page_count: u32,
    /// Sequences that run together.
    pub sequences_max: u32,
    /// Requests that may wait. One that was preempted waits without counting.
    pub queue_len_max: u32,
    /// Tokens computed in one step.
    pub step_tokens_max: u32,
    /// Tokens that a request may hold, prompt and answer together.
    pub context_len_max: u64,
    /// Whether a sequence may start from pages that another filled. Not where the pages are only
    /// a part of what a sequence is made of.
    pub shares_prefixes: bool,
    /// Where there are layers that see only a window.
    pub window: Option<WindowLimits>,
}

/// The cache of layers that see only a window. Its pages are as long as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Positions before the next one to compute that must stay.
    pub reach: u64,
    /// Pages of that cache; see [`Limits::window_pages_needed`].
    pub page_count: u32,
}

/// Draft tokens of a sequence that are computed in one step: few enough that their logits, a row
/// of the vocabulary each, are no burden.
pub const DRAFT_TOKENS_MAX: usize = 7;

/// Long prompts that are read in turns, so that a short one never waits behind all of a long one,
/// and yet each advances at a useful pace.
pub(crate) const PREFILLS_TOGETHER_MAX: usize = 4;

/// After so many preemptions a sequence gives its pages up only to an older one like it, and
/// nothing starts before it. Without this, two large sequences could take turns for ever.
pub(crate) const PREEMPTIONS_MAX: u32 = 3;

/// Users with no request at present whose use is still remembered.
pub(crate) const IDLE_USERS_MAX: usize = 1024;

impl Limits {
    /// Tokens at which a sequence is full: those that the pages hold, and one that was sampled
    /// and is never computed.
    pub(crate) fn sequence_len_max(&self) -> usize {
        let in_pages = u64::from(self.page_len) * u64::from(self.page_count) + 1;
        // Below what an address space holds: each token takes four bytes of it.
        usize::try_from(in_pages.min(self.context_len_max)).unwrap_or(usize::MAX)
    }

    /// Pages with which no sequence ever lacks one for its window, however many run: each holds
    /// those that `reach` touches, and what a step computes is shared among all.
    #[must_use]
    pub fn window_pages_needed(&self, reach: u64) -> u64 {
        let each = reach.div_ceil(u64::from(self.page_len)) + 2;
        u64::from(self.sequences_max) * each + u64::from(self.step_tokens_max / self.page_len)
    }

    /// The first position whose window must still be there when `computed` are computed.
    pub(crate) fn first_seen(&self, computed: usize) -> usize {
        let reach = |window: WindowLimits| usize::try_from(window.reach).unwrap_or(usize::MAX);
        self.window.map_or(0, |window| computed.saturating_sub(reach(window)))
    }

    pub(crate) fn pages_for(&self, len: usize) -> usize {
        len.div_ceil(self.page_len as usize)
    }

    /// # Panics
    /// When a limit is 0 with which nothing could ever run.
    pub(crate) fn assert_usable(&self) {
        assert!(self.page_len > 0, "a page must have a position");
        assert!(self.page_count > 0, "there must be a page");
        assert!(self.sequences_max > 0, "a sequence must be able to run");
        assert!(self.step_tokens_max > 0, "a step must be able to compute a token");
        assert!(self.context_len_max > 1, "a context holds a prompt and a token at least");
        if let Some(window) = self.window {
            let needed = self.window_pages_needed(window.reach);
            assert!(u64::from(window.page_count) >= needed, "every window must have its pages");
        }
    }
}
