//! What narrows the choice: typical, top-p, min-p and XTC. Top-k is in `candidates.rs`, which
//! never builds more than it keeps. Each leaves one candidate at least.

use super::candidates::{Candidate, Candidates, weight};
use super::rng::Rng;

/// Sorted at first when looking for a nucleus; four times as many each time it is not enough.
const NUCLEUS_FIRST: usize = 64;

/// The smallest set of most likely tokens whose probabilities reach `p` (Holtzman et al. 2019,
/// arXiv 1904.09751).
pub(crate) fn top_p(candidates: &mut Candidates, p: f32) {
    if p >= 1.0 || candidates.is_empty() {
        return;
    }
    let max = candidates.logit_max();
    let wanted = f64::from(p) * candidates.weight_total();
    let (mut sum, mut seen, mut sorted) = (0.0, 0, NUCLEUS_FIRST);
    while seen < candidates.len() {
        for candidate in &candidates.best(sorted)[seen..] {
            sum += weight(candidate.logit, max);
            seen += 1;
            if sum >= wanted {
                return candidates.truncate(seen);
            }
        }
        sorted = sorted.saturating_mul(4);
    }
}

/// Drops what is less likely than `p` times the most likely.
pub(crate) fn min_p(candidates: &mut Candidates, p: f32) {
    if p > 0.0 && !candidates.is_empty() {
        candidates.keep_from(candidates.logit_max() + p.min(1.0).ln());
    }
}

/// Tokens whose surprise is nearest to what is expected, until their probabilities exceed `p`
/// (Meister et al. 2022, arXiv 2202.00666).
pub(crate) fn typical(candidates: &mut Candidates, p: f32) {
    if p >= 1.0 || candidates.is_empty() {
        return;
    }
    let probabilities = candidates.probabilities();
    let surprise = |probability: f64| -probability.ln();
    let possible = probabilities.iter().filter(|probability| **probability > 0.0);
    let entropy: f64 = possible.map(|probability| probability * surprise(*probability)).sum();
    let mut order: Vec<(f64, Candidate, f64)> = candidates
        .items()
        .iter()
        .zip(&probabilities)
        .map(|(item, share)| ((surprise(*share) - entropy).abs(), *item, *share))
        .collect();
    order.sort_unstable_by(|left, right| {
        left.0.total_cmp(&right.0).then(left.1.id.cmp(&right.1.id))
    });
    let mut sum = 0.0;
    let within = order.iter().position(|(_, _, share)| {
        sum += share;
        sum > f64::from(p)
    });
    order.truncate(within.map_or(order.len(), |last| last + 1));
    candidates.replace(order.into_iter().map(|(_, item, _)| item));
}

/// With a chance of `probability`, drops all tokens at least as likely as `threshold` but the
/// least likely of them.
pub(crate) fn xtc(candidates: &mut Candidates, probability: f32, threshold: f32, rng: &mut Rng) {
    // Two tokens can only both reach a threshold up to a half.
    if probability <= 0.0 || threshold > 0.5 || candidates.len() < 2 {
        return;
    }
    if rng.unit() >= f64::from(probability) {
        return;
    }
    let shares = candidates.probabilities();
    let tops = shares.iter().filter(|share| **share >= f64::from(threshold)).count();
    if tops >= 2 {
        candidates.drop_best(tops - 1);
    }
}
