//! What is drafted, and when it pays.

use super::choose::{Choice, Lucks, Wish, all, what_pays};
use super::{Lookup, Luck, Pace, Prediction, ROWS_MAX, Source, room};

/// What is drafted of so many found tokens, in a step that computes `rows` rows without them.
fn how_many(found: usize, rows: usize, luck: Luck, pace: &Pace) -> usize {
    let nothing = Wish { found: 0, room: 0, luck: Lucks { lookup: luck, model: luck } };
    let mut wishes = vec![nothing; rows];
    wishes[0].found = found;
    what_pays(&wishes, pace, &|_| f64::INFINITY)[0].count
}

#[test]
fn what_followed_the_same_tokens_last_is_drafted() {
    let mut lookup = Lookup::default();
    let mut tokens = vec![1, 2, 3, 4, 5, 9, 1, 2];
    assert_eq!(lookup.draft(&tokens, 4), [0; 0]);
    tokens.push(3);
    assert_eq!(lookup.draft(&tokens, 4), [4, 5, 9, 1]);
    assert_eq!(lookup.draft(&tokens, 2), [4, 5]);
    tokens.extend([7, 8, 1, 2, 3]);
    assert_eq!(lookup.draft(&tokens, 3), [7, 8, 1], "the last place counts");
    // Read whole, or token by token: the same.
    assert_eq!(Lookup::default().draft(&tokens, 3), [7, 8, 1]);
    assert_eq!(Lookup::default().draft(&[1, 2], 3), [0; 0]);
    // Nothing follows but itself.
    assert_eq!(Lookup::default().draft(&[5, 5, 5, 5], 3), [5]);
}

#[test]
fn a_prediction_is_followed_from_place_to_place() {
    let mut text = Prediction::new(vec![1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3, 6]);
    assert_eq!(text.draft(&[], 2), [1, 2], "an answer may begin as it does");
    assert_eq!(text.draft(&[1, 2], 9)[..3], [3, 4, 1]);
    assert_eq!(text.draft(&[1, 7], 9), [0; 0]);
    // The same tokens stand in three places, and each time the next is meant.
    assert_eq!(text.draft(&[1, 2, 3], 1), [4]);
    assert_eq!(text.draft(&[1, 2, 3, 4, 1], 3), [2, 3, 5]);
    assert_eq!(text.draft(&[4, 9, 1, 2, 3], 1), [5]);
    assert_eq!(text.draft(&[5, 1, 2], 9), [3, 6]);
    assert_eq!(text.draft(&[2, 3, 6], 9), [0; 0], "it ends there");
    assert_eq!(text.draft(&[1, 2, 3], 1), [6], "the last place is left");
    assert_eq!(Prediction::new(vec![8]).draft(&[8], 3), [0; 0]);
}

/// A machine on which a step of so many rows takes so long.
fn pace(seconds: impl Fn(usize) -> f64) -> Pace {
    let mut pace = Pace::default();
    (1..=ROWS_MAX).for_each(|rows| pace.note(rows, seconds(rows)));
    pace
}

fn luck(accepted: usize) -> Luck {
    let mut luck = Luck::new();
    (0..100).for_each(|_| luck.note(4, accepted));
    luck
}

#[test]
fn drafts_are_made_where_they_pay() {
    let free = pace(|_| 1.0);
    let dear = pace(|rows| rows as f64);
    assert_eq!(how_many(7, 1, luck(4), &free), 7, "always right and free");
    assert_eq!(how_many(7, 1, luck(0), &dear), 0, "never right and dear");
    assert_eq!(how_many(7, 1, luck(4), &dear), 0, "a row that costs a step gives a token, no more");
    // Two of four are right, so a token is accepted in two of three tries.
    let real = pace(|rows| 1.0 + 0.1 * (rows - 1) as f64);
    let some = how_many(7, 1, luck(2), &real);
    assert!((2..6).contains(&some), "{some}");
    // The more rows others have, the less is left.
    assert_eq!(how_many(7, ROWS_MAX - 2, luck(4), &free), 2);
    assert_eq!(how_many(7, ROWS_MAX, luck(4), &free), 0);
    assert_eq!((room(0), room(1), room(ROWS_MAX + 1)), (0, ROWS_MAX - 1, 0));
    // Before anything is measured rows are believed to cost little.
    assert!(how_many(7, 1, Luck::new(), &Pace::default()) > 0);
}

