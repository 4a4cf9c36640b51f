//! Every instruction set that this machine has against the reference, alone and on three threads.
//!
//! The best one is a test of its own: `cargo xtask arm` emulates a processor for each.

use kernels_cpu::{CpuBackend, Variant, variants};
use tensor::conformance;

/// Disagreements of these variants on `threads` threads, one a line.
fn disagreements(variants: &[Variant], threads: usize) -> String {
    let check = |variant: &Variant| {
        let backend = CpuBackend::with_variant(*variant, threads).expect("a variant listed runs");
        let failures = conformance::run(&backend).into_iter();
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
