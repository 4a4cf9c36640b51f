//! One sequence's place in its grammar.

use std::sync::Arc;

use llguidance::Matcher as Engine;

use crate::error::one_line;
use crate::reasoning::{Part, Spans};
use crate::{Error, Mask, Result, Vocabulary};

/// Follows one sequence: which tokens may come next, and whether it may end.
pub struct Matcher {
    vocabulary: Arc<Vocabulary>,
    engine: Engine,
    spans: Option<Spans>,
    mask: Mask,
    ended: bool,
}

impl Clone for Matcher {
    fn clone(&self) -> Matcher {
        Matcher {
            vocabulary: Arc::clone(&self.vocabulary),
            engine: self.engine.deep_clone(),
            spans: self.spans.clone(),
            mask: self.mask.clone(),
            ended: self.ended,
        }
    }
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Matcher over {:?}", self.vocabulary)
    }
}

impl Matcher {
    pub(crate) fn new(
        vocabulary: Arc<Vocabulary>,
        engine: Engine,
        spans: Option<Spans>,
    ) -> Matcher {
        Matcher { vocabulary, engine, spans, mask: Mask::default(), ended: false }
    }

    /// The tokens that may come next; an end among them where the answer may end.
    ///
    /// # Errors
    /// [`Error::Stuck`] where no token fits, or finding out costs more than the limits allow.
    pub fn mask(&mut self) -> Result<&Mask> {
        let part = self.spans.as_ref().map_or(Part::Grammar, Spans::part);
        self.mask = match part {
            Part::Free => self.free_mask(),
            Part::Grammar => self.grammar_mask()?,
            Part::Either => {
                let only_opens = self.spans.as_ref().is_some_and(Spans::only_opens);
                let mut mask = if only_opens { self.no_token() } else { self.grammar_mask()? };
                if let Some(spans) = &self.spans {
                    spans.openers(&self.vocabulary).for_each(|id| mask.insert(id));
                }
                mask
            }
            Part::Between => {
                let mut mask = self.grammar_mask()?;
                if let Some(spans) = &self.spans {
                    spans.separators(&self.vocabulary).for_each(|id| mask.insert(id));
                }
                mask
            }
        };
        if self.mask.is_empty() {
            return Err(Error::Stuck("its tokens cannot spell what must come".to_owned()));
        }
        Ok(&self.mask)
    }

    /// Takes in the token that was drawn.
    ///
    /// # Errors
    /// [`Error::Refused`] for a token that the mask does not allow; the matcher is of no use then.
    pub fn accept(&mut self, id: u32) -> Result<()> {
        if self.vocabulary.ends().contains(&id) {
            self.ended |= self.may_end();
            return if self.ended { Ok(()) } else { Err(Error::Refused(id)) };
        }
        let part = self.spans.as_ref().map_or(Part::Grammar, Spans::part);
        let bytes = self.vocabulary.bytes(id);
        let fits = match (part, self.spans.as_mut()) {
            (Part::Free, Some(spans)) => {
                let stays = !spans.breaks_off(id);
                spans.push(bytes);
                stays
            }
            (Part::Either, Some(spans)) => {
                let opens = spans.opens(bytes);
                let fits = !spans.only_opens() && takes(&mut self.engine, id);
                spans.choose(opens, fits, bytes);
                if spans.part() == Part::Free {
                    // What may have been read as an answer was none.
                    self.engine.reset().map_err(|_| Error::Refused(id))?;
                }
                opens || fits
            }
            (Part::Between, Some(spans)) => {
                if takes(&mut self.engine, id) {
                    spans.begin();
                    true
                } else {
                    spans.separate(bytes)
                }
            }
            (Part::Grammar, _) | (_, None) => !self.ended && takes(&mut self.engine, id),
        };
        if fits { Ok(()) } else { Err(Error::Refused(id)) }
    }

    /// Whether the answer is whole as it stands.
    pub fn may_end(&mut self) -> bool {
        let reasons = |spans: &Spans| spans.part() == Part::Free || spans.only_opens();
        if self.spans.as_ref().is_some_and(reasons) {
            return false;
        }
        self.ended || self.stopped_well() || self.engine.is_accepting().unwrap_or(false)
    }

    /// Whether the answer is whole and nothing may be added.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let reasons = |spans: &Spans| spans.part() == Part::Free || spans.only_opens();
        self.ended || (self.stopped_well() && !self.spans.as_ref().is_some_and(reasons))
    }

    fn stopped_well(&self) -> bool {
        self.engine.is_stopped() && !self.engine.is_error() && self.engine.stop_reason().is_ok()
    }

    fn no_token(&self) -> Mask {
        Mask::none(self.vocabulary.len())
    }

    fn free_mask(&self) -> Mask {
        let mut mask = Mask::all(self.vocabulary.len());
        for end in self.vocabulary.ends() {
            mask.remove(*end);
        }
        if let Some(spans) = &self.spans {
            spans.breakers().for_each(|id| mask.remove(id));
        }
        mask
    }

    fn grammar_mask(&mut self) -> Result<Mask> {
        let set = self.engine.compute_mask_or_eos();
        let set = set.map_err(|error| Error::Stuck(one_line(&error.to_string())))?;
        let mut mask = Mask::of(&set);
        if !self.may_end() {
            // A grammar of tokens may say any but one, and mean no end.
            self.vocabulary.ends().iter().for_each(|end| mask.remove(*end));
        }
        Ok(mask)
    }
}

fn takes(engine: &mut Engine, id: u32) -> bool {
    engine.try_consume_tokens(&[id]).is_ok_and(|taken| taken == 1)
}
