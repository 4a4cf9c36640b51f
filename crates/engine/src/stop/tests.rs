//! Stop texts against the definition: the text before the first of them.

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::StopMatcher;

fn stream(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
    let mut matcher = StopMatcher::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
    let mut shown = Vec::new();
    let mut has_stopped = false;
    for piece in pieces {
        let (text, stopped) = matcher.push(piece);
        shown.push(text);
        has_stopped |= stopped;
    }
    if !has_stopped {
        shown.push(matcher.finish());
    }
    (shown, has_stopped)
}

fn check(stops: &[&str], pieces: &[&str], shown: &[&str], stopped: bool) {
    let expected = (shown.iter().map(|text| (*text).to_owned()).collect(), stopped);
    assert_eq!(stream(stops, pieces), expected, "{stops:?} in {pieces:?}");
}

#[test]
fn without_a_stop_all_is_shown_at_once() {
    check(&[], &["one ", "two"], &["one ", "two", ""], false);
    check(&[""], &["one"], &["one", ""], false);
}

#[test]
fn a_stop_across_pieces_is_never_shown() {
    check(&["END"], &["aE", "N", "D b"], &["a", "", ""], true);
}

#[test]
fn what_was_no_stop_is_shown_as_soon_as_that_is_known() {
    check(&["END"], &["aE", "Nx", "y"], &["a", "ENx", "y", ""], false);
    check(&["aab"], &["a", "a", "a", "b"], &["", "", "a", ""], true);
}

#[test]
fn what_is_held_at_the_end_is_shown() {
    check(&["END"], &["aEN"], &["a", "EN"], false);
}

#[test]
fn nothing_is_shown_after_a_stop() {
    check(&["x"], &["ax", "b"], &["a", ""], true);
}

#[test]
fn the_stop_that_starts_first_counts() {
    check(&["b", "abc"], &["za", "b", "c"], &["z", "", ""], true);
    // `abc` was not finished, so `b` is the first.
    check(&["b", "abc"], &["za", "b", "x"], &["z", "", "a"], true);
    check(&["b", "abc"], &["zab"], &["z", "a"], false);
}

#[test]
fn characters_are_never_cut() {
    check(&["é!"], &["caf", "é", "?"], &["caf", "", "é?", ""], false);
    check(&["\u{1F600}"], &["è\u{1F600}x"], &["è"], true);
}

fn words() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[abé]{0,6}").expect("the pattern is well formed")
}

proptest! {
    #[test]
    fn shows_the_text_before_the_first_stop(
        stops in proptest::collection::vec(words(), 0..4),
        pieces in proptest::collection::vec(words(), 0..12),
    ) {
        let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (shown, has_stopped) = stream(&stops, &pieces);
        let text = pieces.concat();
        let real = || stops.iter().filter(|stop| !stop.is_empty());
        let end = real().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
        prop_assert_eq!(shown.concat(), &text[..end]);
        prop_assert!(!has_stopped || end < text.len());

        // Held is only what could still be the start of a stop text.
        let (mut seen, mut out) = (String::new(), String::new());
        for (piece, part) in pieces.iter().zip(&shown) {
            seen.push_str(piece);
            out.push_str(part);
            let held = seen.get(out.len()..).expect("shown is a prefix of what came");
            let is_open = |place: usize| real().any(|stop| stop.starts_with(&held[place..]));
            let ended = real().any(|stop| seen.contains(*stop));
            prop_assert!(ended || held.is_empty() || is_open(0), "held {held:?} of {seen:?}");
        }
    }
}