#[test]
fn luck_comes_back() {
    let mut unlucky = luck(0);
    let pace = pace(|rows| 1.0 + 0.2 * (rows - 1) as f64);
    assert_eq!(how_many(7, 1, unlucky, &pace), 0);
    (0..300).for_each(|_| unlucky.note(0, 0));
    assert!(how_many(7, 1, unlucky, &pace) > 0);
}

#[test]
fn what_was_not_seen_is_believed() {
    let mut pace = Pace::default();
    pace.note(1, 2.0);
    assert!((pace.seconds(1) - 2.0).abs() < 1e-12);
    assert!((pace.seconds(6) - 2.0 * 1.2).abs() < 1e-12);
    pace.note(4, 1.0);
    assert!((pace.seconds(4) - 2.0).abs() < 1e-12, "more rows never take less");
    pace.note(ROWS_MAX + 1, 9.0);
    pace.note(0, 9.0);
}

/// What is drafted for so many sequences without anything found, by a model with `luck` whose steps
/// take so long.
fn asked(count: usize, luck: Luck, draft_seconds: f64) -> Vec<usize> {
    let pace = pace(|rows| 1.0 + 0.02 * (rows - 1) as f64);
    let wish = Wish { found: 0, room: 7, luck: Lucks { lookup: Luck::new(), model: luck } };
    let choices = what_pays(&vec![wish; count], &pace, &|_| draft_seconds);
    choices.into_iter().map(|choice| choice.count).collect()
}

#[test]
fn a_draft_model_is_asked_where_its_own_time_pays() {
    assert_eq!(asked(1, luck(4), 0.0), [7], "always right and free");
    assert_eq!(asked(1, luck(4), 1.0), [0], "as dear as the model itself");
    assert_eq!(asked(1, luck(0), 0.1), [0], "never right");
    // A token of three is wrong, and each costs a tenth of a step.
    let some = asked(1, luck(2), 0.1)[0];
    assert!((1..5).contains(&some), "{some}");
    assert!(asked(1, luck(2), 0.3)[0] < some, "the dearer the fewer");
    // Four share its steps: it pays for all together what it would not pay for the first.
    assert_eq!(asked(4, luck(2), 0.6), [1; 4]);
    assert_eq!(asked(ROWS_MAX, luck(4), 0.0), [0; ROWS_MAX], "no room is left");
    assert_eq!(asked(0, luck(4), 0.0), [0; 0]);
}

#[test]
fn the_better_source_is_chosen() {
    let pace = pace(|rows| 1.0 + 0.02 * (rows - 1) as f64);
    let choose = |found, lookup, model, draft_seconds| {
        let wish = Wish { found, room: 7, luck: Lucks { lookup, model } };
        what_pays(&[wish], &pace, &|_| draft_seconds)[0]
    };
    let lookup = |count| Choice { source: Source::Lookup, count };
    assert_eq!(choose(5, luck(4), luck(4), 0.1), lookup(5), "what was found is free");
    assert_eq!(choose(5, luck(1), luck(4), 0.05).source, Source::Model);
    assert_eq!(choose(5, luck(4), luck(4), 5.0), lookup(5));
    assert_eq!(choose(0, luck(4), luck(4), 5.0).count, 0);
    // Nobody counts the cost: what was found goes first, and all get the same of the rest.
    let luck = Lucks { lookup: Luck::new(), model: Luck::new() };
    let wish = |found| Wish { found, room: 7, luck };
    let counts = |wishes: &[Wish]| -> Vec<usize> {
        all(wishes).into_iter().map(|choice| choice.count).collect()
    };
    assert_eq!(counts(&[wish(2), wish(0), wish(0)]), [2, 1, 1]);
    assert_eq!(counts(&[wish(0), wish(0)]), [3, 3]);
    assert_eq!(counts(&[wish(0); ROWS_MAX - 1]), [1, 0, 0, 0, 0, 0, 0]);
}
