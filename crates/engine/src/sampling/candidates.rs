//! The tokens still in the race. Kept sorted only as far as somebody looked, for sorting a
//! vocabulary of 150,000 costs more than the rest of the sampler together.

use std::cmp::Ordering;

use super::rng::Rng;

/// Looked through together when the best few of many logits are sought.
const CHUNK_LEN: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) id: u32,
    /// Above negative infinity, at most `f32::MAX`.
    pub(crate) logit: f32,
}

/// Best first; of equals the lower id, so that the order is the same everywhere.
fn by_rank(left: &Candidate, right: &Candidate) -> Ordering {
    right.logit.total_cmp(&left.logit).then(left.id.cmp(&right.id))
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    items: Vec<Candidate>,
    /// The best so many are in front, in order.
    sorted_len: usize,
}

impl Candidates {
    /// All tokens that are not banned; with `top_k > 0` the best so many, sorted. A NaN counts as
    /// banned: a token of which the model says nothing is not chosen.
    pub(crate) fn fill(&mut self, logits: &[f32], top_k: usize) {
        self.items.clear();
        self.sorted_len = 0;
        if top_k == 0 || top_k >= logits.len() {
            // Room for all at once: growing step by step leaves behind what it grew out of.
            self.items.reserve_exact(logits.len());
            let kept = logits.iter().zip(0..).filter(|(logit, _)| is_open(**logit));
            self.items.extend(kept.map(|(logit, id)| Candidate { id, logit: tamed(*logit) }));
            return;
        }
        self.fill_best(logits, top_k);
        self.ensure_sorted(top_k);
        self.truncate(top_k);
    }

    /// Collects what beats the `count`-th best seen so far, and thins out when twice as many are
    /// there. Most chunks of logits are turned down with one vectorised comparison.
    fn fill_best(&mut self, logits: &[f32], count: usize) {
        let mut threshold = f32::NEG_INFINITY;
        for (chunk, start) in logits.chunks(CHUNK_LEN).zip((0_u32..).step_by(CHUNK_LEN)) {
            if !chunk.iter().fold(false, |any, logit| any | (*logit > threshold)) {
                continue;
            }
            for (logit, id) in chunk.iter().zip(start..) {
                // Later ids lose against equals, so a strict comparison is right.
                if *logit > threshold {
                    self.items.push(Candidate { id, logit: tamed(*logit) });
                }
            }
            if self.items.len() >= 2 * count {
                self.items.select_nth_unstable_by(count - 1, by_rank);
                self.items.truncate(count);
                threshold = self.items[count - 1].logit;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// In order as far as sorted.
    pub(crate) fn items(&self) -> &[Candidate] {
        &self.items
    }

    /// The best `count`, in order; fewer when there are fewer.
    pub(crate) fn best(&mut self, count: usize) -> &[Candidate] {
        self.ensure_sorted(count);
        &self.items[..count.min(self.items.len())]
    }

    fn ensure_sorted(&mut self, count: usize) {
        let count = count.min(self.items.len());
        if count <= self.sorted_len {
            return;
        }
        let rest = &mut self.items[self.sorted_len..];
        let wanted = count - self.sorted_len;
        if wanted < rest.len() {
            rest.select_nth_unstable_by(wanted - 1, by_rank);
        }
        rest[..wanted].sort_unstable_by(by_rank);
        self.sorted_len = count;
    }

    /// Keeps the best `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        if count < self.items.len() {
            self.ensure_sorted(count);
            self.items.truncate(count);
            self.sorted_len = count;
        }
    }

    /// Drops the best `count`.
    pub(crate) fn drop_best(&mut self, count: usize) {
        self.ensure_sorted(count);
        self.items.drain(..count);
        self.sorted_len -= count;
    }

    /// Keeps those with at least this logit.
    pub(crate) fn keep_from(&mut self, logit_min: f32) {
        let sorted = &self.items[..self.sorted_len];
        self.sorted_len = sorted.partition_point(|candidate| candidate.logit >= logit_min);
        self.items.retain(|candidate| candidate.logit >= logit_min);
    }

    /// Replaces all by some of them, in any order.
    pub(crate) fn replace(&mut self, items: impl Iterator<Item = Candidate>) {
        self.items.clear();
        self.items.extend(items);
        self.sorted_len = 0;
    }

    /// Negative infinity when empty.
    pub(crate) fn logit_max(&self) -> f32 {
        if self.sorted_len > 0 {
            return self.items[0].logit;
        }
        self.items.iter().fold(f32::NEG_INFINITY, |max, candidate| max.max(candidate.logit))
    }

    /// Divides all logits by a temperature above 0. They become differences to the highest first,
    /// so that nothing overflows, however low the temperature.
    pub(crate) fn heat(&mut self, temperature: f32) {
        let max = self.logit_max();
        for candidate in &mut self.items {
            candidate.logit = ((candidate.logit - max) / temperature).max(f32::MIN);
        }
    }

    /// Share of each in the sum of all: `exp(logit - max)` over the total, in the order of
    /// [`Candidates::items`].
    pub(crate) fn probabilities(&self) -> Vec<f64> {
        let max = self.logit_max();
        let weights = self.items.iter().map(|candidate| weight(candidate.logit, max));
        let mut shares: Vec<f64> = weights.collect();
        let total: f64 = shares.iter().sum();
        for share in &mut shares {
            *share /= total;
        }
        shares
    }

    /// Sum of `exp(logit - max)`: the weight that [`weight`] is a part of.
    pub(crate) fn weight_total(&self) -> f64 {
        let max = self.logit_max();
        self.items.iter().map(|candidate| weight(candidate.logit, max)).sum()
    }

    /// Chooses one by its probability; its place in [`Candidates::items`].
    pub(crate) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        let max = self.logit_max();
        let mut left = rng.unit() * self.weight_total();
        for (place, candidate) in self.items.iter().enumerate() {
            left -= weight(candidate.logit, max);
            if left < 0.0 {
                return Some(place);
            }
        }
        // Rounding may leave a crumb: it belongs to the last that can be chosen at all.
        self.items.iter().rposition(|candidate| weight(candidate.logit, max) > 0.0)
    }
}

pub(crate) fn weight(logit: f32, max: f32) -> f64 {
    (f64::from(logit) - f64::from(max)).exp()
}

/// Whether a token may be chosen at all.
fn is_open(logit: f32) -> bool {
    logit > f32::NEG_INFINITY
}

/// Without infinity, and with one zero.
fn tamed(logit: f32) -> f32 {
    logit.min(f32::MAX) + 0.0
}

/// The most likely token, of equals the lower id; 0 when no token may be chosen.
pub(crate) fn most_likely(logits: &[f32]) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (logit, id) in logits.iter().zip(0_u32..) {
        if *logit > best.0 {
            best = (*logit, id);
        }
    }
    best.1
}
