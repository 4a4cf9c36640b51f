//! What is drafted, and when it pays.

use super::{Lookup, Luck, Pace, ROWS_MAX, how_many, room};

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
