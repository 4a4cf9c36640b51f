//! Compiled grammars, the last used few.

use std::collections::VecDeque;

use crate::Kind;
use crate::compile::Fresh;
use crate::limits::CACHED_MAX;

/// Newest last.
#[derive(Default)]
pub(crate) struct Cache {
    kept: VecDeque<(Kind, String, Fresh)>,
}

impl Cache {
    pub(crate) fn get(&mut self, kind: Kind, source: &str) -> Option<Fresh> {
        let same = |(its_kind, its_source, _): &(Kind, String, Fresh)| {
            *its_kind == kind && its_source == source
        };
        let at = self.kept.iter().position(same)?;
        let found = self.kept.remove(at)?;
        let fresh = found.2.clone();
        self.kept.push_back(found);
        Some(fresh)
    }

    pub(crate) fn put(&mut self, kind: Kind, source: &str, fresh: Fresh) {
        if self.get(kind, source).is_some() {
            return;
        }
        if self.kept.len() >= CACHED_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((kind, source.to_owned(), fresh));
    }
}
