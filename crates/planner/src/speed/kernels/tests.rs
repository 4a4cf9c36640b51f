//! Composition against numbers made by hand: a machine of round figures and models of round sizes.

use super::super::{Calibration, Coefficients, Engine, Load, Measured, Predictor, Tier};
use super::{FormatTimes, Kernels, ReadRate, RowsTime, WalkTime};
use crate::machine::Machine;
use crate::names::find_machine;
use crate::speed::{Demand, TypeDemand};
use crate::types::TensorType;

const MB: f64 = 1e6;
/// Seconds of a byte at 10 GB/s.
const TENTH_NS: f64 = 1e-10;

fn format(name: &str, near: f64, far: f64, flop_s: f64) -> FormatTimes {
    let time = |bytes: f64, tenths: f64, layer_s: f64| WalkTime {
        bytes: bytes * MB,
        byte_s: tenths * TENTH_NS,
        layer_s,
    };
    FormatTimes {
        name: name.to_owned(),
        walk: vec![time(50.0, near, 20e-6), time(100.0, near, 20e-6), time(400.0, far, 60e-6)],
        head: 1.5,
        step_byte_s: 2.0 * TENTH_NS,
        rows: vec![
            RowsTime { width: 500.0, flop_s: 3.0 * flop_s },
            RowsTime { width: 1000.0, flop_s },
        ],
    }
}

/// Reads 40 GB/s up to 100 MB and 10 GB/s from 200 MB on.
fn kernels() -> Kernels {
    let read = |bytes: f64, gbs: f64| ReadRate { bytes: bytes * MB, rate: gbs * 1e9 };
    Kernels {
        kv_byte_s: 2.0 * TENTH_NS,
        attention_flop_s: 1e-11,
        read: vec![read(50.0, 40.0), read(100.0, 40.0), read(200.0, 10.0), read(1000.0, 10.0)],
        format: vec![format("F16", 0.5, 1.2, 5e-12), format("Q4_K", 0.8, 1.6, 1e-12)],
    }
}

fn types(parts: &[(TensorType, f64, f64)]) -> Demand {
    let part = |(tensor_type, dense, head): &(TensorType, f64, f64)| TypeDemand {
        tensor_type: *tensor_type,
        dense_bytes: dense * MB,
        expert_bytes: 0.0,
        head_bytes: head * MB,
    };
    let types: Vec<TypeDemand> = parts.iter().map(part).collect();
    let weights = |of: fn(&TypeDemand) -> f64| -> f64 {
        types.iter().map(|part| of(part) * 8.0 / part.tensor_type.bits()).sum()
    };
    Demand {
        dense_bytes: types.iter().map(|part| part.dense_bytes + part.head_bytes).sum(),
        expert_bytes: 0.0,
        dense_weights: weights(|part| part.dense_bytes + part.head_bytes),
        expert_weights: 0.0,
        head_weights: weights(|part| part.head_bytes),
        routed_share: None,
        layers: 10.0,
        width: 1000.0,
        kv_position_bytes: 1000.0,
        is_latent: false,
        position_flops: 1e5,
        windows: Vec::new(),
        state_bytes: 0.0,
        types,
    }
}

fn alone(demand: &Demand, context: u64) -> f64 {
    kernels().step_s(demand, Load { context, users: 1 }, 1.0)
}

fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} and not {expected}");
}

#[test]
fn each_format_takes_its_own_time() {
    // Beyond the caches: 400 MB at 1.6 and 600 MB at 1.2 tenths of a nanosecond; ten layers.
    let demand = types(&[(TensorType::Q4K, 400.0, 0.0), (TensorType::F16, 600.0, 0.0)]);
    near(alone(&demand, 0), 0.064 + 0.072 + 600e-6);
    // 10,000 positions of 1000 bytes at 2 tenths.
    near(alone(&demand, 10_000), 0.064 + 0.072 + 600e-6 + 0.002);
    // A head takes half as long again.
    let with_head = types(&[(TensorType::Q4K, 400.0, 100.0), (TensorType::F16, 500.0, 0.0)]);
    near(alone(&with_head, 0), 0.064 + 0.024 + 0.060 + 600e-6);
}

#[test]
fn a_model_in_the_caches_is_faster() {
    let small = types(&[(TensorType::Q4K, 80.0, 0.0)]);
    near(alone(&small, 0), 80e6 * 0.8 * TENTH_NS + 200e-6);
    // 200 MB are half of the way from 100 to 400, as logarithms are.
    let between = types(&[(TensorType::Q4K, 200.0, 0.0)]);
    near(alone(&between, 0), 200e6 * (0.8 + 0.5 * 0.8) * TENTH_NS + 400e-6);
}

#[test]
fn prompts_take_operations_of_each_format() {
    let demand = types(&[(TensorType::Q4K, 450.0, 90.0), (TensorType::F16, 200.0, 0.0)]);
    let token_s = |depth, new| kernels().token_s(&demand, depth, new);
    // 800 and 100 million weights, the head left out, two operations each.
    let bodies = 1.6e9 * 1e-12 + 0.2e9 * 5e-12;
    // A step's 650 MB at 2 tenths.
    let step = 0.13;
    near(token_s(0, 512), bodies + step / 512.0);
    near(token_s(1000, 512), bodies + 1e8 * 1e-11 + step / 512.0);
    near(token_s(0, 128), bodies + step / 128.0);
    near(token_s(0, 513), bodies + 2.0 * step / 513.0);
    near(token_s(0, 0), token_s(0, 512));
    // Narrow layers are slower, wide ones no faster; 1/750 is two thirds of the way to 1/500 and
    // 1/1500 is not less than 1/1000.
    for (width, times) in [(1500.0, 1.0), (750.0, 5.0 / 3.0), (500.0, 3.0), (300.0, 3.0)] {
        let demand = Demand { width, ..demand.clone() };
        near(kernels().token_s(&demand, 0, 512), times * bodies + step / 512.0);
    }
}

