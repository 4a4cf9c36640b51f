//! The splitters by hand against their own patterns, on texts of every kind.

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::rules::{self, RULES};
use super::{Matches, Step, by_hand, compile, cut, rule, steps};

fn words(steps: &[Step], text: &str) -> Vec<String> {
    let mut words = Vec::new();
    cut(steps, text, true, &mut |word| words.push(word.to_owned()));
    words
}

fn by_pattern(pattern: &str) -> Step {
    let regex = Box::new(compile(pattern).expect("a pattern"));
    Step::Pattern { regex, inverted: false, matches: Matches::Apart }
}

/// Texts that are dense in what the rules tell apart.
fn texts() -> impl Strategy<Value = String> {
    let letters = proptest::sample::select(
        "aBzéÉǅʰ漢字々〇가あ\u{301}\u{93e}ſſKkSsTtRrEeVvMmLlDd''''0123456789½²٣ \t\n\r\u{a0}\u{3000}\
         !?/.,-_$€|\"<>\u{0}\u{200b}\u{378}😀"
            .chars()
            .collect::<Vec<char>>(),
    );
    let dense = proptest::collection::vec(letters, 0..40).prop_map(|c| c.into_iter().collect());
    prop_oneof![4 => dense, 1 => any::<String>()]
}

#[test]
fn what_is_written_by_hand_cuts_as_the_pattern_does() {
    let mut by_hand_count = 0;
    let mut patterns: Vec<&str> = RULES.iter().flat_map(|rule| rule.patterns).copied().collect();
    patterns.sort_unstable();
    patterns.dedup();
    for pattern in patterns {
        let Some(step) = by_hand(pattern) else { continue };
        if pattern == rules::THREES_FROM_RIGHT {
            continue;
        }
        by_hand_count += 1;
        let (step, judge) = ([step], [by_pattern(pattern)]);
        // The same texts in every run.
        let config = Config { failure_persistence: None, ..Config::with_cases(1000) };
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let same = |text: String| {
            assert_eq!(words(&step, &text), words(&judge, &text), "{pattern} {text:?}");
            Ok(())
        };
        TestRunner::new_with_rng(config, rng).run(&texts(), same).expect("the same words");
    }
    assert_eq!(by_hand_count, 19);
}

#[test]
fn every_rule_loses_nothing() {
    let text = "Hello  world's 12345\n\n\tæøå 漢字!!! 3.14 IMGIMGABZ <sentinel:1> \u{2026}ㄅ   ";
    for rule in RULES {
        let found = words(&steps(rule), text).concat();
        if rule.names == ["whitespace"] {
            assert_eq!(found, text.split_whitespace().collect::<String>());
        } else {
            assert_eq!(found, text, "{:?}", rule.names);
        }
    }
}

#[test]
fn rows_and_names_are_sorted_and_each_is_there_once() {
    let first: Vec<&str> = RULES.iter().map(|rule| rule.names[0]).collect();
    assert!(first.is_sorted(), "{first:?}");
    assert!(RULES.iter().all(|rule| rule.names.is_sorted()));
    let mut all: Vec<&str> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (91, 91));
}

#[test]
fn an_unknown_rule_is_refused_by_name() {
    let error = rule("nonsense").map(|_| ()).expect_err("unknown");
    assert!(error.to_string().contains("`nonsense`"), "{error}");
    assert!(error.to_string().contains("llama-bpe"), "{error}");
}

#[test]
fn words_of_some_rules() {
    for (name, text, wanted) in [
        ("smollm", "in 2024 we", &["in", " ", "2", "0", "2", "4", " we"][..]),
        ("afmoe", "ab1234567", &["ab", "1", "234", "567"]),
        ("superbpe", "ab12345", &["ab", "12", "345"]),
        ("tiny_aya", "12345 1234x", &["12", "345", " ", "123", "4", "x"]),
        ("kimi-k2", "漢字abc'S", &["漢字", "abc'S"]),
        ("gpt-4o", "camelCase", &["camel", "Case"]),
        ("whitespace", " a\tbc ", &["a", "bc"]),
        ("jais-2", "a       b", &["a", "    ", "  ", " b"]),
        ("spark2_5", "a\n\nb", &["a", "\n", "\n", "b"]),
        ("gemma4", "a b\n\nc", &["a b", "\n\n", "c"]),
        ("laguna", "a \n b", &["a", " ", "\n", " b"]),
        ("exaone-moe", "가 나 1", &["가 나", " ", "1"]),
    ] {
        let rule = rule(name).expect("a row");
        assert_eq!(words(&steps(rule), text), wanted, "{name}");
    }
}

#[test]
fn foreign_patterns_cut_as_they_say_and_cannot_run_away() {
    let check = |pattern: &str, inverted, matches, wanted: &[&str]| {
        let step = Step::of_file(pattern, inverted, matches).expect("a pattern");
        assert_eq!(words(&[step], "a--b-c"), wanted, "{pattern} {matches:?}");
    };
    check("-", false, Matches::Apart, &["a", "-", "-", "b", "-", "c"]);
    check("-", false, Matches::Removed, &["a", "b", "c"]);
    check("-", true, Matches::Removed, &["-", "-", "-"]);
    check("-", false, Matches::WithPrevious, &["a-", "-", "b-", "c"]);
    check("-", false, Matches::WithNext, &["a", "-", "-b", "-c"]);
    check("-", false, Matches::Joined, &["a", "--", "b", "-", "c"]);
    let long = "a".repeat(5000);
    for (pattern, words) in [
        (r"(a)\1", "not supported"),
        (r"(?=(a+)+b)c", "not supported"),
        ("(", "not supported"),
        (&long, "longer than"),
    ] {
        let refused = Step::of_file(pattern, false, Matches::Apart).map(|_| ());
        let error = refused.expect_err("foreign").to_string();
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
    }
}
