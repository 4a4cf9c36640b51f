//! Every instruction set that this machine has against the reference, alone and on three threads.

use kernels_cpu::{CpuBackend, Variant, variants};
use tensor::conformance;

/// Disagreements of all variants on `threads` threads, one a line.
fn disagreements(threads: usize) -> String {
    let check = |variant: &Variant| {
        let backend = CpuBackend::with_variant(*variant, threads).expect("a variant listed runs");
        let failures = conformance::run(&backend).into_iter();
        failures.map(|failure| format!("{}: {failure}\n", variant.name())).collect::<String>()
    };
    variants().iter().map(check).collect()
}

#[test]
fn there_is_always_a_portable_variant() {
    assert!(variants().contains(&Variant::Portable), "{:?}", variants());
}

#[test]
fn one_thread_agrees_with_the_reference() {
    let found = disagreements(1);
    assert!(found.is_empty(), "{} disagreements:\n{found}", found.lines().count());
}

#[test]
fn three_threads_agree_with_the_reference() {
    let found = disagreements(3);
    assert!(found.is_empty(), "{} disagreements:\n{found}", found.lines().count());
}
