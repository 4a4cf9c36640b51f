//! What must hold of every plan: for every model of the table, on machines of several kinds.

use planner::{
    Coefficients, Engine, Fit, KV_TYPES, Knowledge, KvType, Machine, Quantisation, Subject,
    Verdict, Wish, find_machine, models, plan,
};

/// A card, unified memory, a processor, and linked boxes.
const MACHINES: [&str; 4] = ["rtx-4090", "dgx-spark", "epyc-9004", "2xdgx-spark"];

/// From fewest bits to most: each tensor has at least as many in the next.
const MIXES: [&str; 5] = ["Q2_K", "Q4_K_S", "Q5_K_S", "Q6_K", "Q8_0"];

const CONTEXTS: [u64; 4] = [0, 1000, 32 << 10, 128 << 10];
const USERS: [u64; 4] = [1, 2, 5, 32];

/// Rounding of sums in another order.
const ROUNDING: f64 = 1.0 + 1e-9;

/// Plans of all models that differ in one thing, from what should take least to most.
fn each_series(series: impl Fn(&dyn Fn(&str, u64, u64, KvType) -> Verdict) -> Vec<Verdict>) {
    for row in models() {
        let subject = Subject::of_row(row);
        for name in MACHINES {
            let machine: &Machine = find_machine(name).expect("a row");
            let knowledge = Knowledge::of(Coefficients::embedded(), machine);
            let of = |mix: &str, context, users, kv| {
                let quantisation = Quantisation::from_name(mix).expect("a name of the table");
                let wish = Wish { context, users, kv, quantisation, engine: Engine::Plain };
                plan(&subject, machine, &wish, &knowledge)
            };
            for pair in series(&of).windows(2) {
                check(&pair[0], &pair[1]);
            }
        }
    }
}

/// Each is sound, and what asks for more takes more memory and is no faster.
fn check(less: &Verdict, more: &Verdict) {
    let name = format!(
        "{} on {}: {} {} x {} {}, then {} {} x {} {}",
        more.model,
        more.machine,
        less.quant,
        less.context,
        less.users,
        less.kv,
        more.quant,
        more.context,
        more.users,
        more.kv
    );
    for plan in [less, more] {
        let (memory, speed) = (&plan.memory, &plan.speed);
        assert!(memory.total_bytes >= memory.weights_bytes + memory.kv_bytes, "{name}");
        let rates = [speed.decode_low, speed.decode_tps, speed.decode_high, speed.bound_tps];
        assert!(rates.is_sorted(), "{name}: {rates:?}");
        assert!(plan.depths.iter().is_sorted_by(|a, b| a.decode_tps >= b.decode_tps), "{name}");
    }
    assert!(less.memory.total_bytes <= more.memory.total_bytes, "{name}");
    assert!(more.verdict <= less.verdict, "{name}: {:?}, {:?}", less.verdict, more.verdict);
    assert!(more.speed.bound_tps <= less.speed.bound_tps * ROUNDING, "{name}");
    // What does not fit at all is told as fast as it would be with the memory: slower than what
    // fits, but maybe not than what is partly in the PC's memory.
    let in_memory = |plan: &Verdict| plan.speed.decode_tps * plan.token.offload;
    assert!(in_memory(more) <= in_memory(less) * ROUNDING, "{name}");
    if more.verdict > Fit::No {
        assert!(more.speed.decode_tps <= less.speed.decode_tps * ROUNDING, "{name}");
    }
    assert!(more.users_max <= less.users_max, "{name}");
}

#[test]
fn more_context_is_never_cheaper() {
    each_series(|of| {
        CONTEXTS.iter().map(|context| of("Q4_K_M", *context, 1, KvType::F16)).collect()
    });
}

#[test]
fn more_users_are_never_cheaper() {
    each_series(|of| USERS.iter().map(|users| of("Q4_K_M", 8192, *users, KvType::F16)).collect());
}

#[test]
fn more_bits_are_never_cheaper() {
    each_series(|of| MIXES.iter().map(|mix| of(mix, 8192, 1, KvType::F16)).collect());
}

#[test]
fn more_bits_of_keys_and_values_are_never_cheaper() {
    let mut types: Vec<_> = KV_TYPES.to_vec();
    types.sort_by_key(|row| row.2);
    each_series(|of| types.iter().map(|row| of("Q4_K_M", 32 << 10, 2, row.0)).collect());
}
