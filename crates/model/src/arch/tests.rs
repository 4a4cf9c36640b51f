//! The registry, and what is said of an architecture that is not in it.

use super::{ARCHITECTURES, distance, unsupported};

#[test]
fn rows_are_sorted_and_named_once() {
    let names: Vec<&str> = ARCHITECTURES.iter().flat_map(|row| row.names()).copied().collect();
    assert!(!names.is_empty());
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
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
    assert!(message.contains("those that can: deepseek2, "), "{message}");
    assert!(message.contains("nearest: llama"), "{message}");
    let long = unsupported(&"x".repeat(100_000)).to_string();
    assert!(long.len() < 300, "{} bytes of message", long.len());
}
