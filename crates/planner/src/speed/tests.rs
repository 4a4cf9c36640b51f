//! That nothing is above physics or gets cheaper by more work, that figures which were measured
//! and published are in the ranges, and what measurements of a machine change.

use super::{Calibration, Coefficients, Demand, Engine, Measured, Predictor, Tier};
use crate::catalogue::{machines, models};
use crate::machine::{Class, Machine};
use crate::memory::KvType;
use crate::names::{find_machine, find_model};
use crate::recipe::Quantisation;
use crate::row::ModelRow;
use crate::subject::Subject;

/// Recipes that every model has, from most to least bits.
const RECIPES: [&str; 7] = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"];
const CONTEXTS: [u64; 7] = [0, 100, 512, 4096, 32_768, 131_072, 1 << 20];
const USERS: [u32; 9] = [1, 2, 3, 4, 8, 16, 32, 64, 1000];
/// Rounding of sums in another order.
const SLACK: f64 = 1.0 + 1e-12;

fn demand_of(row: &ModelRow, quantisation: &str) -> Demand {
    let subject = Subject::of_row(row);
    let weights = subject.weights(Quantisation::from_name(quantisation).unwrap());
    Demand::new(&subject.facts, &weights, KvType::F16)
}

fn demand(model: &str, quantisation: &str) -> Demand {
    demand_of(find_model(model).unwrap(), quantisation)
}

fn machine(name: &str) -> &'static Machine {
    find_machine(name).unwrap()
}

fn predictor(machine: &Machine) -> Predictor<'_> {
    Predictor::new(Coefficients::embedded(), machine, Engine::Plain)
}

/// Three of each class, linked boxes among them.
fn some_machines() -> Vec<&'static Machine> {
    let mut picked: Vec<&Machine> = Vec::new();
    for machine in machines() {
        if picked.iter().filter(|other| other.class == machine.class).count() < 3 {
            picked.push(machine);
        }
    }
    picked
}

fn some_models() -> impl Iterator<Item = &'static ModelRow> {
    models().iter().step_by(3)
}

/// Factors of time that measurements might give.
fn calibrations(machine: &Machine, demand: &Demand) -> [Calibration; 3] {
    [0.5, 1.0, 1.6].map(|factor| {
        let usual = predictor(machine).decode(demand, 0, 1).tps;
        let decode_tps = Some(usual / factor);
        let row = Measured { demand, context: 0, prompt: 0, prefill_tps: None, decode_tps };
        Calibration::from_rows(Coefficients::embedded(), machine, Engine::Plain, &[row; 4])
    })
}

#[test]
fn coefficients_are_plausible() {
    let coefficients = Coefficients::embedded();
    let (decode, prefill) = (&coefficients.decode, &coefficients.prefill);
    assert!(decode.batch.touched_power <= 1.0 && decode.batch.grouping >= 1.0);
    assert!((0.0..2.0).contains(&decode.overhead_bits));
    for row in &coefficients.machine {
        assert_eq!(machine(&row.name).class, row.class, "{}", row.name);
        let factors = [row.decode, row.prefill];
        assert!(factors.iter().flatten().all(|time| (0.4..2.5).contains(time)), "{}", row.name);
        assert_eq!([row.decode_rows > 0, row.prefill_rows > 0], factors.map(|f| f.is_some()));
    }
    for class in machines().iter().map(|machine| machine.class) {
        assert!((1.0..2.5).contains(&decode.read.of(class)), "{class:?}");
        assert!((1.0..6.0).contains(&prefill.compute.of(class)), "{class:?}");
        for bands in [decode.bands, prefill.bands] {
            for tier in [Tier::Calibrated, Tier::Machine, Tier::Class] {
                let range = bands.of(tier, class);
                assert!(0.3 < range.low && range.low < 1.0, "{class:?} {tier:?}");
                assert!(1.0 < range.high && range.high < 3.0, "{class:?} {tier:?}");
            }
        }
    }
}

