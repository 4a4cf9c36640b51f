//! Every instruction set that this machine has against the reference, alone and on three threads.
//!
//! The best one is a test of its own: `cargo xtask arm` emulates a processor for each.

use tensor::conformance;

use super::with;
use crate::{Variant, variants};

/// Disagreements of these variants on `threads` threads, one a line.
fn disagreements(variants: &[Variant], threads: usize) -> String {
    let check = |variant: &Variant| {
        let failures = conformance::run(&with(*variant, threads)).into_iter();
        failures.map(|failure| format!("{}: {failure}\n", variant.name())).collect::<String>()
    };
    variants.iter().map(check).collect()
}

fn check(variants: &[Variant], threads: usize) {
    let found = disagreements(variants, threads);
    assert!(found.is_empty(), "{} disagreements:\n{found}", found.lines().count());
}

#[test]
fn there_is_always_a_portable_variant() {
    let variants = variants();
    // `cargo xtask arm` looks for this line.
    println!("variants: {variants:?}");
    assert_eq!(variants.last(), Some(&Variant::Portable));
}

#[test]
fn the_best_variant_agrees_on_one_thread() {
    check(&variants()[..1], 1);
}

#[test]
fn the_best_variant_agrees_on_three_threads() {
    check(&variants()[..1], 3);
}

#[test]
fn the_other_variants_agree_on_one_thread() {
    check(&variants()[1..], 1);
}

#[test]
fn the_other_variants_agree_on_three_threads() {
    check(&variants()[1..], 3);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn amx_agrees_with_the_reference() {
    // On most processors it is emulated, in tests alone.
    if variants().contains(&Variant::Avx512Vnni) {
        let failures = conformance::run(&with(Variant::Amx, 3));
        assert!(failures.is_empty(), "{failures:?}");
    }
}
