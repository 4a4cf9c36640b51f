//! How many tokens to draft for whom, and from what: as many as make most tokens in the time that
//! steps take, by what they were seen to take.

use scheduler::DRAFT_TOKENS_MAX;

use super::{Luck, Pace, Source, room};

/// How often the drafts of a request were right, by what they were made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lucks {
    pub(crate) lookup: Luck,
    pub(crate) model: Luck,
}

/// What could be drafted for a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Tokens that the lookup found.
    pub(crate) found: usize,
    /// Tokens that the draft model can be asked for; 0 where there is none.
    pub(crate) room: usize,
    pub(crate) luck: Lucks,
}

/// What is drafted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) source: Source,
    /// Tokens; may be 0.
    pub(crate) count: usize,
}

/// Whatever there is: what was found, else what the draft model says.
pub(crate) fn all(wishes: &[Wish]) -> Vec<Choice> {
    let mut rows = wishes.len();
    let mut choices = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let count = wish.found.min(room(rows));
        rows += count;
        choices.push(Choice { source: Source::Lookup, count });
    }
    let asking = asking(&choices, |place| wishes[place].found == 0 && wishes[place].room > 0);
    let most: Vec<usize> = asking.iter().map(|place| wishes[*place].room).collect();
    // The deepest that leaves nobody out.
    let whole =
        |depth: &usize| most.iter().map(|most| depth.min(most)).sum::<usize>() <= room(rows);
    let depth = (1..=DRAFT_TOKENS_MAX).rev().find(whole).unwrap_or(1);
    ask(&mut choices, &asking, shared(&most, depth, room(rows)));
    choices
}

/// What pays by the `pace` of steps, where the draft model takes `draft_seconds` for each of its
/// own steps of so many rows.
pub(crate) fn what_pays(
    wishes: &[Wish],
    pace: &Pace,
    draft_seconds: &dyn Fn(usize) -> f64,
) -> Vec<Choice> {
    let mut rows = wishes.len();
    let mut choices = Vec::with_capacity(wishes.len());
    let mut founds = vec![0; wishes.len()];
    let mut waits = vec![false; wishes.len()];
    for (place, wish) in wishes.iter().enumerate() {
        let found = best(wish.found, rows, wish.luck.lookup, &|count| pace.seconds(rows + count));
        let alone = |count| pace.seconds(rows + count) + count as f64 * draft_seconds(1);
        let made = match wish.room {
            0 => Best { count: 0, rate: 0.0 },
            most => best(most, rows, wish.luck.model, &alone),
        };
        waits[place] = made.rate > found.rate || (wish.room > 0 && found.count == 0);
        founds[place] = found.count;
        let count = if waits[place] { 0 } else { found.count };
        rows += count;
        choices.push(Choice { source: Source::Lookup, count });
    }
    let asking = asking(&choices, |place| waits[place]);
    let most: Vec<(usize, Luck)> =
        asking.iter().map(|place| (wishes[*place].room, wishes[*place].luck.model)).collect();
    let counts = together(&most, rows, pace, draft_seconds);
    rows += counts.iter().sum::<usize>();
    ask(&mut choices, &asking, counts);
    // What was found is there for those for whom asking does not pay after all.
    for (choice, found) in choices.iter_mut().zip(founds) {
        if choice.source == Source::Model && choice.count == 0 {
            let count = found.min(room(rows));
            rows += count;
            *choice = Choice { source: Source::Lookup, count };
        }
    }
    choices
}

/// Places of the sequences for which the draft model may be asked.
fn asking(choices: &[Choice], is_asking: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..choices.len()).filter(|place| is_asking(*place)).collect()
}

fn ask(choices: &mut [Choice], asking: &[usize], counts: Vec<usize>) {
    for (place, count) in asking.iter().zip(counts) {
        choices[*place] = Choice { source: Source::Model, count };
    }
}

struct Best {
    count: usize,
    /// Tokens a second.
    rate: f64,
}

/// How many of `drafted` tokens to compute for one sequence in a step that computes `rows` rows
/// without them, where so many take `seconds`.
fn best(drafted: usize, rows: usize, luck: Luck, seconds: &dyn Fn(usize) -> f64) -> Best {
    let others = rows as f64 - 1.0;
    let rate = |count: usize| (others + luck.tokens(count)) / seconds(count);
    let most = drafted.min(room(rows));
    let first = Best { count: 0, rate: rate(0) };
    // The first of equals: a shorter draft.
    (1..=most).fold(first, |best, count| {
        if rate(count) > best.rate { Best { count, rate: rate(count) } } else { best }
    })
}

/// How many tokens the draft model makes for each of the sequences that ask, given the most of
/// each: they share its steps, so what pays is found for all of them at once.
fn together(
    asking: &[(usize, Luck)],
    rows: usize,
    pace: &Pace,
    draft_seconds: &dyn Fn(usize) -> f64,
) -> Vec<usize> {
    if asking.is_empty() {
        return Vec::new();
    }
    let most: Vec<usize> = asking.iter().map(|(most, _)| *most).collect();
    let counts = |depth: usize| shared(&most, depth, room(rows));
    let rate = |depth: usize| {
        let counts = counts(depth);
        let others = (rows - asking.len()) as f64;
        let own: f64 = asking.iter().zip(&counts).map(|((_, luck), n)| luck.tokens(*n)).sum();
        let deep = |step: usize| counts.iter().filter(|count| **count >= step).count();
        let drafting: f64 = (1..=depth).map(|step| draft_seconds(deep(step))).sum();
        (others + own) / (pace.seconds(rows + counts.iter().sum::<usize>()) + drafting)
    };
    let (depth, _) = (1..=DRAFT_TOKENS_MAX).fold((0, rate(0)), |best, depth| {
        let rate = rate(depth);
        if rate > best.1 { (depth, rate) } else { best }
    });
    counts(depth)
}

/// `depth` tokens for each, but no more than each can have and than there is room for.
fn shared(most: &[usize], depth: usize, room: usize) -> Vec<usize> {
    let mut left = room;
    let own = |most: &usize| {
        let count = depth.min(*most).min(left);
        left -= count;
        count
    };
    most.iter().map(own).collect()
}
