//! Stop texts in a stream of text pieces. What could still become a stop text is held back, and
//! nothing else, so that a reader never sees part of one and never waits for nothing.

/// Looks for the first of several stop texts.
#[derive(Clone, Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    /// Not yet emitted; itself the start of a stop text.
    held: String,
    has_stopped: bool,
}

impl StopMatcher {
    /// Empty stop texts are ignored: they would stop everything.
    pub(crate) fn new(mut stops: Vec<String>) -> StopMatcher {
        stops.retain(|stop| !stop.is_empty());
        StopMatcher { stops, held: String::new(), has_stopped: false }
    }

    /// Takes a piece of text; gives what may be shown now and whether a stop text was met. From
    /// then on nothing more is shown. Of several stop texts the one that starts first counts.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        if self.has_stopped {
            return (String::new(), true);
        }
        self.held.push_str(piece);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop)).min();
        let open = self.open_start();
        match found {
            // An unfinished stop text that starts earlier may still become the first.
            Some(place) if open.is_none_or(|open| place <= open) => {
                self.held.truncate(place);
                self.has_stopped = true;
                (std::mem::take(&mut self.held), true)
            }
            _ => {
                let rest = self.held.split_off(open.unwrap_or(self.held.len()));
                (std::mem::replace(&mut self.held, rest), false)
            }
        }
    }

    /// The text has ended: gives what was held back, up to a stop text in it.
    pub(crate) fn finish(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.held);
        if let Some(place) = self.stops.iter().filter_map(|stop| rest.find(stop)).min() {
            rest.truncate(place);
        }
        rest
    }

    /// The first place from which all that is held is the proper start of a stop text.
    fn open_start(&self) -> Option<usize> {
        let longest = self.stops.iter().map(String::len).max()?;
        let first = self.held.len().saturating_sub(longest - 1);
        let mut places =
            (first..self.held.len()).filter(|place| self.held.is_char_boundary(*place));
        places.find(|place| {
            let tail = &self.held[*place..];
            self.stops.iter().any(|stop| stop.len() > tail.len() && stop.starts_with(tail))
        })
    }
}

#[cfg(test)]
mod tests;
