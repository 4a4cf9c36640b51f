//! DRY ("don't repeat yourself"): a token that would prolong a repetition of the last tokens is
//! penalised, exponentially in the length of what is repeated already.

use std::collections::{BTreeMap, HashSet};

use super::params::Dry;
use super::penalties::recent;

pub(crate) fn dry(logits: &mut [f32], history: &[u32], dry: &Dry, breakers: &HashSet<u32>) {
    if dry.multiplier == 0.0 || dry.base < 1.0 {
        return;
    }
    let window = recent(history, dry.penalty_last_n);
    for (id, length) in repetitions(window, dry.allowed_length, breakers) {
        let Some(logit) = logits.get_mut(id as usize) else { continue };
        let exponent = f64::from(length - dry.allowed_length);
        let penalty = f64::from(dry.multiplier) * f64::from(dry.base).powf(exponent);
        // A long repetition overflows an f32: then the token is as good as banned, and no more,
        // so that there is always a token to choose.
        *logit -= penalty.min(f64::from(f32::MAX) / 4.0) as f32;
    }
}

/// Tokens that would prolong a repetition of at least `allowed_length`, and the longest length of
/// what they would prolong. No repetition reaches over a breaker, and a breaker prolongs none.
fn repetitions(window: &[u32], allowed_length: u32, breakers: &HashSet<u32>) -> BTreeMap<u32, u32> {
    let backwards: Vec<u32> = window.iter().rev().copied().collect();
    let unbroken = backwards.iter().position(|id| breakers.contains(id));
    let length_max = unbroken.unwrap_or(backwards.len());
    let mut longest = BTreeMap::new();
    if length_max < allowed_length as usize {
        return longest;
    }
    let matches = prefix_matches(&backwards);
    for (place, length) in matches.into_iter().enumerate().skip(1) {
        let length = u32::try_from(length.min(length_max)).unwrap_or(u32::MAX);
        let next = backwards[place - 1];
        if length >= allowed_length && length > 0 && !breakers.contains(&next) {
            let known = longest.entry(next).or_insert(length);
            *known = length.max(*known);
        }
    }
    longest
}

/// The Z function: for each place, how many items from there equal those at the start. Linear.
fn prefix_matches(items: &[u32]) -> Vec<usize> {
    let mut lengths = vec![0; items.len()];
    let (mut start, mut end) = (0, 0);
    for place in 1..items.len() {
        let mut length = if place < end { lengths[place - start].min(end - place) } else { 0 };
        while place + length < items.len() && items[place + length] == items[length] {
            length += 1;
        }
        if place + length > end {
            (start, end) = (place, place + length);
        }
        lengths[place] = length;
    }
    lengths
}
