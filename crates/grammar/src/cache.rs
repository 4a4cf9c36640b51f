//! Compiled grammars, the last used few.

use std::collections::VecDeque;

use crate::Syntax;
use crate::compile::Fresh;
use crate::limits::CACHED_MAX;

/// Newest last.
#[derive(Default)]
pub(crate) struct Cache {
    kept: VecDeque<(Syntax, Fresh)>,
}

impl Cache {
    pub(crate) fn get(&mut self, syntax: &Syntax) -> Option<Fresh> {
        let at = self.kept.iter().position(|(its, _)| its == syntax)?;
        let found = self.kept.remove(at)?;
        let fresh = found.1.clone();
        self.kept.push_back(found);
        Some(fresh)
    }

    pub(crate) fn put(&mut self, syntax: &Syntax, fresh: Fresh) {
        if self.get(syntax).is_some() {
            return;
        }
        if self.kept.len() >= CACHED_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((syntax.clone(), fresh));
    }
}
