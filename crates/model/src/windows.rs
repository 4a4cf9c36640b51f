//! Page tables of layers that see only a window, for callers that have no scheduler.

use std::collections::VecDeque;

use tensor::{Batch, Span};

use crate::{Error, Model, Result};

/// Which pages of windows belong to which sequence, told apart by [`Span::state`]. A sequence that
/// goes back finds its pages, but not what was in them.
pub struct WindowTables {
    page_len: usize,
    reach: usize,
    /// The longest free comes first, so that in time each is used.
    free: VecDeque<u32>,
    /// By sequence and place.
    held: Vec<Vec<Option<u32>>>,
}

impl WindowTables {
    /// Of a model, with all pages free.
    #[must_use]
    pub fn new(model: &Model) -> WindowTables {
        let (reach, count) =
            model.kv_window().map_or((0, 0), |window| (window.reach, window.page_count));
        let free = (0..).take(count).collect();
        WindowTables { page_len: model.kv_layout().page_len, reach, free, held: Vec::new() }
    }

    /// [`Model::forward`] of the model that these tables are of.
    ///
    /// # Errors
    /// As there.
    pub fn forward(
        &mut self,
        model: &mut Model,
        batch: &Batch<'_>,
        (output_rows, logits): (&[u32], &mut Vec<f32>),
    ) -> Result<()> {
        if model.kv_window().is_none() {
            return model.forward((batch, &[]), output_rows, logits);
        }
        let tables: Result<Vec<Vec<u32>>> =
            batch.spans.iter().map(|span| self.table(span)).collect();
        let tables = tables?;
        let tables: Vec<&[u32]> = tables.iter().map(Vec::as_slice).collect();
        model.forward((batch, &tables), output_rows, logits)?;
        for span in batch.spans {
            let first = self.first_place(span.first_position + span.rows);
            self.free.extend(self.held[span.state].iter_mut().take(first).filter_map(Option::take));
        }
        Ok(())
    }

    /// The place of the first page that a step from `position` on sees.
    fn first_place(&self, position: usize) -> usize {
        position.saturating_sub(self.reach) / self.page_len
    }

    fn table(&mut self, span: &Span<'_>) -> Result<Vec<u32>> {
        let first = self.first_place(span.first_position);
        let end = (span.first_position + span.rows).div_ceil(self.page_len);
        let held_len = self.held.len().max(span.state + 1);
        self.held.resize(held_len, Vec::new());
        let held = &mut self.held[span.state];
        self.free.extend(held.drain(end.min(held.len())..).flatten());
        held.resize(end, None);
        for place in &mut held[first..] {
            if place.is_none() {
                let page = self.free.pop_front();
                let none = || Error::Step("no page is left for a window".to_owned());
                *place = Some(page.ok_or_else(none)?);
            }
        }
        Ok(held.iter().map(|page| page.unwrap_or(0)).collect())
    }
}
