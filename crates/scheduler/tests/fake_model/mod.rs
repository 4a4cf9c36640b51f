//! The model that the simulation schedules: each slot and each token is made of all that a real
//! one would read.

mod rng;

use std::collections::VecDeque;

use scheduler::{
    FinishReason, Limits, Made, PageId, PageTable, PlanSpan, RequestId, StepResult, TokenId,
};

pub(crate) use rng::Rng;

pub(crate) const VOCAB: u64 = 47;
pub(crate) const END_OF_TEXT: TokenId = 0;

/// The memory of the fake model: a number for each slot of each page.
pub(crate) struct Cache {
    pub(crate) page_len: usize,
    pub(crate) slots: Vec<u64>,
    pub(crate) window_slots: Vec<u64>,
    /// Of a window; 0 where there is none.
    pub(crate) reach: usize,
}

/// What a sequence is made of so far.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// Of all slots.
    all: u64,
    /// The last slots of the window, oldest first.
    seen: VecDeque<u64>,
}

impl State {
    /// Takes a token in: its slots in both caches.
    fn feed(&mut self, token: TokenId, reach: usize) -> (u64, u64) {
        let value = mix(self.made(), u64::from(token));
        self.remember(value, mix(value, 1), reach);
        (value, mix(value, 1))
    }

    fn remember(&mut self, value: u64, of_window: u64, reach: usize) {
        self.all = mix(self.all, value);
        self.seen.push_back(of_window);
        while self.seen.len() > reach {
            self.seen.pop_front();
        }
    }

    /// All of it together.
    fn made(&self) -> u64 {
        self.seen.iter().fold(self.all, |made, value| mix(made, *value))
    }

    pub(crate) fn spoilt(&self) -> State {
        State { all: !self.all, seen: self.seen.clone() }
    }
}

impl Cache {
    pub(crate) fn new(limits: &Limits) -> Cache {
        let page_len = limits.page_len as usize;
        let of = |page_count: u32| vec![0; page_len * page_count as usize];
        Cache {
            page_len,
            slots: of(limits.page_count),
            window_slots: of(limits.window.map_or(0, |window| window.page_count)),
            reach: limits.window.map_or(0, |window| window.reach as usize),
        }
    }

    pub(crate) fn slot(&self, pages: &PageTable, position: usize) -> usize {
        pages.numbers()[position / self.page_len] as usize * self.page_len
            + position % self.page_len
    }

    /// The first position of the window of the one at `first`; itself where there is no window.
    pub(crate) fn first_seen(&self, first: usize) -> usize {
        first.saturating_sub(self.reach) * usize::from(self.reach > 0)
    }

    /// What all slots before the span make together.
    pub(crate) fn read(&self, span: &PlanSpan) -> State {
        let first = span.first_position;
        let of_all = |state, position| mix(state, self.slots[self.slot(&span.pages, position)]);
        let seen = if self.reach > 0 { self.first_seen(first)..first } else { 0..0 };
        let of_window = |position| self.window_slots[self.slot(&span.window_pages, position)];
        State { all: (0..first).fold(0, of_all), seen: seen.map(of_window).collect() }
    }

    /// Writes the span's slots and makes the token after each.
    pub(crate) fn write(
        &mut self,
        span: &PlanSpan,
        mut state: State,
        skipped: Option<usize>,
    ) -> Vec<TokenId> {
        let mut tokens = Vec::with_capacity(span.tokens.len());
        for (row, token) in span.tokens.iter().enumerate() {
            let (value, of_window) = state.feed(*token, self.reach);
            tokens.push(token_of(state.made()));
            if skipped == Some(row) {
                continue;
            }
            let position = span.first_position + row;
            let slot = self.slot(&span.pages, position);
            self.slots[slot] = value;
            if self.reach > 0 {
                let slot = self.slot(&span.window_pages, position);
                self.window_slots[slot] = of_window;
            }
        }
        tokens
    }
}

/// `tokens` follow the span's tokens, one after each.
pub(crate) fn result_of(span: &PlanSpan, tokens: &[TokenId]) -> StepResult {
    if !span.wants_token {
        return StepResult::Prefilled;
    }
    let known = span.tokens.len() - span.drafted as usize;
    let mut accepted = 0;
    loop {
        let token = tokens[known - 1 + accepted];
        let made = Made { accepted: accepted as u32, token };
        if token == END_OF_TEXT {
            return StepResult::Finish(made, FinishReason::EndOfText);
        }
        if span.tokens.get(known + accepted) != Some(&token) {
            return StepResult::Token(made);
        }
        accepted += 1;
    }
}

/// What the fake model answers to a prompt with nobody else there: `len` tokens.
pub(crate) fn alone(prompt: &[TokenId], len: usize, reach: usize) -> Vec<TokenId> {
    let mut state = State::default();
    for token in prompt {
        state.feed(*token, reach);
    }
    let mut answer = Vec::with_capacity(len);
    for _ in 0..len {
        let token = token_of(state.made());
        answer.push(token);
        state.feed(token, reach);
    }
    answer
}

fn token_of(state: u64) -> TokenId {
    (state % VOCAB) as TokenId
}

pub(crate) fn mix(state: u64, value: u64) -> u64 {
    let mixed = (state.rotate_left(7) ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The table with the page at a place and the next one in each other's place.
pub(crate) fn swapped(pages: &PageTable, place: usize) -> PageTable {
    let mut pages: Vec<PageId> = pages.pages_from(0).collect();
    pages.swap(place, place + 1);
    pages.into_iter().collect()
}

/// Two sequences get each other's token.
pub(crate) fn swap_tokens(results: &mut [(RequestId, StepResult)]) {
    let is_token = |(_, result): &&mut (RequestId, StepResult)| {
        matches!(result, StepResult::Token(_) | StepResult::Finish(..))
    };
    let mut tokens = results.iter_mut().filter(is_token);
    if let (Some((_, one)), Some((_, other))) = (tokens.next(), tokens.next()) {
        std::mem::swap(one, other);
    }
}