#[test]
fn a_format_that_was_not_timed_is_like_the_nearest_of_its_kind() {
    let like = |wanted, known| {
        let weights = 500.0 * MB;
        let demand = |found: TensorType| types(&[(found, weights * found.bits() / 8.0 / MB, 0.0)]);
        let mut kernels = kernels();
        // Their bytes differ, their operations do not.
        kernels.format.iter_mut().for_each(|times| times.step_byte_s = 0.0);
        let token_s = |found| kernels.token_s(&demand(found), 0, 512);
        near(token_s(wanted), token_s(known));
    };
    like(TensorType::BF16, TensorType::F16);
    like(TensorType::F32, TensorType::F16);
    like(TensorType::Q8_0, TensorType::Q4K);
    // Without types the mean tells.
    let told = types(&[(TensorType::Q4K, 900.0, 90.0)]);
    let untold = Demand { types: Vec::new(), ..told.clone() };
    near(alone(&untold, 5), alone(&told, 5));
    near(kernels().token_s(&untold, 5, 9), kernels().token_s(&told, 5, 9));
}

#[test]
fn conversations_share_reads_and_not_arithmetic() {
    let demand = types(&[(TensorType::Q4K, 900.0, 0.0)]);
    let step = |users| kernels().step_s(&demand, Load { context: 1000, users }, 1.0);
    let one = 0.144 + 600e-6 + 200e-6;
    near(step(1), one);
    // Of each more: 3.2e9 operations, a million bytes.
    near(step(4), one + 3.0 * (3.2e-3 + 200e-6));
    let each: Vec<f64> = (1..40).map(step).collect();
    assert!(each.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(each.iter().zip(1..).all(|(step, users)| *step <= one * f64::from(users) * 1.000_001));
}

#[test]
fn nothing_is_above_plain_reads() {
    let mut fast = kernels();
    fast.format[1].walk.iter_mut().for_each(|time| time.byte_s = 0.1 * TENTH_NS);
    let demand = types(&[(TensorType::Q4K, 1000.0, 0.0)]);
    near(fast.step_s(&demand, Load { context: 0, users: 1 }, 1.0), 0.1);
    let machine = find_machine("Ryzen 7 8840U (CPU) 32 GB").unwrap();
    let calibration = Calibration::from_kernels(fast, &[]);
    let found = predictor(machine, calibration).decode(&demand, 0, 1);
    assert!(found.tps <= found.bound_tps && found.high_tps <= found.bound_tps, "{found:?}");
}

fn predictor(machine: &Machine, calibration: Calibration) -> Predictor<'_> {
    Predictor::new(Coefficients::embedded(), machine, Engine::Plain).calibrated(calibration)
}

#[test]
fn a_model_that_ran_says_most_of_models_of_its_size() {
    let machine = find_machine("Ryzen 7 8840U (CPU) 32 GB").unwrap();
    let (small, large) =
        (types(&[(TensorType::Q4K, 80.0, 0.0)]), types(&[(TensorType::Q4K, 4000.0, 0.0)]));
    // The small one took a fifth longer than its kernels.
    let tps = 1.0 / (1.2 * alone(&small, 0));
    let (demand, decode_tps) = (&small, Some(tps));
    let row = Measured { demand, context: 0, prompt: 0, prefill_tps: None, decode_tps };
    let without = predictor(machine, Calibration::from_kernels(kernels(), &[]));
    let with = predictor(machine, Calibration::from_kernels(kernels(), &[row; 3]));
    let ratio = |demand: &Demand| {
        let (without, with) = (without.decode(demand, 0, 1), with.decode(demand, 0, 1));
        assert_eq!((without.tier, with.tier), (Tier::Calibrated, Tier::Calibrated));
        without.tps / with.tps
    };
    // Three rows against one that says nothing: three quarters of the way.
    near(ratio(&small), 1.2_f64.powf(0.75));
    assert!((1.0..1.001).contains(&ratio(&large)), "{}", ratio(&large));
    assert_eq!(with.calibration.rows(), 3);
}

#[test]
fn damaged_numbers_are_seen() {
    assert!(kernels().is_sound());
    let damaged: [fn(&mut Kernels); 9] = [
        |kernels| kernels.kv_byte_s = f64::NAN,
        |kernels| kernels.format[0].rows.clear(),
        |kernels| kernels.format[0].walk.clear(),
        |kernels| kernels.format[0].walk.reverse(),
        |kernels| kernels.read.clear(),
        |kernels| kernels.read.reverse(),
        |kernels| kernels.format.clear(),
        |kernels| kernels.format[0].rows[0].flop_s = 0.0,
        |kernels| kernels.format[0].name = "Q4_Z".to_owned(),
    ];
    for damage in damaged {
        let mut found = kernels();
        damage(&mut found);
        assert!(!found.is_sound(), "{found:?}");
    }
}
