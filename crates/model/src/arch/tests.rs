//! The registry, and what is said of an architecture that is not in it.

use super::{ARCHITECTURES, distance, unsupported};

#[test]
fn rows_are_sorted_and_named_once() {
    let mut names: Vec<&str> = ARCHITECTURES.iter().flat_map(|row| row.names()).copied().collect();
    assert!(ARCHITECTURES.iter().all(|row| row.names().is_sorted()), "{names:?}");
    assert!(ARCHITECTURES.iter().is_sorted_by_key(|row| row.names()[0]), "{names:?}");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count > 0 && names.len() == count, "{names:?}");
}

#[test]
fn distances() {
    for (a, b, expected) in
        [("", "", 0), ("llama", "llama", 0), ("llama", "lama4", 2), ("", "abc", 3)]
    {
        assert_eq!(distance(a, b), expected, "{a} {b}");
    }
}

#[test]
fn an_unknown_architecture_is_told_what_runs() {
    let message = unsupported("lama4").to_string();
    assert!(message.contains("`lama4`"), "{message}");
    assert!(message.contains("those that can: bert, deepseek2, "), "{message}");
    assert!(message.contains("nearest: llama"), "{message}");
    let long = unsupported(&"x".repeat(100_000)).to_string();
    assert!(long.len() < 300, "{} bytes of message", long.len());
}
