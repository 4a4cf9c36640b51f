//! What one forward step computes: which tokens of which sequences, and where their keys live.

use crate::{Error, Result};

/// The rows of one step. Rows of one sequence are adjacent and in order of position.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Token id of each row, `[rows]`.
    pub tokens: &'a [u32],
    /// One entry per sequence; their `rows` add up to `tokens.len()`.
    pub spans: &'a [Span<'a>],
    /// So many of the first rows are decode rows: tokens of answers, and of texts whose vectors are
    /// compared with those of other machines. The others are prefill rows, of prompts. What a row
    /// gives may depend on which it is, as a backend may round products of prefill rows in another
    /// way.
    pub decode_rows: usize,
}

/// One sequence's share of a step.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Rows of this sequence in the step.
    pub rows: usize,
    /// Position of the first of these rows; all earlier positions are in the cache already.
    pub first_position: usize,
    /// Page table: position `p` lives in page `pages[p / page_len]` at offset `p % page_len`.
    pub pages: &'a [u32],
    /// Slot of its recurrent state, see [`crate::StateCache`]; 0 where a model has none.
    pub state: usize,
}

impl<'a> Batch<'a> {
    /// Decode rows alone.
    #[must_use]
    pub fn decode(tokens: &'a [u32], spans: &'a [Span<'a>]) -> Batch<'a> {
        Batch { tokens, spans, decode_rows: tokens.len() }
    }

    /// Prefill rows alone.
    #[must_use]
    pub fn prefill(tokens: &'a [u32], spans: &'a [Span<'a>]) -> Batch<'a> {
        Batch { tokens, spans, decode_rows: 0 }
    }

    /// Refuses a batch whose parts do not fit together or reach outside the cache.
    ///
    /// # Errors
    /// [`Error::Batch`] with what is wrong.
    pub fn check(&self, page_len: usize, page_count: usize) -> Result<()> {
        let rows: usize = self.spans.iter().map(|span| span.rows).sum();
        if rows != self.tokens.len() {
            let tokens = self.tokens.len();
            return Err(Error::Batch(format!("spans cover {rows} rows of {tokens} tokens")));
        }
        for span in self.spans {
            let end = span.first_position + span.rows;
            if span.pages.len() * page_len < end {
                let pages = span.pages.len();
                return Err(Error::Batch(format!("{pages} pages do not hold {end} positions")));
            }
            if let Some(page) = span.pages.iter().find(|page| **page as usize >= page_count) {
                return Err(Error::Batch(format!("page {page} of {page_count}")));
            }
        }
        Ok(())
    }

    /// Refuses a span whose state is not there, and two that share one.
    ///
    /// # Errors
    /// [`Error::Batch`] with what is wrong.
    pub fn check_states(&self, slots: usize) -> Result<()> {
        let mut taken = vec![false; slots];
        for span in self.spans.iter().filter(|span| span.rows > 0) {
            match taken.get_mut(span.state) {
                None => {
                    return Err(Error::Batch(format!("state {} of {slots}", span.state)));
                }
                Some(true) => {
                    return Err(Error::Batch(format!("two spans with state {}", span.state)));
                }
                Some(taken) => *taken = true,
            }
        }
        Ok(())
    }

    /// `(span, position)` of every row in order.
    pub fn rows(&self) -> impl Iterator<Item = (&Span<'_>, usize)> {
        self.spans
            .iter()
            .flat_map(|span| (0..span.rows).map(move |i| (span, span.first_position + i)))
    }
}

impl Span<'_> {
    /// Index of `position` in a cache that stores page after page.
    #[must_use]
    pub fn slot(&self, position: usize, page_len: usize) -> usize {
        self.pages[position / page_len] as usize * page_len + position % page_len
    }
}