#[test]
fn nothing_is_above_the_bound() {
    for row in some_models() {
        for quantisation in ["F16", "Q4_K_M"] {
            let demand = demand_of(row, quantisation);
            for machine in some_machines() {
                for calibration in calibrations(machine, &demand) {
                    let predictor = predictor(machine).calibrated(calibration);
                    let decoded = CONTEXTS.iter().flat_map(|context| {
                        USERS.map(|users| predictor.decode(&demand, *context, users))
                    });
                    let read =
                        CONTEXTS.iter().filter_map(|new| predictor.prefill(&demand, 0, *new));
                    for found in decoded.chain(read) {
                        let case = format!("{} on {}: {found:?}", row.name, machine.name);
                        assert!(0.0 < found.low_tps && found.low_tps < found.tps, "{case}");
                        assert!(found.tps <= found.high_tps, "{case}");
                        assert!(found.high_tps <= found.bound_tps, "{case}");
                        assert!(found.tps <= found.total_tps, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn more_context_is_never_faster() {
    for row in some_models() {
        let demand = demand_of(row, "Q4_K_M");
        for machine in some_machines() {
            let predictor = predictor(machine);
            for users in [1, 8] {
                let speeds = CONTEXTS.map(|context| predictor.decode(&demand, context, users).tps);
                let falls = speeds.windows(2).all(|pair| pair[1] <= pair[0] * SLACK);
                assert!(falls, "{} on {}: {speeds:?}", row.name, machine.name);
            }
            let waits = CONTEXTS.map(|new| predictor.time_to_first_token(&demand, 0, new));
            let rises = waits.windows(2).all(|pair| match (pair[0], pair[1]) {
                (Some(short), Some(long)) => short.seconds <= long.seconds * SLACK,
                (None, None) => machine.fp16_tflops.is_none(),
                _ => false,
            });
            assert!(rises, "{} on {}: {waits:?}", row.name, machine.name);
        }
    }
}

#[test]
fn one_more_conversation_slows_each_and_never_the_whole() {
    for row in some_models() {
        let demand = demand_of(row, "Q4_K_M");
        for machine in some_machines() {
            for context in [0, 2048] {
                for calibration in calibrations(machine, &demand) {
                    let predictor = predictor(machine).calibrated(calibration);
                    let found = USERS.map(|users| predictor.decode(&demand, context, users));
                    for pair in found.windows(2) {
                        let case = format!("{} on {}: {pair:?}", row.name, machine.name);
                        assert!(pair[1].tps <= pair[0].tps * SLACK, "{case}");
                        assert!(pair[1].total_tps * SLACK >= pair[0].total_tps, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn fewer_bits_are_never_slower() {
    for row in models() {
        let demands = RECIPES.map(|recipe| demand_of(row, recipe));
        for machine in some_machines() {
            let predictor = predictor(machine);
            let speeds = demands.each_ref().map(|demand| predictor.decode(demand, 4096, 1).tps);
            let rises = speeds.windows(2).all(|pair| pair[0] <= pair[1] * SLACK);
            assert!(rises, "{} on {}: {speeds:?}", row.name, machine.name);
        }
    }
}

/// Measured by several people, `docs/planner.md`.
#[test]
fn what_was_measured_on_gb10_is_in_the_range() {
    let gb10 = predictor(machine("dgx-spark"));
    for (model, quantisation, measured, within) in [
        ("gpt-oss-120b", "MXFP4", 57.0, 0.15),
        ("gpt-oss-20b", "MXFP4", 81.0, 0.15),
        ("Qwen2.5-7B", "Q8_0", 29.0, 0.15),
        ("Llama-3.3-70B", "Q4_K_M", 4.7, 0.12),
        ("Qwen3-30B-A3B", "Q8_0", 61.0, 0.2),
    ] {
        let found = gb10.decode(&demand(model, quantisation), 0, 1);
        assert_eq!(found.tier, Tier::Machine);
        assert!((found.low_tps..found.high_tps).contains(&measured), "{model}: {found:?}");
        assert!((found.tps / measured - 1.0).abs() < within, "{model}: {found:?}");
    }
}

/// The series of `docs/planner.md`, all conversations together.
#[test]
fn several_conversations_are_as_fast_as_was_measured() {
    let gb10 = predictor(machine("dgx-spark"));
    for (model, quantisation, series) in [
        ("gpt-oss-120b", "MXFP4", [57.0, 60.0, 95.0, 147.0, 220.0, 313.0]),
        ("gpt-oss-20b", "MXFP4", [81.0, 95.0, 152.0, 254.0, 401.0, 615.0]),
        ("Qwen2.5-7B", "Q8_0", [29.0, 54.0, 104.0, 196.0, 335.0, 593.0]),
    ] {
        let demand = demand(model, quantisation);
        for (users, measured) in [1, 2, 4, 8, 16, 32].into_iter().zip(series) {
            let found = gb10.decode(&demand, 512, users).total_tps;
            assert!((found / measured - 1.0).abs() < 0.25, "{model} {users}: {found}");
        }
    }
}

/// Figures of `docs/planner.md`: from prompts of llama.cpp, gpt-oss-120b on GB10.
#[test]
fn first_tokens_come_when_they_did() {
    let gb10 = predictor(machine("dgx-spark"));
    let demand = demand("gpt-oss-120b", "MXFP4");
    let waits = [(4096, 2.2), (32_768, 23.0), (131_072, 159.0)].map(|(new, measured)| {
        let found = gb10.time_to_first_token(&demand, 0, new).unwrap();
        assert!((found.low_s..found.high_s).contains(&measured), "{new}: {found:?}");
        found.seconds
    });
    let cached = gb10.time_to_first_token(&demand, 29_000, 3_768).unwrap();
    assert!(cached.seconds < 0.25 * waits[1], "a cached prompt is read once only: {cached:?}");
}

#[test]
fn measurements_of_the_machine_replace_what_is_known() {
    let (machine, demand) = (machine("rtx-4090"), demand("Llama-3.1-8B", "Q4_K_M"));
    let coefficients = Coefficients::embedded();
    let usual = predictor(machine).decode(&demand, 2048, 1);
    let row = |factor: f64| Measured {
        demand: &demand,
        context: 2048,
        prompt: 0,
        prefill_tps: None,
        decode_tps: Some(usual.tps * factor),
    };
    let after = |rows: &[Measured]| {
        let calibration = Calibration::from_rows(coefficients, machine, Engine::Plain, rows);
        assert_eq!(calibration.prefill_factor(&demand, 0), None);
        predictor(machine).calibrated(calibration).decode(&demand, 2048, 1)
    };
    let (one, many) = (after(&[row(0.7)]), after(&[row(0.7); 8]));
    assert_eq!((one.tier, many.tier), (Tier::Machine, Tier::Calibrated));
    assert!((many.tps / usual.tps / 0.7 - 1.0).abs() < 0.05, "{many:?}");
    assert!(one.tps > many.tps, "one row is not believed wholly: {one:?} {many:?}");
    let with_outlier = after(&[row(0.7), row(0.7), row(0.7), row(0.7), row(3.0)]);
    assert!((with_outlier.tps / many.tps - 1.0).abs() < 0.2, "{with_outlier:?}");
    assert_eq!(after(&[row(0.0), row(f64::NAN), row(-1.0)]), usual);
}

#[test]
fn machines_of_one_kind_are_known_together() {
    let demand = demand("gpt-oss-120b", "MXFP4");
    let spark = predictor(machine("dgx-spark")).decode(&demand, 0, 1);
    let sister = predictor(machine("MSI EdgeXpert (GB10)")).decode(&demand, 0, 1);
    assert_eq!(spark, sister);
    let linked = predictor(machine("2x DGX Spark (linked)")).decode(&demand, 0, 1);
    assert_eq!((linked.tps, linked.tier), (spark.tps, Tier::Class));
    assert_eq!(linked.bound_tps, 2.0 * spark.bound_tps);
    // Measured with tensor parallelism.
    assert!((linked.low_tps..linked.high_tps).contains(&76.0), "{linked:?}");
}

#[test]
fn without_known_arithmetic_prompts_are_not_estimated() {
    let known = machine("dgx-spark");
    let unknown = Machine { fp16_tflops: None, ..known.clone() };
    let demand = demand("gpt-oss-120b", "MXFP4");
    assert_eq!(predictor(&unknown).prefill(&demand, 0, 1000), None);
    assert_eq!(predictor(&unknown).time_to_first_token(&demand, 0, 1000), None);
    let alone = predictor(&unknown).decode(&demand, 0, 1);
    let several = predictor(&unknown).decode(&demand, 0, 8);
    assert!((several.total_tps / alone.total_tps - 1.0).abs() < 1e-9, "no gain is promised");
}

#[test]
fn demands_are_those_of_the_geometry() {
    let latent = demand("DeepSeek-V3", "Q4_K_M");
    assert!(latent.is_latent && latent.windows.is_empty());
    assert_eq!(latent.kv_bytes(1000, 2.0), 2.0 * latent.kv_bytes(1000, 1.0));
    // 61 layers, 128 heads, 576 values of keys and 512 of values.
    assert_eq!(latent.position_flops, 61.0 * 2.0 * 128.0 * 1088.0);

    let windows = demand("gpt-oss-120b", "MXFP4");
    assert_eq!(windows.position_flops, 18.0 * 4.0 * 64.0 * 64.0);
    assert_eq!(windows.windows[0].position_flops, windows.position_flops);
    let full = 18.0 * 2.0 * 8.0 * 64.0 * 2.0;
    assert_eq!(windows.kv_bytes(1000, 1.0), full * (1000.0 + 128.0));
    assert!((windows.active_weights() / 5.1e9 - 1.0).abs() < 0.03, "{windows:?}");

    // Heads of layers with a window are half as wide as those of the others.
    let gemma = demand("Gemma-4-31B", "Q4_0");
    let flops = |heads: f64, width: f64, layers: f64| 4.0 * heads * width * layers;
    assert_eq!(gemma.windows[0].position_flops, flops(32.0, 256.0, 50.0));
    assert_eq!(gemma.position_flops, flops(32.0, 512.0, 10.0));
    assert_eq!(windows.touched(1, 0.5), 1.0);
    assert!(windows.touched(8, 1.0) < 8.0 && windows.touched(8, 0.5) > 1.0);
}

#[test]
fn engines_are_known_by_their_names() {
    assert_eq!(Engine::from_name("llama.cpp/CUDA"), Engine::Plain);
    assert_eq!(Engine::from_name("Ollama/Vulkan"), Engine::Wrapper);
    assert_eq!(Engine::from_name("vLLM 0.26"), Engine::Server);
    assert_eq!(Engine::from_name("hob"), Engine::Plain);
}

#[test]
fn every_class_has_its_coefficients() {
    let demand = demand("Llama-3.1-8B", "Q4_K_M");
    for machine in machines() {
        let found = predictor(machine).decode(&demand, 0, 1);
        let share = found.tps / found.bound_tps * f64::from(machine.count);
        assert!((0.15..1.0).contains(&share), "{}: {found:?}", machine.name);
        assert_eq!(
            predictor(machine).prefill(&demand, 0, 512).is_some(),
            machine.fp16_tflops.is_some()
        );
        let is_linked = machine.count > 1;
        assert!(!is_linked || found.tier == Tier::Class, "{}", machine.name);
    }
    assert!(machines().iter().any(|machine| machine.class == Class::Cpu));
}
